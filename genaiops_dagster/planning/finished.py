"""Which stages of a run are done already: their results exist and cost nothing again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genaiops_dagster.budget.degrade import with_less
from genaiops_dagster.budget.limits import BudgetExceededError
from genaiops_dagster.evaluation.asking.inference import Model
from genaiops_dagster.evaluation.report import is_settled
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.prompts.rendering import candidate_prompt
from genaiops_dagster.records.budget import CostEstimate, StageCost, totals
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.evaluation import EvaluationReport
from genaiops_dagster.records.promotion import served_champion
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import find_record
from genaiops_dagster.records.tuning import TunedModel, tuned_model_path
from genaiops_dagster.tuning.recipe import tuning_recipe
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.section import CHAMPION, TUNED

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

_OF_A_REPORT = ("checkpoints", "evaluation", "metrics", "suites", "judging")
"""Stages that are paid for one candidate before its report is complete."""


def left_to_pay(use_case: UseCase, store: ObjectStore, estimate: CostEstimate) -> CostEstimate:
    """The estimate of a run without the stages whose results exist."""
    return without(estimate, finished_stages(use_case, store, estimate))


def without(estimate: CostEstimate, finished: Collection[str]) -> CostEstimate:
    """The estimate without the stages of these names."""
    left = [stage for stage in estimate.stages if stage_name(stage) not in finished]
    return estimate.model_copy(update={"stages": left, **totals(left)})


def stage_name(stage: StageCost) -> str:
    """`stage`, or `stage/candidate` where it is about one."""
    return f"{stage.stage}/{stage.candidate}" if stage.candidate else stage.stage


def finished_stages(use_case: UseCase, store: ObjectStore, estimate: CostEstimate) -> set[str]:
    """Names of the stages that a run would find done, by the fingerprints of what is in the bucket.

    Candidates are evaluated on as much as the estimate says.
    """
    found = _Found.read(use_case.name, store)
    if found is None:
        return set()
    tuned = _tuned_models(use_case, store, found)
    finished = {f"tuning/{variant}" if variant else "tuning" for variant in tuned}
    champion = served_champion(store, use_case.name)
    for name, candidate in use_case.candidates.items():
        report = _report(use_case, store, estimate, found, tuned, name)
        if report is None:
            continue
        finished |= {f"{stage}/{name}" for stage in _OF_A_REPORT}
        if champion is not None and (
            (champion.model, champion.generation, champion.prompt_digest)
            in ((model, candidate.generation, report.prompt_digest) for model in _names(report))
        ):  # the champion would be asked the same, and those answers are cached
            finished |= {f"{stage}/{CHAMPION}" for stage in _OF_A_REPORT}
    return finished


def _names(report: EvaluationReport) -> tuple[str, str]:
    """By what a report's model may be called: its address, and the name at its end."""
    return report.model, report.model.rpartition("/")[2]


@dataclass(frozen=True)
class _Found:
    """The data that is in the bucket."""

    training_set: DatasetSplit
    validation_set: DatasetSplit
    evaluation_set: DatasetSplit
    prompt: PromptVersion

    @staticmethod
    def read(use_case: str, store: ObjectStore) -> _Found | None:
        training, validation, evaluation = (
            find_record(store, DatasetSplit, use_case, name)
            for name in ("training_set", "validation_set", "evaluation_set")
        )
        prompt = find_record(store, PromptVersion, use_case, "prompt")
        if training is None or validation is None or evaluation is None or prompt is None:
            return None
        return _Found(training, validation, evaluation, prompt)


def _tuned_models(
    use_case: UseCase, store: ObjectStore, found: _Found
) -> dict[str | None, TunedModel]:
    """Models that are tuned already, by variant of the sweep."""
    models = {}
    for variant in use_case.tuning.variants():
        model = find_record(store, TunedModel, use_case.name, *tuned_model_path(variant))
        if model is None:
            continue
        recipe = tuning_recipe(use_case, store, found.training_set, found.validation_set, variant)
        if model.fingerprint == recipe.fingerprint:
            models[variant] = model
    return models


def _report(
    use_case: UseCase,
    store: ObjectStore,
    estimate: CostEstimate,
    found: _Found,
    tuned: dict[str | None, TunedModel],
    name: str,
) -> EvaluationReport | None:
    """The complete report of a candidate as it would be made now, if there is one."""
    report = find_record(store, EvaluationReport, use_case.name, "evaluation_report", name)
    chosen = use_case.candidates[name]
    if report is None or not is_settled(report):
        return None
    if chosen.model == TUNED:
        model = tuned.get(chosen.variant)
        addresses = [model.endpoint, *(c.endpoint for c in model.checkpoints)] if model else []
        if report.model not in addresses:
            return None
    elif not f"/{report.model}".endswith(f"/{chosen.model}"):
        return None
    base = use_case.tuning.base_model if chosen.model == TUNED else chosen.model
    try:
        scope = with_less(use_case, found.evaluation_set, estimate.degradation)
    except BudgetExceededError:  # the estimate is of other data
        return None
    task = EvaluationTask(
        use_case=use_case.name,
        evaluation=scope.use_case.evaluation,
        candidate=name,
        model=Model(report.model, base, chosen.generation),
        prompt=candidate_prompt(use_case, name, found.prompt),
        evaluation_set=scope.evaluation_set,
    )
    return report if task.fingerprint == report.fingerprint else None
