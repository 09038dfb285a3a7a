"""The meaning of each state of a pipeline job.

Source: `PipelineState` in
https://cloud.google.com/vertex-ai/docs/reference/rest/v1/PipelineState.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1.types import PipelineJob

_ENDED = {"PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED"}


class PipelineJobError(RuntimeError):
    """A pipeline job that gave nothing; the message has the service's own words."""


def state_name(job: PipelineJob) -> str:
    """The job's state as the API spells it."""
    return str(job.state.name)


def has_ended(job: PipelineJob) -> bool:
    """Whether the job's state is final."""
    return state_name(job) in _ENDED


def ended_well(job: PipelineJob) -> bool:
    """Whether every step did its work."""
    return state_name(job) == "PIPELINE_STATE_SUCCEEDED"


def describe_progress(job: PipelineJob) -> str:
    """The job's state, and how many of its steps are in which."""
    counts: dict[str, int] = {}
    for task in job.job_detail.task_details:
        if task.parent_task_id:
            counts[task.state.name] = counts.get(task.state.name, 0) + 1
    steps = ", ".join(f"{count} {state.lower()}" for state, count in sorted(counts.items()))
    return f"{state_name(job)}{f' ({steps})' if steps else ''}"


def failure(job: PipelineJob) -> PipelineJobError:
    """The error to raise for a job that failed, with the failed steps' text and what to do."""
    reason = job.error.message or "the service gave no reason"
    return PipelineJobError(
        f"pipeline job {job.name} ended as {state_name(job)}: {reason}\n"
        f"{console_url(job.name)}\n"
        "It is not started again by itself. Fix the cause, then materialize the asset with the "
        "run config `retry_failed: true`; steps that did not change come from the cache."
    )


def console_url(name: str) -> str:
    """Page of the job in the Google Cloud console."""
    parts = name.split("/")
    project, location, identifier = parts[1], parts[3], parts[5]
    return (
        f"https://console.cloud.google.com/vertex-ai/locations/{location}/pipelines/runs/"
        f"{identifier}?project={project}"
    )
