"""Jobs for a part of a use case's lifecycle, for people who do not want all of it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

import dagster as dg

from genaiops_dagster.orchestration.asset_options import Stage, pipeline_keys
from genaiops_dagster.use_case import UseCase

_STAGES: dict[str, tuple[str, tuple[Stage, ...]]] = {
    "refresh_data": (
        "Read the sources again and make the three sets, the prompt and the estimate. Pays nothing "
        "but the query.",
        ("data", "prompts", "budget"),
    ),
    "tune_and_evaluate": (
        "Tune on the present data and evaluate every candidate. What was made before is found, not "
        "paid again; `retry_failed` and `cache` in the launchpad change that.",
        ("tuning", "evaluation"),
    ),
    "compare_models": ("Compare the present reports of all candidates.", ("comparison",)),
    "promote": (
        "Decide by the gate on the present reports, and move the champion if it passes.",
        ("promotion",),
    ),
}
"""Description and stages, by what a job's name ends with."""


def build_stage_jobs(
    use_case: UseCase, assets: Iterable[dg.AssetsDefinition | dg.AssetSpec]
) -> list[Any]:
    """The jobs `<use case>_refresh_data`, `_tune_and_evaluate`, `_compare_models` and `_promote`.

    Their launchpads show what may be configured of `assets`, which are those of the use case.
    """
    own = dg.AssetSelection.groups(use_case.name).materializable()
    jobs = []
    for name, (description, stages) in _STAGES.items():
        pipelines = pipeline_keys(use_case) if "tuning" in stages else []
        tagged = reduce(or_, (dg.AssetSelection.tag("stage", stage) for stage in stages))
        chosen = (
            asset
            for asset in assets
            if isinstance(asset, dg.AssetsDefinition)
            and any(s.tags.get("stage") in stages or s.key in pipelines for s in asset.specs)
        )
        jobs.append(
            dg.define_asset_job(
                f"{use_case.name}_{name}",
                selection=own & (tagged | dg.AssetSelection.assets(*pipelines)),
                description=description,
                config={"ops": _choices(chosen)},
                tags={"genaiops/use_case": use_case.name},
            )
        )
    return jobs


def _choices(assets: Iterable[dg.AssetsDefinition]) -> dict[str, Any]:
    """The settings that the launchpad offers: every asset that takes a choice, at its default."""
    fields = {asset.op.name: asset.op.config_schema.as_field() for asset in assets}
    return {
        name: {"config": field.default_value}
        for name, field in fields.items()
        if field.default_provided and field.default_value
    }
