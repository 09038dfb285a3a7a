"""The prompt as an asset: the one that training, evaluation and serving share."""

from __future__ import annotations

import dagster as dg

from genaiops_dagster.orchestration.asset_options import use_case_asset
from genaiops_dagster.orchestration.metadata import code
from genaiops_dagster.prompts.rendering import template_variables, version
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.use_case import UseCase


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition]:
    """The asset `prompt` of a use case."""

    @use_case_asset(
        use_case,
        "prompts",
        required_resource_keys=set(),
        description="Template and system instruction, the same in training, evaluation, serving.",
        kinds={"gemini", "json"},
        code_version="1",
    )
    def prompt() -> dg.MaterializeResult[PromptVersion]:
        current = version(use_case.prompt)
        return dg.MaterializeResult(
            value=current,
            data_version=dg.DataVersion(current.digest),
            metadata={
                "digest": current.digest,
                "template": code(current.template, "jinja"),
                "system_instruction": current.system_instruction or "(none)",
                "variables": ", ".join(template_variables(current.template)),
            },
        )

    return [prompt]
