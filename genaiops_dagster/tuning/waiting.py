"""Waiting for a tuning job: bounded, telling progress, and safe to leave at any moment."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from genaiops_dagster.tuning.progress import progress_of
from genaiops_dagster.tuning.states import Phase, has_ended, phase

if TYPE_CHECKING:
    from google import genai
    from google.genai import types

J = TypeVar("J")

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 30.0
_LOG_SECONDS = 60.0


def wait_for_job(
    client: genai.Client,
    job: types.TuningJob,
    seconds: float,
    log: logging.Logger,
    on_look: Callable[[types.TuningJob], None] = lambda _: None,
    describe: Callable[[types.TuningJob], str] = lambda job: str(progress_of(job)),
) -> types.TuningJob:
    """Ask for a job's state until it has ended or `seconds` have passed.

    The state is in the service alone: a process that is killed here loses nothing.

    Args:
        client: Gen AI client.
        job: The job as it was last seen.
        seconds: How long to wait at most.
        log: Where progress is told: each change, and once a minute.
        on_look: Called with the job each time it was looked at.
        describe: Its progress, in words.

    Returns:
        The job as it was last seen; `has_ended` tells whether the time was enough.
    """
    return wait_until(
        lambda seen: client.tunings.get(name=seen.name or ""),
        job,
        seconds,
        log,
        name=job.name or "",
        has_ended=has_ended,
        describe=describe,
        on_look=on_look,
        warns=lambda seen: phase(seen) is Phase.PAUSED,
    )


def wait_until(
    look: Callable[[J], J],
    job: J,
    seconds: float,
    log: logging.Logger,
    *,
    name: str,
    has_ended: Callable[[J], bool],
    describe: Callable[[J], str],
    on_look: Callable[[J], None],
    warns: Callable[[J], bool] = lambda _: False,
) -> J:
    """Look at a job of any service, less and less often, until it has ended or time is up.

    Args:
        look: Asks for the job as it is now.
        job: The job as it was last seen.
        seconds: How long to wait at most.
        log: Where progress is told: each change, and once a minute.
        name: What the log calls it.
        has_ended: Whether its state is final.
        describe: Its progress, in words.
        on_look: Called with the job each time it was looked at.
        warns: Whether its progress is a warning.
    """
    started = time.monotonic()
    pause, logged_at, told = _FIRST_PAUSE, started, ""
    while True:
        now = time.monotonic()
        progress = describe(job)
        if progress != told or now - logged_at >= _LOG_SECONDS:
            level = logging.WARNING if warns(job) else logging.INFO
            log.log(level, "Job %s: %s after %.0f s", name, progress, now - started)
            logged_at, told = now, progress
        left = started + seconds - now
        on_look(job)
        if has_ended(job) or left <= 0:
            return job
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        job = look(job)
