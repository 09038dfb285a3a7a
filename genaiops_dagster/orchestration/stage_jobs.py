"""Jobs for a part of a use case's lifecycle, for people who do not want all of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def build_stage_jobs(use_case: UseCase, assets: Iterable[Any]) -> list[Any]:
    """The jobs `<use case>_refresh_data`, `_tune_and_evaluate`, `_compare_models` and `_promote`.

    Args:
        use_case: Whose.
        assets: Its assets and checks, some of which a person may configure.
    """
    definitions = [
        asset
        for asset in assets
        if isinstance(asset, dg.AssetsDefinition)
        and not isinstance(asset, dg.AssetChecksDefinition)
        and asset.is_executable
    ]
    return [
        _job(use_case, name, description, stages, definitions)
        for name, (description, stages) in _STAGES.items()
    ]


def _job(
    use_case: UseCase,
    name: str,
    description: str,
    stages: Sequence[str],
    definitions: Sequence[dg.AssetsDefinition],
) -> Any:
    tagged = reduce(or_, (dg.AssetSelection.tag("stage", stage) for stage in stages))
    pipelines = pipeline_keys(use_case) if "tuning" in stages else []
    own = dg.AssetSelection.groups(use_case.name).materializable()
    chosen = [
        definition
        for definition in definitions
        if any(s.tags.get("stage") in stages or s.key in pipelines for s in definition.specs)
    ]
    return dg.define_asset_job(
        f"{use_case.name}_{name}",
        selection=own & (tagged | dg.AssetSelection.assets(*pipelines)),
        description=description,
        config={"ops": _choices(chosen)},
        tags={"genaiops/use_case": use_case.name},
    )


def _choices(definitions: Iterable[dg.AssetsDefinition]) -> dict[str, Any]:
    """What the launchpad shows to be changed: every asset that takes a choice, at its default."""
    choices = {}
    for definition in definitions:
        field = definition.op.config_schema.as_field()
        if field.default_provided and field.default_value:
            choices[definition.op.name] = {"config": field.default_value}
    return choices
