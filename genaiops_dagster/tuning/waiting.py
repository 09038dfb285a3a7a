"""Waiting for a tuning job: bounded, telling progress, and safe to leave at any moment."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from genaiops_dagster.tuning.states import Phase, has_ended, phase, state_name

if TYPE_CHECKING:
    from google import genai
    from google.genai import types

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 30.0
_LOG_SECONDS = 60.0


def wait_for_job(
    client: genai.Client,
    job: types.TuningJob,
    seconds: float,
    log: logging.Logger,
    on_look: Callable[[types.TuningJob], None] = lambda _: None,
) -> types.TuningJob:
    """Ask for a job's state until it has ended or `seconds` have passed.

    The state is in the service alone: a process that is killed here loses nothing.

    Args:
        client: Gen AI client.
        job: The job as it was last seen.
        seconds: How long to wait at most.
        log: Where progress is told: each change, and once a minute.
        on_look: Called with the job each time it was looked at.

    Returns:
        The job as it was last seen; `has_ended` tells whether the time was enough.
    """
    started = time.monotonic()
    pause, logged_at, told = _FIRST_PAUSE, started, ""
    while True:
        now = time.monotonic()
        progress = describe_progress(job)
        if progress != told or now - logged_at >= _LOG_SECONDS:
            log.log(
                logging.WARNING if phase(job) is Phase.PAUSED else logging.INFO,
                "Tuning job %s: %s after %.0f s",
                job.name,
                progress,
                now - started,
            )
            logged_at, told = now, progress
        left = started + seconds - now
        on_look(job)
        if has_ended(job) or left <= 0:
            return job
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        job = client.tunings.get(name=job.name or "")


def describe_progress(job: types.TuningJob) -> str:
    """State, detail and finished epochs, as far as the service tells."""
    parts = [state_name(job)]
    if job.tuning_job_state is not None and not has_ended(job):
        parts.append(str(job.tuning_job_state.value))
    metadata = job.tuning_job_metadata
    if metadata is not None and metadata.completed_epoch_count:
        parts.append(f"{metadata.completed_epoch_count} epochs done")
    if metadata is not None and metadata.completed_step_count:
        parts.append(f"{metadata.completed_step_count} steps done")
    return ", ".join(parts)
