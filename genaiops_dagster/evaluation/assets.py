"""The assets of evaluation: one report for each candidate, and one for what production serves."""

from typing import Any, TypeVar

import dagster as dg

from genaiops_dagster.budget.degrade import Terms, read_terms
from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.budget.pricing import is_tuned
from genaiops_dagster.evaluation.asking.inference import Model
from genaiops_dagster.evaluation.checkpoints import (
    best_checkpoint,
    checkpoint_chart,
    score_checkpoints,
    selection_metric,
    validation_examples,
)
from genaiops_dagster.evaluation.checks import REPORT, check_results, check_specs
from genaiops_dagster.evaluation.evaluate import VERSION, EvaluationTask, evaluate
from genaiops_dagster.evaluation.judge_assets import CALIBRATION, build_judge_assets
from genaiops_dagster.evaluation.page import experiment_run, report_metadata
from genaiops_dagster.evaluation.progress import POOL, EvaluationConfig, log_progress
from genaiops_dagster.evaluation.report import read_rows
from genaiops_dagster.google_cloud.experiments import record_experiment_run
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.resources import (
    ObjectStoreResource,
    VertexAIResource,
    WarehouseResource,
)
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.orchestration.asset_options import (
    Materialized,
    asset_key,
    asset_options,
    pipeline_keys,
)
from genaiops_dagster.orchestration.metadata import chart_image
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.prompts.rendering import candidate_prompt
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.evaluation import ChampionEvaluation, EvaluationReport
from genaiops_dagster.records.promotion import Champion, served_champion
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import Record
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.use_case import (
    CHAMPION,
    TUNED,
    UseCase,
)

R = TypeVar("R", bound=Record)


class PromptParityError(RuntimeError):
    """A model would be evaluated with another prompt than its data was made with."""


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition]:
    """Reports of the candidates and the champion, and what the judge does beside them."""
    chosen = {
        candidate.variant: name
        for name, candidate in use_case.candidates.items()
        if candidate.checkpoint == "best"
    }
    return [
        *(_best_checkpoint(use_case, name) for name in chosen.values()),
        *(
            _tuned_report(use_case, name) if chosen.model == TUNED else _base_report(use_case, name)
            for name, chosen in use_case.candidates.items()
        ),
        _champion_report(use_case),
        *build_judge_assets(use_case),
    ]


def _options(
    use_case: UseCase, candidate: str, record: type[Record], *inputs: str
) -> dict[str, Any]:
    judge = use_case.evaluation.judge
    calibrated = [CALIBRATION] if judge and judge.calibration else []
    return {
        **asset_options(use_case, "evaluation"),
        "key_prefix": [use_case.name, REPORT],
        "name": candidate,
        "ins": {name: dg.AssetIn(key=_input_key(use_case, candidate, name)) for name in inputs},
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


def _base_report(use_case: UseCase, candidate: str) -> dg.AssetsDefinition:
    chosen = use_case.candidates[candidate]

    @dg.asset(
        **_options(use_case, candidate, EvaluationReport, "evaluation_set", "prompt"),
        description=escape_markdown(
            f"Answers of {chosen.model} to the evaluation set, with their scores."
        ),
    )
    def base_report(
        context: dg.AssetExecutionContext,
        config: EvaluationConfig,
        object_store: ObjectStoreResource,
        vertex_ai: VertexAIResource,
        warehouse: WarehouseResource,
        evaluation_set: DatasetSplit,
        prompt: PromptVersion,
    ) -> Materialized:
        require_parity(prompt, evaluation_set=evaluation_set.prompt_digest)
        store, clients = object_store.get_store(), vertex_ai.get_clients()
        terms = read_terms(store, use_case, evaluation_set)
        task = EvaluationTask(
            use_case=terms.use_case,
            candidate=candidate,
            model=Model(clients.model_address(chosen.model), chosen.model, chosen.generation),
            prompt=candidate_prompt(use_case, candidate, prompt),
            evaluation_set=terms.evaluation_set,
            degradation=terms.degradation,
        )
        with warehouse.get_warehouse() as tables:
            report = _evaluate(context, config, task, store, clients, tables)
        return _result(use_case, store, clients, report, report)

    definition: dg.AssetsDefinition = base_report
    return definition


def _tuned_report(use_case: UseCase, candidate: str) -> dg.AssetsDefinition:
    chosen = use_case.candidates[candidate]

    @dg.asset(
        **_options(
            use_case, candidate, EvaluationReport, "evaluation_set", "prompt", "tuned_model"
        ),
        description="Answers of the tuned model to the evaluation set, with their scores.",
    )
    def tuned_report(
        context: dg.AssetExecutionContext,
        config: EvaluationConfig,
        object_store: ObjectStoreResource,
        vertex_ai: VertexAIResource,
        warehouse: WarehouseResource,
        evaluation_set: DatasetSplit,
        prompt: PromptVersion,
        tuned_model: TunedModel,
    ) -> Materialized:
        require_parity(
            prompt,
            evaluation_set=evaluation_set.prompt_digest,
            tuned_model=tuned_model.prompt_digest,
        )
        store, clients = object_store.get_store(), vertex_ai.get_clients()
        terms, base = read_terms(store, use_case, evaluation_set), tuned_model.base_model
        task = EvaluationTask(
            use_case=terms.use_case,
            candidate=candidate,
            model=Model(tuned_model.endpoint_after(chosen.checkpoint), base, chosen.generation),
            prompt=prompt,
            evaluation_set=terms.evaluation_set,
            base=Model(clients.model_address(base), base, chosen.generation),
            degradation=terms.degradation,
        )
        with warehouse.get_warehouse() as tables:
            report = _evaluate(context, config, task, store, clients, tables)
        return _result(use_case, store, clients, report, report)

    definition: dg.AssetsDefinition = tuned_report
    return definition


def _best_checkpoint(use_case: UseCase, candidate: str) -> dg.AssetsDefinition:
    """The tuned model, called by its best checkpoint, for the candidates that ask for it."""
    chosen = use_case.candidates[candidate]
    key = asset_key(use_case, *chosen.tuned_model)
    tuned_key = asset_key(use_case, "tuned_model", *chosen.tuned_model[1:])

    @dg.asset(
        **{**asset_options(use_case, "tuning"), "key_prefix": key.path[:-1]},
        name=key.path[-1],
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
        object_store: ObjectStoreResource,
        vertex_ai: VertexAIResource,
        warehouse: WarehouseResource,
        tuned_model: TunedModel,
        validation_set: DatasetSplit,
        prompt: PromptVersion,
    ) -> dg.MaterializeResult[TunedModel]:
        require_parity(prompt, tuned_model=tuned_model.prompt_digest)
        store, clients = object_store.get_store(), vertex_ai.get_clients()
        with warehouse.get_warehouse() as tables:
            scores = score_checkpoints(
                use_case,
                tuned_model,
                validation_examples(store, use_case, validation_set),
                prompt,
                chosen.generation,
                lambda task: _evaluate(context, config, task, store, clients, tables),
            )
        found, metric = best_checkpoint(scores), selection_metric(use_case)
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

    definition: dg.AssetsDefinition = best
    return definition


def _champion_report(use_case: UseCase) -> dg.AssetsDefinition:
    @dg.asset(
        **_options(use_case, CHAMPION, ChampionEvaluation, "evaluation_set"),
        description=(
            "Answers of what production serves now to the current evaluation set, asked with its "
            "own prompt; says so when nothing was promoted yet."
        ),
    )
    def champion_report(
        context: dg.AssetExecutionContext,
        config: EvaluationConfig,
        object_store: ObjectStoreResource,
        vertex_ai: VertexAIResource,
        warehouse: WarehouseResource,
        evaluation_set: DatasetSplit,
    ) -> Materialized:
        store = object_store.get_store()
        champion = served_champion(store, use_case.name)
        if champion is None:
            return _no_champion(use_case)
        clients = vertex_ai.get_clients()
        terms = read_terms(store, use_case, evaluation_set)
        task = _champion_task(terms, champion, clients)
        with warehouse.get_warehouse() as tables:
            report = _evaluate(context, config, task, store, clients, tables)
        value = ChampionEvaluation(number=champion.number, report=report)
        return _result(use_case, store, clients, report, value)

    definition: dg.AssetsDefinition = champion_report
    return definition


def _champion_task(terms: Terms, champion: Champion, clients: VertexAI) -> EvaluationTask:
    """The champion with the prompt it was promoted with, on the current evaluation set."""
    use_case = terms.use_case
    tuned = is_tuned(champion.model)
    base = use_case.tuning.base_model if tuned else champion.model
    address = clients.model_address(base)
    return EvaluationTask(
        use_case=use_case,
        candidate=CHAMPION,
        model=Model(clients.model_address(champion.model), base, champion.generation),
        prompt=champion.prompt,
        evaluation_set=terms.evaluation_set,
        base=Model(address, base, champion.generation) if tuned else None,
        degradation=terms.degradation,
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
    store: ObjectStore,
    clients: VertexAI,
    tables: Warehouse,
) -> EvaluationReport:
    purse = Purse(task.use_case, store, tables, context.run.run_id)
    progress = log_progress(context, task.candidate)
    return evaluate(task, store, clients, purse, progress, config.cache, context.log)


def require_parity(prompt: PromptVersion, **digests: str) -> None:
    """Check that everything was made with `prompt`.

    Args:
        prompt: The current prompt.
        digests: Prompt digest by asset name.

    Raises:
        PromptParityError: something was made with another prompt.
    """
    others = [name for name, digest in digests.items() if digest != prompt.digest]
    if others:
        raise PromptParityError(
            f"{', '.join(others)} was made with another prompt than the current one "
            f"({prompt.digest[:12]}); materialize {', '.join(others)} again"
        )


def _result(
    use_case: UseCase,
    store: ObjectStore,
    clients: VertexAI,
    report: EvaluationReport,
    value: R,
) -> Materialized:
    evaluation = use_case.evaluation
    metadata = report_metadata(report, read_rows(store, report), evaluation)
    if evaluation.experiment:
        metadata["experiment run"] = record_experiment_run(
            clients.settings,
            evaluation.experiment,
            f"{report.candidate.replace('_', '-')}-{report.fingerprint[:16]}",
            *experiment_run(report),
        )
    return dg.MaterializeResult(
        value=value,
        metadata=metadata,
        data_version=dg.DataVersion(report.fingerprint),
        check_results=list(check_results(use_case, report)),
    )
