"""Checks that every candidate answers at all: base models before tuning is paid for."""

import dagster as dg

from genaiops_dagster.budget.degrade import read_scope
from genaiops_dagster.evaluation.first_answer import first_answer
from genaiops_dagster.evaluation.run_config import purse_of
from genaiops_dagster.evaluation.task import candidate_task
from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import RESOURCES, open_workspace
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import read_record
from genaiops_dagster.records.tuning import TunedModel, tuned_model_path
from genaiops_dagster.use_case import TUNED, UseCase

CHECK = "candidates_answer"
"""Name of the checks."""


def build_first_answer_checks(use_case: UseCase) -> list[dg.AssetChecksDefinition]:
    """The checks of the cost estimate and of each tuned model."""
    base = [name for name, one in use_case.candidates.items() if one.model != TUNED]
    found = [_base_models(use_case, base)] if base else []
    for variant in use_case.tuning.variants():
        tuned = [
            name
            for name, one in use_case.candidates.items()
            if one.model == TUNED and one.variant == variant and one.checkpoint != "best"
        ]
        if tuned:
            found.append(_tuned_model(use_case, variant, tuned))
    return found


def _base_models(use_case: UseCase, candidates: list[str]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(use_case, "cost_estimate"),
        name=CHECK,
        description="Each base model answers its first row, so that tuning is not paid in vain.",
        blocking=True,
        required_resource_keys=set(RESOURCES),
    )
    def candidates_answer(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        return _check(context, use_case, candidates, None)

    return candidates_answer


def _tuned_model(
    use_case: UseCase, variant: str | None, candidates: list[str]
) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(use_case, *tuned_model_path(variant)),
        name=CHECK,
        description="The tuned model answers its first row.",
        blocking=True,
        required_resource_keys=set(RESOURCES),
    )
    def candidates_answer(
        context: dg.AssetCheckExecutionContext, tuned_model: TunedModel
    ) -> dg.AssetCheckResult:
        return _check(context, use_case, candidates, tuned_model)

    return candidates_answer


def _check(
    context: dg.AssetCheckExecutionContext,
    use_case: UseCase,
    candidates: list[str],
    tuned: TunedModel | None,
) -> dg.AssetCheckResult:
    with open_workspace(context, use_case) as here:
        name = use_case.name
        prompt = read_record(here.store, PromptVersion, name, "prompt")
        evaluation_set = read_record(here.store, DatasetSplit, name, "evaluation_set")
        scope = read_scope(here.store, use_case, evaluation_set)
        purse, problems, states = purse_of(here, context), [], {}
        for candidate in candidates:
            task = candidate_task(scope, candidate, prompt, tuned, here.models)
            answer, problem = first_answer(task, here.models, purse, context.log)
            states[candidate] = answer.state if answer else "none"
            problems += [problem] if problem else []
    return dg.AssetCheckResult(
        passed=not problems,
        description=escape_markdown("\n".join(problems)) or None,
        metadata=states,
    )
