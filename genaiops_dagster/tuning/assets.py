"""The tuned model as an asset: made once for its data and recipe, however often it is run."""

from collections.abc import Iterator

import dagster as dg

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.orchestration.asset_options import (
    asset_key,
    inputs,
    pipeline_keys,
    use_case_asset,
)
from genaiops_dagster.orchestration.metadata import chart_image, markdown_table
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import open_workspace
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.tuning import TunedModel, tuned_model_path
from genaiops_dagster.tuning.losses import loss_chart, read_losses
from genaiops_dagster.tuning.progress import progress_of
from genaiops_dagster.tuning.recipe import TuningRecipe, tuning_recipe
from genaiops_dagster.tuning.states import console_url, has_ended
from genaiops_dagster.tuning.tune import TuningRun
from genaiops_dagster.use_case import UseCase

POOL = "vertex_ai_tuning"
"""Dagster pool of the steps that wait for a tuning job; limit it to what the quota allows."""


class TunedModelConfig(dg.Config):
    """Choices when materializing the tuned model.

    Attributes:
        retry_failed: Start and pay another job where the latest one of this recipe failed.
    """

    retry_failed: bool = False


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The asset `tuned_model` of a use case, those of its sweep, and their checks."""
    variants = use_case.tuning.variants()
    return [asset for variant in variants for asset in _tuned_model(use_case, variant)]


def _tuned_model(
    use_case: UseCase, variant: str | None
) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """One tuned model, with its checks."""
    path = tuned_model_path(variant)
    key = asset_key(use_case, *path)

    @use_case_asset(
        use_case,
        "tuning",
        path=path,
        description="The model tuned on the training set; the same data and recipe are paid once.",
        kinds={"gemini", "googlecloud"},
        code_version="1",
        output_required=False,
        pool=POOL,
        deps=pipeline_keys(use_case),
        ins=inputs(use_case, "training_set", "validation_set", "cost_estimate"),
    )
    def tuned_model(
        context: dg.AssetExecutionContext,
        config: TunedModelConfig,
        training_set: DatasetSplit,
        validation_set: DatasetSplit,
        cost_estimate: CostEstimate,
    ) -> Iterator[dg.MaterializeResult[TunedModel] | dg.AssetObservation]:
        with open_workspace(context, use_case) as here:
            recipe = tuning_recipe(use_case, here.store, training_set, validation_set, variant)
            run = TuningRun(
                recipe=recipe,
                variant=variant,
                tuning=use_case.tuning,
                estimate=cost_estimate,
                purse=Purse(
                    use_case.name,
                    use_case.budget,
                    here.store,
                    here.warehouse,
                    here.clock,
                    context.run.run_id,
                ),
                models=here.models,
                log=context.log,
                on_progress=lambda progress: context.log_event(
                    dg.AssetObservation(
                        context.asset_key,
                        description=escape_markdown(str(progress)),
                        metadata=progress.metadata(),
                    )
                ),
            )
            job = run.wait(run.find_or_create(retry_failed=config.retry_failed))
            if not has_ended(job):
                context.log.info(
                    "Tuning job %s is still running; sensor %s_tuning goes on when it has ended",
                    job.name,
                    use_case.name,
                )
                yield dg.AssetObservation(
                    context.asset_key,
                    metadata={**progress_of(job).metadata(), "console": console_url(job)},
                )
                return
            model = run.finish(job)
            metadata = _metadata(model, recipe, run.own_estimate, console_url(job))
            losses = read_losses(here.models.settings, job, context.log)
            if losses:
                metadata["losses"] = chart_image(loss_chart(losses), "Loss by step")
                metadata["loss_by_step"] = markdown_table(
                    ["metric", "step", "loss"], [(p.metric, p.step, p.value) for p in losses]
                )
            yield dg.MaterializeResult(
                value=model, data_version=dg.DataVersion(model.fingerprint), metadata=metadata
            )

    @dg.asset_check(
        asset=key,
        name="job_succeeded",
        description="The job ended as succeeded, not in part.",
        blocking=True,
    )
    def job_succeeded(tuned_model: TunedModel) -> dg.AssetCheckResult:
        passed = tuned_model.state == "JOB_STATE_SUCCEEDED"
        return dg.AssetCheckResult(
            passed=passed,
            description=None
            if passed
            else escape_markdown(f"{tuned_model.job} ended as {tuned_model.state}"),
            metadata={"state": tuned_model.state, "job": tuned_model.job},
        )

    @dg.asset_check(
        asset=key,
        name="dropped_examples",
        description="The service left out no more examples than the use case allows.",
    )
    def dropped_examples(tuned_model: TunedModel) -> dg.AssetCheckResult:
        dropped, examples = tuned_model.dropped_count, tuned_model.examples or 0
        share = dropped / max(examples, dropped) if dropped else 0.0
        return dg.AssetCheckResult(
            passed=share <= use_case.tuning.maximum_dropped_share,
            severity=dg.AssetCheckSeverity.WARN,
            description=escape_markdown(f"{dropped} examples were left out ({share:.1%})"),
            metadata={
                "dropped": dropped,
                "share": share,
                "ceiling": use_case.tuning.maximum_dropped_share,
                "reasons": markdown_table(
                    ["reason", "examples named"], tuned_model.dropped_examples.items()
                ),
            },
        )

    return [tuned_model, job_succeeded, dropped_examples]


def _metadata(
    model: TunedModel, recipe: TuningRecipe, estimate: CostEstimate, url: str
) -> dict[str, dg.MetadataValue | str | int | float]:
    """The asset's page about a tuned model."""
    chosen = "the service's choice"
    return {
        "job": dg.MetadataValue.url(url),
        "model": model.model,
        "endpoint": model.endpoint,
        "charged": "emulated, nothing was charged" if model.emulated else "charged",
        "data_and_prompt": markdown_table(
            ["what", "digest"],
            [
                ("training set", model.training_digest),
                ("validation set", recipe.validation_digest),
                ("prompt", model.prompt_digest),
                ("recipe", model.fingerprint),
            ],
        ),
        "hyperparameters": markdown_table(
            ["name", "value"],
            [
                ("base model", recipe.base_model),
                ("epochs", model.epochs),
                ("learning rate multiplier", recipe.learning_rate_multiplier or chosen),
                ("adapter size", recipe.adapter_size or chosen),
            ],
        ),
        "data_statistics": markdown_table(
            ["what", "value"],
            [
                ("examples", model.examples),
                ("dropped examples", model.dropped_count),
                ("steps", model.steps),
                ("billed tokens", model.billable_tokens),
                ("estimated tokens", estimate.tokens),
                ("cost in USD", model.cost_usd),
                ("estimated cost in USD", estimate.cost_usd),
            ],
        ),
        "checkpoints": markdown_table(
            ["id", "epoch", "step", "endpoint"],
            [(c.id, c.epoch, c.step, c.endpoint) for c in model.checkpoints],
        ),
    }
