"""The assets of evaluation: one report for each candidate, and one for what production serves."""

from collections.abc import Sequence
from typing import Any, TypeVar

import dagster as dg

from genaiops_dagster.budget.degrade import EvaluationScope, read_scope
from genaiops_dagster.budget.pricing import is_tuned
from genaiops_dagster.evaluation.asking.concurrency import log_progress
from genaiops_dagster.evaluation.asking.inference import Model
from genaiops_dagster.evaluation.checkpoints import (
    CheckpointScore,
    best_checkpoint,
    checkpoint_chart,
    checkpoint_tasks,
    selection_metric,
    validation_examples,
)
from genaiops_dagster.evaluation.checks import REPORT, check_results, check_specs
from genaiops_dagster.evaluation.evaluate import evaluate
from genaiops_dagster.evaluation.first_answer_checks import build_first_answer_checks
from genaiops_dagster.evaluation.judge_assets import CALIBRATION, build_judge_assets
from genaiops_dagster.evaluation.page import experiment_run, report_metadata
from genaiops_dagster.evaluation.report import read_rows
from genaiops_dagster.evaluation.run_config import POOL, EvaluationConfig, purse_of
from genaiops_dagster.evaluation.task import VERSION, EvaluationTask, candidate_task
from genaiops_dagster.google_cloud.experiments import record_experiment_run
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.orchestration.asset_options import (
    Materialized,
    asset_key,
    pipeline_keys,
    use_case_asset,
)
from genaiops_dagster.orchestration.metadata import chart_image
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import Workspace, open_workspace
from genaiops_dagster.prompts.parity import require_parity
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.evaluation import ChampionEvaluation, EvaluationReport
from genaiops_dagster.records.promotion import Champion, served_champion
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import Record
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.use_case import CHAMPION, TUNED, UseCase

R = TypeVar("R", bound=Record)

_INPUTS = {"evaluation_set": DatasetSplit, "prompt": PromptVersion, "tuned_model": TunedModel}


def build_assets(
    use_case: UseCase,
) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """Reports of the candidates and the champion, and what the judge does besides.

    With them come checks of what is upstream: that each candidate answers its first row.
    """
    chosen = {
        candidate.variant: name
        for name, candidate in use_case.candidates.items()
        if candidate.checkpoint == "best"
    }
    return [
        *(_best_checkpoint(use_case, name) for name in chosen.values()),
        *(_report(use_case, name) for name in use_case.candidates),
        _champion_report(use_case),
        *build_judge_assets(use_case),
        *build_first_answer_checks(use_case),
    ]


def _options(
    use_case: UseCase, candidate: str, record: type[Record], inputs: Sequence[str]
) -> dict[str, Any]:
    judge = use_case.evaluation.judge
    calibrated = [CALIBRATION] if judge and judge.calibration else []
    return {
        "path": (REPORT, candidate),
        "ins": {
            name: dg.AssetIn(key=_input_key(use_case, candidate, name), dagster_type=_INPUTS[name])
            for name in inputs
        },
        "deps": [
            *(asset_key(use_case, name) for name in ("cost_estimate", *calibrated)),
            *pipeline_keys(use_case),
        ],
        "kinds": {"gemini", "json"},
        "code_version": str(VERSION),
        "pool": POOL,
        "dagster_type": record,
        "check_specs": check_specs(use_case, candidate),
    }


def _input_key(use_case: UseCase, candidate: str, name: str) -> dg.AssetKey:
    """Key of an input; each variant of a sweep has a tuned model of its own."""
    chosen = use_case.candidates.get(candidate)
    if name == "tuned_model" and chosen is not None:
        return asset_key(use_case, *chosen.tuned_model)
    return asset_key(use_case, name)


def _report(use_case: UseCase, candidate: str) -> dg.AssetsDefinition:
    """The report of a candidate; a tuned one takes the tuned model as one more input."""
    chosen = use_case.candidates[candidate]
    inputs, who = ["evaluation_set", "prompt"], chosen.model
    if chosen.model == TUNED:
        inputs, who = [*inputs, "tuned_model"], "the tuned model"

    @use_case_asset(
        use_case,
        "evaluation",
        **_options(use_case, candidate, EvaluationReport, inputs),
        description=escape_markdown(f"Answers of {who} to the evaluation set, with their scores."),
    )
    def report(
        context: dg.AssetExecutionContext,
        config: EvaluationConfig,
        evaluation_set: DatasetSplit,
        prompt: PromptVersion,
        **tuned: TunedModel,
    ) -> Materialized:
        made_with = {name: model.prompt_digest for name, model in tuned.items()}
        require_parity(prompt, evaluation_set=evaluation_set.prompt_digest, **made_with)
        with open_workspace(context, use_case) as here:
            scope = read_scope(here.store, use_case, evaluation_set)
            task = candidate_task(scope, candidate, prompt, tuned.get("tuned_model"), here.models)
            made = _evaluate(context, config, task, here)
            return _result(here, made, made)

    return report


def _best_checkpoint(use_case: UseCase, candidate: str) -> dg.AssetsDefinition:
    """The tuned model, called by its best checkpoint, for the candidates that ask for it."""
    chosen = use_case.candidates[candidate]
    tuned_key = asset_key(use_case, "tuned_model", *chosen.tuned_model[1:])

    @use_case_asset(
        use_case,
        "tuning",
        path=chosen.tuned_model,
        description="The tuned model as it was after the epoch that does best on validation.",
        kinds={"gemini", "json"},
        code_version=str(VERSION),
        pool=POOL,
        ins={
            "tuned_model": dg.AssetIn(key=tuned_key),
            "validation_set": dg.AssetIn(key=asset_key(use_case, "validation_set")),
            "prompt": dg.AssetIn(key=asset_key(use_case, "prompt")),
        },
    )
    def best(
        context: dg.AssetExecutionContext,
        config: EvaluationConfig,
        tuned_model: TunedModel,
        validation_set: DatasetSplit,
        prompt: PromptVersion,
    ) -> dg.MaterializeResult[TunedModel]:
        require_parity(prompt, tuned_model=tuned_model.prompt_digest)
        with open_workspace(context, use_case) as here:
            tasks = checkpoint_tasks(
                use_case.name,
                use_case.evaluation,
                tuned_model,
                validation_examples(here.store, use_case, validation_set),
                prompt,
                chosen.generation,
            )
            reports = [_evaluate(context, config, task, here) for task in tasks]
        metric = selection_metric(use_case.evaluation)
        scores = [
            CheckpointScore(checkpoint=checkpoint, score=report.metrics[metric])
            for checkpoint, report in zip(tuned_model.checkpoints, reports, strict=True)
        ]
        found = best_checkpoint(scores)
        endpoint = found.endpoint if found else tuned_model.endpoint
        metadata: dict[str, Any] = {
            "chosen": f"after epoch {found.epoch}" if found else "the end: there is no checkpoint",
            "metric": metric,
            "endpoint": endpoint,
        }
        if found:
            metadata["scores"] = chart_image(checkpoint_chart(scores, metric), "Score by epoch")
        return dg.MaterializeResult(
            value=tuned_model.model_copy(update={"endpoint": endpoint}),
            metadata=metadata,
            data_version=dg.DataVersion(f"{tuned_model.fingerprint}:{endpoint}"),
        )

    return best


def _champion_report(use_case: UseCase) -> dg.AssetsDefinition:
    @use_case_asset(
        use_case,
        "evaluation",
        **_options(use_case, CHAMPION, ChampionEvaluation, ["evaluation_set"]),
        description=(
            "Answers of what production serves now to the current evaluation set, asked with its "
            "own prompt; says so when nothing was promoted yet."
        ),
    )
    def champion_report(
        context: dg.AssetExecutionContext, config: EvaluationConfig, evaluation_set: DatasetSplit
    ) -> Materialized:
        with open_workspace(context, use_case) as here:
            champion = served_champion(here.store, use_case.name)
            if champion is None:
                return _no_champion(use_case)
            scope = read_scope(here.store, use_case, evaluation_set)
            report = _evaluate(context, config, _champion_task(scope, champion, here.models), here)
            value = ChampionEvaluation(number=champion.number, report=report)
            return _result(here, report, value)

    return champion_report


def _champion_task(scope: EvaluationScope, champion: Champion, models: VertexAI) -> EvaluationTask:
    """The champion with the prompt it was promoted with, on the current evaluation set."""
    use_case = scope.use_case
    tuned = is_tuned(champion.model)
    base = use_case.tuning.base_model if tuned else champion.model
    address = models.model_address(base)
    return EvaluationTask(
        use_case=use_case.name,
        evaluation=use_case.evaluation,
        candidate=CHAMPION,
        model=Model(
            models.model_address(champion.model),
            base,
            champion.generation,
            registered=champion.registered_model,
        ),
        prompt=champion.prompt,
        evaluation_set=scope.evaluation_set,
        base=Model(address, base, champion.generation) if tuned else None,
        degradation=scope.degradation,
    )


def _no_champion(use_case: UseCase) -> Materialized:
    return dg.MaterializeResult(
        value=ChampionEvaluation(number=None, report=None),
        metadata={"champion": "none yet"},
        data_version=dg.DataVersion("none"),
        check_results=[
            dg.AssetCheckResult(
                check_name=spec.name, passed=True, description="There is no champion yet."
            )
            for spec in check_specs(use_case, CHAMPION)
        ],
    )


def _evaluate(
    context: dg.AssetExecutionContext,
    config: EvaluationConfig,
    task: EvaluationTask,
    here: Workspace,
) -> EvaluationReport:
    return evaluate(
        task,
        here.models,
        purse_of(here, context),
        log_progress(context.log, task.candidate, here.clock),
        config.cache,
        context.log,
    )


def _result(here: Workspace, report: EvaluationReport, value: R) -> Materialized:
    evaluation = here.use_case.evaluation
    metadata = report_metadata(report, read_rows(here.store, report), evaluation)
    if evaluation.experiment:
        metadata["experiment run"] = record_experiment_run(
            here.models.settings,
            evaluation.experiment,
            f"{report.candidate.replace('_', '-')}-{report.fingerprint[:16]}",
            *experiment_run(report),
        )
    return dg.MaterializeResult(
        value=value,
        metadata=metadata,
        data_version=dg.DataVersion(report.fingerprint),
        check_results=list(check_results(here.use_case, report)),
    )
