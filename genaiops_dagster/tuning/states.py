"""The meaning of each state of a tuning job for the pipeline.

Source: `JobState` in
https://cloud.google.com/vertex-ai/docs/reference/rest/v1/JobState. The SDK's own `has_ended` does
not know JOB_STATE_PARTIALLY_SUCCEEDED, so a loop over it would never end.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.genai import types


class Phase(Enum):
    """Where a job stands: under way, stopped until a person acts, made a model, or made none."""

    ACTIVE = "active"
    PAUSED = "paused"
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"


_PHASES = {
    "JOB_STATE_UNSPECIFIED": Phase.ACTIVE,
    "JOB_STATE_QUEUED": Phase.ACTIVE,
    "JOB_STATE_PENDING": Phase.ACTIVE,
    "JOB_STATE_RUNNING": Phase.ACTIVE,
    "JOB_STATE_UPDATING": Phase.ACTIVE,
    "JOB_STATE_CANCELLING": Phase.ACTIVE,
    "JOB_STATE_PAUSED": Phase.PAUSED,
    "JOB_STATE_SUCCEEDED": Phase.DONE,
    "JOB_STATE_PARTIALLY_SUCCEEDED": Phase.PARTIAL,
    "JOB_STATE_FAILED": Phase.FAILED,
    "JOB_STATE_CANCELLED": Phase.FAILED,
    "JOB_STATE_EXPIRED": Phase.FAILED,
}


class TuningJobError(RuntimeError):
    """A tuning job that made no usable model; the message has the service's own words."""


def state_name(job: types.TuningJob) -> str:
    """The job's state as the API spells it."""
    return "JOB_STATE_UNSPECIFIED" if job.state is None else str(job.state.value)


def phase(job: types.TuningJob) -> Phase:
    """The meaning of the job's state.

    A state that this release does not know is taken as under way, unless the job has an end time:
    then it is taken as failed, because nothing says that its model is whole.
    """
    known = _PHASES.get(state_name(job))
    if known is not None:
        return known
    return Phase.ACTIVE if job.end_time is None else Phase.FAILED


def has_ended(job: types.TuningJob) -> bool:
    """Whether the job's state is final."""
    return phase(job) in (Phase.DONE, Phase.PARTIAL, Phase.FAILED)


def failure(job: types.TuningJob, cancelled_because: str | None = None) -> TuningJobError:
    """The error for a job that failed, with the service's message and what to do."""
    reason = "the service gave no reason"
    if job.error is not None and (job.error.message or job.error.code):
        reason = f"{job.error.message or ''} (code {job.error.code})".strip()
    if cancelled_because:
        reason += f" (it was cancelled because {cancelled_because})"
    if job.tuned_model is not None and job.tuned_model.model:
        reason += f" (it left the model {job.tuned_model.model}, which has no working endpoint)"
    return TuningJobError(
        f"tuning job {job.name} ended as {state_name(job)}: {reason}\n"
        f"{console_url(job)}\n"
        "It is not started again by itself. Fix the cause, then materialize tuned_model with "
        "the run config `retry_failed: true`, or change the data or the tuning section."
    )


def console_url(job: types.TuningJob) -> str:
    """Page of the job in the Google Cloud console."""
    parts = (job.name or "").split("/")
    project, location, identifier = parts[1], parts[3], parts[5]
    return (
        "https://console.cloud.google.com/vertex-ai/generative/language/"
        f"locations/{location}/tuning/tuningJob/{identifier}?project={project}"
    )
