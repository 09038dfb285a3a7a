"""Jobs that a run waits for, or has left: what the sensor looks through.

A step that waits writes so every half minute. If it stops waiting, or falls silent because it was
killed, only the sensor can go on with its job.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import Record, find_object, to_json

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

HEARTBEAT_SECONDS = 30.0
SILENT_SECONDS = 150.0
TUNING, PIPELINES = "tuning", "pipelines"
"""Where notes of such jobs are, below the use case's folder."""


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
        """Whether no run waits for the job any more."""
        return self.left or now - self.seen >= SILENT_SECONDS


class Recipe(Protocol):
    """The recipe of a job."""

    @property
    def use_case(self) -> str:
        """Name of the use case."""

    @property
    def fingerprint(self) -> str:
        """Of everything that decides the job."""


class Job(Protocol):
    """A job of the service."""

    @property
    def name(self) -> str | None:
        """Resource name."""


class PendingNote:
    """A run's note in the bucket that it waits for a job, or has left it.

    Args:
        store: Bucket of the note.
        recipe: What the job is made of.
        asset: Name, in its use case, of the asset that the job makes.
        run_id: Dagster run that waits.
        clock: Says when the note has to be written again.
        folder: Folder of such notes below the use case's.
    """

    def __init__(
        self,
        store: ObjectStore,
        recipe: Recipe,
        asset: tuple[str, ...],
        run_id: str,
        clock: Clock,
        folder: str = TUNING,
    ) -> None:
        self._store, self._clock = store, clock
        self._name = Layout(recipe.use_case).pending_job(folder, recipe.fingerprint)
        self._fingerprint, self._asset, self._run_id = recipe.fingerprint, asset, run_id
        self._due = float("-inf")

    def waiting(self, job: Job) -> None:
        """Note that the run waits; called as often as you like, written every 30 seconds."""
        if self._clock.elapsed() >= self._due:
            self._write(job, left=False)
            self._due = self._clock.elapsed() + HEARTBEAT_SECONDS

    def left(self, job: Job) -> None:
        """Note that the run no longer waits, so that the sensor goes on."""
        self._write(job, left=True)

    def clear(self) -> None:
        """Remove the note: the job has been dealt with."""
        self._store.delete(self._name)

    def _write(self, job: Job, *, left: bool) -> None:
        note = PendingJob(
            fingerprint=self._fingerprint,
            job=job.name or "",
            asset=self._asset,
            run_id=self._run_id,
            seen=self._clock.now().timestamp(),
            left=left,
        )
        self._store.write(self._name, to_json(note))


def pending_jobs(store: ObjectStore, use_case: str, folder: str = TUNING) -> Iterator[PendingJob]:
    """Jobs that were pending when they were last seen."""
    for found in store.list(Layout(use_case).pending_jobs(folder)):
        job = find_object(store, found.name, PendingJob)
        if job is not None:
            yield job
