"""Progress of a running job, for people: state, epoch, step and the newest losses."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genaiops_dagster.google_cloud.experiments import Point
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.tuning.losses import read_losses
from genaiops_dagster.tuning.states import has_ended, state_name
from genaiops_dagster.tuning.statistics import statistics_of

if TYPE_CHECKING:
    from google.genai import types

_LOSS_SECONDS = 60.0
"""How old losses may be while a job goes on within an epoch."""


@dataclass(frozen=True)
class Progress:
    """How far a job is, as far as the service says.

    Attributes:
        state: As the API spells it.
        detail: What the job does within its state; empty if unknown.
        epoch, epochs: Finished epochs, and how many there will be.
        step, steps: The same of training steps.
        losses: The newest value of each loss.
    """

    state: str
    detail: str = ""
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    losses: tuple[Point, ...] = ()

    def __str__(self) -> str:
        parts = [self.state]
        if self.detail:
            parts.append(self.detail)
        for what, done, of in (("epoch", self.epoch, self.epochs), ("step", self.step, self.steps)):
            if done is not None:
                parts.append(f"{what} {done}" + (f" of {of}" if of else ""))
        parts += [f"{point.metric} {point.value:.4g}" for point in self.losses]
        return ", ".join(parts)

    def metadata(self) -> dict[str, str | int | float]:
        """The same as metadata of an asset: numbers, of which the UI draws a line over time."""
        numbers = {"epoch": self.epoch, "step": self.step, "epochs": self.epochs}
        return {
            "state": self.state,
            **{name: number for name, number in numbers.items() if number is not None},
            **{point.metric: point.value for point in self.losses},
        }


def progress_of(job: types.TuningJob) -> Progress:
    """The progress that the job itself reports: everything but the losses.

    Epoch and step are those of the newest checkpoint where the job does not count them.
    """
    ended = has_ended(job)
    data, counted = statistics_of(job), job.tuning_job_metadata
    made = job.tuned_model.checkpoints if job.tuned_model else None
    newest = max(made or [], key=lambda checkpoint: checkpoint.step or 0, default=None)
    epoch = counted.completed_epoch_count if counted else None
    step = counted.completed_step_count if counted else None
    if newest is not None:
        epoch = newest.epoch if epoch is None else epoch
        step = newest.step if step is None else step
    return Progress(
        state=state_name(job),
        detail=str(job.tuning_job_state.value) if job.tuning_job_state and not ended else "",
        epoch=epoch,
        epochs=data.epochs,
        step=step,
        steps=data.steps,
    )


class ProgressReader:
    """Progress with losses, which are in the job's experiment.

    They are read when an epoch is done, and once a minute. If they cannot be read, a warning says
    so once, and progress goes on without them.
    """

    def __init__(self, settings: GoogleCloudSettings, clock: Clock, log: logging.Logger) -> None:
        self._settings = settings
        self._clock = clock
        self._log = log
        self._readable = True
        self._read_at = clock.elapsed()
        self._read_epoch: int | None = None
        self._losses: tuple[Point, ...] = ()

    def read(self, job: types.TuningJob) -> Progress:
        """The progress of `job` as it was just seen."""
        progress = progress_of(job)
        if self._are_due(job, progress):
            self._read_at, self._read_epoch = self._clock.elapsed(), progress.epoch
            found = read_losses(self._settings, job, self._log)
            self._readable = found is not None
            self._losses = newest_losses(found or [])
        return replace(progress, losses=self._losses)

    def _are_due(self, job: types.TuningJob, progress: Progress) -> bool:
        if not self._readable or not job.experiment or has_ended(job):
            return False
        old = self._clock.elapsed() - self._read_at >= _LOSS_SECONDS
        return old or bool(progress.epoch and progress.epoch != self._read_epoch)


def newest_losses(points: list[Point]) -> tuple[Point, ...]:
    """The last point of each metric, by metric."""
    last = {point.metric: point for point in sorted(points, key=lambda point: point.step)}
    return tuple(last[metric] for metric in sorted(last))
