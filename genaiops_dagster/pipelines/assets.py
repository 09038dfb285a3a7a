"""Runs of compiled pipelines as assets: each made once for its template and parameters."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.orchestration.asset_options import asset_key, pipeline_key, use_case_asset
from genaiops_dagster.orchestration.metadata import markdown_table
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import open_workspace
from genaiops_dagster.pipelines.jobs import PipelineJobs
from genaiops_dagster.pipelines.outcome import run_of
from genaiops_dagster.pipelines.recipe import PipelineRecipe, pipeline_recipe
from genaiops_dagster.pipelines.states import console_url, describe_progress, has_ended
from genaiops_dagster.records.data import StoredRows
from genaiops_dagster.records.pipelines import PipelineRunRecord
from genaiops_dagster.records.record import read_record
from genaiops_dagster.tuning.pending import PIPELINES, PendingNote
from genaiops_dagster.tuning.waiting import JobKind, wait_for
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.pipelines import LIFECYCLE

POOL = "vertex_pipelines"
"""Dagster pool of the steps that wait for a pipeline job."""


class PipelineRunConfig(dg.Config):
    """Choices when materializing a run of a pipeline.

    Attributes:
        retry_failed: Start another job where the latest one of this recipe failed.
        run_again: Start another job where the latest one has ended; steps that did not change
            come from the cache.
    """

    retry_failed: bool = False
    run_again: bool = False


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition]:
    """The asset `vertex_pipeline_run/<name>` for each of the `pipelines` of a use case."""
    return [_pipeline_run(use_case, name) for name in use_case.pipelines]


def _pipeline_run(use_case: UseCase, name: str) -> dg.AssetsDefinition:
    run = use_case.pipelines[name]
    is_lifecycle = run.template == LIFECYCLE
    asset = tuple(pipeline_key(use_case, name).path[1:])
    upstream = ("source_rows", "cost_estimate") if is_lifecycle else ()

    @use_case_asset(
        use_case,
        "pipelines",
        path=asset,
        description=(
            "Data, tuning and evaluation as a pipeline on Vertex AI; what comes after finds what "
            "it made."
            if is_lifecycle
            else escape_markdown(f"A run of the compiled pipeline {run.template} on Vertex AI.")
        ),
        kinds={"googlecloud", "kubernetes"},
        code_version="1",
        pool=POOL,
        output_required=False,
        deps=[asset_key(use_case, asset) for asset in upstream],
    )
    def vertex_pipeline_run(
        context: dg.AssetExecutionContext,
        config: PipelineRunConfig,
    ) -> Iterator[dg.MaterializeResult[PipelineRunRecord] | dg.AssetObservation]:
        with open_workspace(context, use_case) as here:
            version = ""
            if is_lifecycle:
                version = read_record(here.store, StoredRows, use_case.name, "source_rows").digest
            settings = GoogleCloudSettings.from_environment()
            recipe = pipeline_recipe(use_case, name, here.store, settings, version)
            jobs = PipelineJobs(here.models, context.log)
            note = PendingNote(here.store, recipe, asset, context.run.run_id, here.clock, PIPELINES)
            job = wait_for(
                jobs.get_or_create(
                    recipe, retry_failed=config.retry_failed, run_again=config.run_again
                ),
                JobKind(lambda seen: jobs.get(seen.name), has_ended, describe_progress),
                run.wait_seconds,
                here.clock,
                context.log,
                note,
            )
            if not has_ended(job):
                context.log.info(
                    "Pipeline job %s is still running; sensor %s_pipelines goes on when it has "
                    "ended",
                    job.name,
                    use_case.name,
                )
                yield dg.AssetObservation(
                    context.asset_key,
                    metadata={"state": describe_progress(job), "console": console_url(job.name)},
                )
                return
            note.clear()
            record = run_of(job, recipe, emulated=here.models.emulated)
            yield dg.MaterializeResult(
                value=record,
                data_version=dg.DataVersion(record.fingerprint),
                metadata=_metadata(record, recipe),
            )

    return vertex_pipeline_run


def _metadata(record: PipelineRunRecord, recipe: PipelineRecipe) -> dict[str, Any]:
    """The asset's page about a run."""
    return {
        "job": dg.MetadataValue.url(console_url(record.job)),
        "dagster/uri": record.root,
        "pipeline": record.pipeline,
        "template": record.template,
        "fingerprint": record.fingerprint,
        "caching": recipe.caching,
        "from_cache": f"{record.cached} of {len(record.tasks)} steps",
        "charged": "emulated, nothing was charged" if record.emulated else "charged",
        "steps": markdown_table(
            ["step", "candidate", "state", "seconds"],
            [
                (task.name, task.about, _shown_state(task.state), task.seconds)
                for task in record.tasks
            ],
        ),
        "artifacts": markdown_table(["output", "address"], record.artifacts.items()),
        "outputs": markdown_table(
            ["output", "kind"], [(k, type(v).__name__) for k, v in record.outputs.items()]
        ),
    }


def _shown_state(state: str) -> str:
    return "cached" if state == "SKIPPED" else state.lower()
