"""Jobs that somebody waits for, or did: what the sensor looks through.

While a step waits it says so now and then. One that ended its wait, or from which nothing was heard
for a while because it was killed, leaves a job that only the sensor can go on with.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import Record, find_object, to_json

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

HEARTBEAT_SECONDS = 30.0
SILENT_SECONDS = 150.0
TUNING = "tuning"


class PendingJob(Record):
    """A job that had not ended when it was last seen: `<use case>/<kind>/pending/<recipe>.json`.

    Attributes:
        fingerprint: Of the recipe.
        job: Resource name of the job.
        asset: Name of the asset that it makes, in its use case.
        run_id: Dagster run that waits, or waited.
        seen: When that run last said so, in seconds since 1970.
        left: Whether it ended its wait.
    """

    fingerprint: str
    job: str
    asset: tuple[str, ...] = ("tuned_model",)
    run_id: str
    seen: float
    left: bool

    def is_abandoned(self, now: float) -> bool:
        """Whether nobody waits for the job any more."""
        return self.left or now - self.seen >= SILENT_SECONDS


class _Recipe(Protocol):
    """What a job is made of."""

    @property
    def use_case(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...


class _Job(Protocol):
    """A job of the service."""

    @property
    def name(self) -> str | None: ...


def mark_pending(
    store: ObjectStore,
    recipe: _Recipe,
    job: _Job,
    asset: tuple[str, ...],
    run_id: str,
    *,
    left: bool,
    folder: str = TUNING,
) -> None:
    """Say that a run waits for a job, or that it has `left` it.

    Args:
        store: Bucket of the note.
        recipe: What the job is made of.
        job: The job.
        asset: Name of the asset that it makes, in its use case.
        run_id: Dagster run that waits, or waited.
        left: Whether it ended its wait.
        folder: Where notes of such jobs are, below the use case's folder.
    """
    note = PendingJob(
        fingerprint=recipe.fingerprint,
        job=job.name or "",
        asset=asset,
        run_id=run_id,
        seen=time.time(),
        left=left,
    )
    store.write(
        Layout(recipe.use_case).pending_job(folder, recipe.fingerprint),
        to_json(note),
    )


def clear_pending(
    store: ObjectStore, use_case: str, fingerprint: str, folder: str = TUNING
) -> None:
    """Say that the job's end was dealt with."""
    store.delete(Layout(use_case).pending_job(folder, fingerprint))


def pending_jobs(store: ObjectStore, use_case: str, folder: str = TUNING) -> Iterator[PendingJob]:
    """Jobs that were pending when they were last seen."""
    for found in store.list(Layout(use_case).pending_jobs(folder)):
        job = find_object(store, found.name, PendingJob)
        if job is not None:
            yield job
