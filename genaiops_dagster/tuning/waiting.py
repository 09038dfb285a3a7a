"""Waiting for a job of a service: bounded, with progress, and safe to leave at any moment."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from genaiops_dagster.google_cloud.patience import read_patiently
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.tuning.pending import Job, PendingNote
from genaiops_dagster.tuning.progress import progress_of
from genaiops_dagster.tuning.states import Phase, has_ended, phase

if TYPE_CHECKING:
    from google import genai
    from google.genai import types


J = TypeVar("J", bound=Job)

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 30.0
_LOG_SECONDS = 60.0


@dataclass(frozen=True)
class JobKind(Generic[J]):
    """How the jobs of a service are looked at.

    Attributes:
        look: Gives the job as it is now.
        has_ended: Whether its state is final.
        describe: Its progress, in words.
        warns: Whether its progress is a warning.
    """

    look: Callable[[J], J]
    has_ended: Callable[[J], bool]
    describe: Callable[[J], str]
    warns: Callable[[J], bool] = lambda _: False


def tuning_jobs(
    client: genai.Client,
    describe: Callable[[types.TuningJob], str] = lambda job: str(progress_of(job)),
) -> JobKind[types.TuningJob]:
    """How tuning jobs are looked at."""
    return JobKind(
        look=lambda seen: client.tunings.get(name=seen.name or ""),
        has_ended=has_ended,
        describe=describe,
        warns=lambda seen: phase(seen) is Phase.PAUSED,
    )


def wait_for(
    job: J,
    kind: JobKind[J],
    seconds: float,
    clock: Clock,
    log: logging.Logger,
    note: PendingNote | None = None,
    on_look: Callable[[J], None] = lambda _: None,
) -> J:
    """Look at a job, less and less often, until it has ended or time is up.

    The state is in the service alone: a process that is killed here loses nothing.

    Args:
        job: The job as it was last seen.
        kind: How it is looked at.
        seconds: How long to wait at most.
        clock: Gives the time, and sleeps between two looks.
        log: Receives progress: each change, and a line a minute.
        note: Says to the sensor that somebody waits, or has left.
        on_look: Called with the job each time it was looked at.

    Returns:
        The job as it was last seen; `kind.has_ended` says whether the time was enough.
    """
    started = clock.elapsed()
    pause, logged_at, logged = _FIRST_PAUSE, started, ""
    try:
        while True:
            now = clock.elapsed()
            progress = kind.describe(job)
            if progress != logged or now - logged_at >= _LOG_SECONDS:
                level = logging.WARNING if kind.warns(job) else logging.INFO
                log.log(level, "Job %s: %s after %.0f s", job.name, progress, now - started)
                logged_at, logged = now, progress
            on_look(job)
            if kind.has_ended(job):
                return job
            left = started + seconds - now
            if left <= 0:
                break
            if note:
                note.waiting(job)
            clock.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            job = read_patiently(functools.partial(kind.look, job), clock.sleep)
    except BaseException:
        if note:
            note.left(job)
        raise
    if note:
        note.left(job)
    return job
