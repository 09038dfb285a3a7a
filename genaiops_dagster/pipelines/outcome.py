"""The outcome of a finished pipeline job, read from the service's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genaiops_dagster.pipelines.recipe import PipelineRecipe
from genaiops_dagster.pipelines.states import ended_well, failure
from genaiops_dagster.records.pipelines import PipelineRunRecord, PipelineTask

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1.types import PipelineJob, PipelineTaskDetail

_OUTPUT = "output:"


def run_of(job: PipelineJob, recipe: PipelineRecipe, *, emulated: bool) -> PipelineRunRecord:
    """The outcome of a job.

    Raises:
        PipelineJobError: the job failed or was cancelled.
    """
    if not ended_well(job):
        raise failure(job)
    details = job.job_detail.task_details
    steps = [task for task in details if task.parent_task_id]
    return PipelineRunRecord(
        fingerprint=recipe.fingerprint,
        job=job.name,
        template=recipe.template,
        pipeline=recipe.pipeline,
        root=recipe.root,
        tasks=[_task(task) for task in steps],
        outputs=next((_outputs(task) for task in details if not task.parent_task_id), {}),
        artifacts={
            f"{task.task_name}/{name}": artifact.uri
            for task in steps
            for name, found in task.outputs.items()
            for artifact in found.artifacts
            if artifact.uri
        },
        emulated=emulated,
    )


def _task(task: PipelineTaskDetail) -> PipelineTask:
    seconds = None
    if task.start_time and task.end_time:
        seconds = (task.end_time - task.start_time).total_seconds()
    candidate = _metadata(task).get("input:candidate")
    return PipelineTask(
        name=task.task_name,
        state=task.state.name,
        seconds=seconds,
        about=str(candidate) if candidate else None,
        error=task.error.message or None,
    )


def _outputs(task: PipelineTaskDetail) -> dict[str, Any]:
    metadata = _metadata(task)
    return {k.removeprefix(_OUTPUT): v for k, v in metadata.items() if k.startswith(_OUTPUT)}


def _metadata(task: PipelineTaskDetail) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    execution = type(task.execution).pb(task.execution)
    metadata: dict[str, Any] = MessageToDict(execution).get("metadata", {})
    return metadata
