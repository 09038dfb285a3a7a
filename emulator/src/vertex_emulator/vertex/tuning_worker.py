"""Moves tuning jobs through their states and trains their models.

The state of a job is in the store alone: after a crash each unfinished job starts again from its
document, with the ids it was given when it was created, so that nothing is left over twice.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from vertex_emulator.imports import one_import_at_a_time
from vertex_emulator.models.learners import Hyperparameters
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.database import Document
from vertex_emulator.vertex.jobs import JobThreads
from vertex_emulator.vertex.model_versions import find_version, register_tuned
from vertex_emulator.vertex.tuning_data import (
    MOST_VALIDATION_EXAMPLES,
    Dataset,
    InvalidDatasetError,
    preference_stats,
    read_dataset,
    supervised_stats,
)
from vertex_emulator.vertex.tuning_experiment import Losses, record_experiment

if TYPE_CHECKING:
    from vertex_emulator.models.tuned import TunedModel

KIND = "tuningJobs"
TERMINAL = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}

_ADAPTERS = {"ONE": 1, "TWO": 2, "FOUR": 4, "EIGHT": 8, "SIXTEEN": 16}
_UNFINISHED = {
    "JOB_STATE_QUEUED",
    "JOB_STATE_PENDING",
    "JOB_STATE_RUNNING",
    "JOB_STATE_CANCELLING",
    "JOB_STATE_PAUSED",
}
_PENDING_SHARE = 0.2
_MOST_CHECKPOINTS = 10
_AT_ONCE = 2
_LOSS_SAMPLE = 100

log = logging.getLogger(__name__)


class _StoppedError(Exception):
    """The job was cancelled, or the server stops."""


class TuningWorker(JobThreads):
    """Runs tuning jobs, each in a thread of its own, at most two of them training at once."""

    def __init__(self, context: VertexContext) -> None:
        self._training = threading.Semaphore(_AT_ONCE)
        super().__init__(context, KIND, TERMINAL)

    def submit(self, job: Document) -> None:
        """Store a new job and start it."""
        epochs = _hyperparameters(job).epochs
        resources = self._context.resources
        job["_submitted"] = self._time()
        job["_ids"] = {
            "model": resources.new_id(),
            "endpoints": [resources.new_id() for _ in _checkpoint_epochs(job, epochs)],
        }
        super().submit(job)

    def run(self, name: str) -> None:
        """Take the job called `name` to its end; raises nothing."""
        try:
            self._tune(name)
        except _StoppedError:
            self._set(
                name, {"JOB_STATE_CANCELLING"}, "JOB_STATE_CANCELLED", endTime=self._context.now()
            )
        except InvalidDatasetError as error:
            self._fail(name, 3, str(error))
        except Exception:
            log.exception("tuning job %s failed", name)
            self._fail(name, 13, "Internal error encountered while tuning.")

    def _tune(self, name: str) -> None:
        job = self._context.resources.get(name)
        if job is None:
            return
        fault = self._context.faults.job(KIND, job["baseModel"], name)
        duration = self._context.config.tuning_seconds
        self._wait_until(name, job["_submitted"] + _PENDING_SHARE * duration)
        if fault and fault.outcome == "pending":
            self._hold(name)
        self._set(name, {"JOB_STATE_PENDING"}, "JOB_STATE_RUNNING", startTime=self._context.now())
        if fault and fault.outcome == "pause":
            self._set(name, {"JOB_STATE_RUNNING"}, "JOB_STATE_PAUSED")
            self._hold(name)
        self._set(name, {"JOB_STATE_PAUSED"}, "JOB_STATE_RUNNING")
        if fault and fault.outcome == "fail":
            self._wait_until(name, job["_submitted"] + duration)
            self._fail(name, 13, fault.message)
            return
        with self._training:
            self._check(name)
            training, validation = self._read(job)
            stats = preference_stats if _is_preference(job) else supervised_stats
            self._set(
                name,
                {"JOB_STATE_RUNNING"},
                "JOB_STATE_RUNNING",
                tuningDataStats=stats(training, _hyperparameters(job).epochs),
            )
            losses = self._train(job, training, validation)
        self._tell(job, training, losses)
        self._wait_until(name, job["_submitted"] + duration)
        self._finish(job, training, losses)

    def _read(self, job: Document) -> tuple[Dataset, Dataset | None]:
        """The training and validation data sets."""
        spec = _spec(job)
        preference = _is_preference(job)
        open_file = self._context.storage.open
        validation = None
        if spec.get("validationDatasetUri"):
            validation = read_dataset(
                open_file,
                spec["validationDatasetUri"],
                preference=preference,
                most_examples=MOST_VALIDATION_EXAMPLES,
                fewest_examples=1,
            )
        return read_dataset(
            open_file, spec["trainingDatasetUri"], preference=preference
        ), validation

    def _train(self, job: Document, training: Dataset, validation: Dataset | None) -> list[Losses]:
        """Train and keep each checkpoint; the losses after each epoch."""
        with one_import_at_a_time:
            from vertex_emulator.models.tuned import train

        hyperparameters = _hyperparameters(job)
        kept = _checkpoint_epochs(job, hyperparameters.epochs)
        endpoints = job["_ids"]["endpoints"]
        losses: list[Losses] = []
        models = train(
            training.examples, hyperparameters, job["baseModel"], start=self._pre_tuned(job)
        )
        for epoch, model in enumerate(models, 1):
            self._check(job["name"])
            after = {_training_loss(job): model.loss(training.examples[:_LOSS_SAMPLE])}
            if validation:
                after["eval_total_loss"] = model.loss(validation.examples[:_LOSS_SAMPLE])
            losses.append(after)
            if epoch in kept:
                self._context.catalog.add(endpoints[kept.index(epoch)], model)
        return losses

    def _tell(self, job: Document, training: Dataset, losses: list[Losses]) -> None:
        """Record the job's progress; its epochs are spread evenly over its time.

        Google makes losses visible once a job runs, and checkpoints one after another:
        https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-use-supervised-tuning
        https://cloud.google.com/vertex-ai/generative-ai/docs/models/tuning-checkpoints
        """
        resources, spec = self._context.resources, _spec(job)
        duration = self._context.config.tuning_seconds
        for epoch in range(len(losses) + 1):
            share = _PENDING_SHARE + (1 - _PENDING_SHARE) * epoch / len(losses)
            self._wait_until(job["name"], job["_submitted"] + share * duration)
            time = self._context.now()
            progress: Document = {
                "tuningJobMetadata": {"completedEpochCount": str(epoch)},
                "experiment": record_experiment(resources, job, spec, losses[:epoch], time),
            }
            saved = [
                checkpoint
                for checkpoint in _checkpoints(job, training)
                if int(checkpoint["epoch"]) <= epoch
            ]
            if saved and not spec.get("exportLastCheckpointOnly"):
                progress["tunedModel"] = {"checkpoints": saved}
            self._set(job["name"], {"JOB_STATE_RUNNING"}, "JOB_STATE_RUNNING", **progress)

    def _pre_tuned(self, job: Document) -> TunedModel | None:
        source = job.get("preTunedModel")
        if source is None:
            return None
        version = find_version(self._context.resources, source["tunedModelName"])
        endpoint: str = version["_tuned"]["endpoints"][source["checkpointId"]]
        return self._context.catalog.tuned(endpoint.rpartition("/")[2])

    def _finish(self, job: Document, training: Dataset, losses: list[Losses]) -> None:
        """Register the model and end the job, unless it was cancelled in the meantime."""
        resources = self._context.resources
        epochs = _hyperparameters(job).epochs
        spec = _spec(job)
        checkpoints = _checkpoints(job, training)

        def change(current: Document) -> None:
            if self.closed or current["state"] != "JOB_STATE_RUNNING":
                return
            time = self._context.now()
            model, endpoints = register_tuned(resources, job, checkpoints, time)
            tuned: Document = {"model": model, "endpoint": endpoints[-1]}
            if not spec.get("exportLastCheckpointOnly"):
                tuned["checkpoints"] = [
                    {**checkpoint, "endpoint": endpoint}
                    for checkpoint, endpoint in zip(checkpoints, endpoints, strict=True)
                ]
            current.update(
                state="JOB_STATE_SUCCEEDED",
                endTime=time,
                updateTime=time,
                tunedModel=tuned,
                experiment=record_experiment(resources, job, spec, losses, time, ended=True),
            )

        # One transaction: no cancellation comes between, and no endpoint is seen without its model.
        resources.update(job["name"], change)
        self._context.stats.bill(job["baseModel"], training=training.billable_tokens * epochs)

    def _fail(self, name: str, code: int, message: str) -> None:
        self._set(
            name,
            _UNFINISHED - {"JOB_STATE_CANCELLING"},
            "JOB_STATE_FAILED",
            endTime=self._context.now(),
            error={"code": code, "message": message},
        )
        self._set(
            name, {"JOB_STATE_CANCELLING"}, "JOB_STATE_CANCELLED", endTime=self._context.now()
        )

    def _wait_until(self, name: str, moment: float) -> None:
        while True:
            self._check(name)
            left = moment - self._time()
            if left <= 0:
                return
            with self._changed:
                self._changed.wait(min(left, 1.0))

    def _time(self) -> float:
        """Seconds since 1970 on the emulator's clock, so that a clock that jumps ends long jobs."""
        return self._context.faults.now().timestamp()

    def _hold(self, name: str) -> None:
        """Wait until the fault that holds the job is lifted."""
        while self._context.faults:
            self._wait_until(name, self._time() + 0.2)

    def _check(self, name: str) -> None:
        """Raise `_StoppedError` when the job is to end."""
        job = self._context.resources.get(name) if not self.closed else None
        if job is None or job["state"] not in _UNFINISHED - {"JOB_STATE_CANCELLING"}:
            raise _StoppedError

    def _set(self, name: str, before: set[str], state: str, **fields: Any) -> None:
        """Move the job to `state` if it is in one of `before`, in one transaction."""
        if self.closed:
            return

        def change(job: Document) -> None:
            if job["state"] in before:
                job.update(fields, state=state, updateTime=self._context.now())

        self._context.resources.update(name, change)


def _is_preference(job: Document) -> bool:
    return "preferenceOptimizationSpec" in job


def _spec(job: Document) -> Document:
    spec: Document = job[
        "preferenceOptimizationSpec" if _is_preference(job) else "supervisedTuningSpec"
    ]
    return spec


def _hyperparameters(job: Document) -> Hyperparameters:
    given = _spec(job)["hyperParameters"]
    return Hyperparameters(
        epochs=int(given["epochCount"]),
        learning_rate_multiplier=float(given["learningRateMultiplier"]),
        adapter_size=_ADAPTERS[given["adapterSize"].removeprefix("ADAPTER_SIZE_")],
    )


def _training_loss(job: Document) -> str:
    """What the service calls the loss on the training data.

    https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-use-supervised-tuning
    https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-use-preference-tuning
    """
    return "preference_optimization_train_loss" if _is_preference(job) else "train_total_loss"


def _checkpoints(job: Document, training: Dataset) -> list[Document]:
    """Id, epoch and step of each checkpoint that the job leaves, in order."""
    epochs = _checkpoint_epochs(job, _hyperparameters(job).epochs)
    return [
        {"checkpointId": str(place), "epoch": str(epoch), "step": str(training.steps(epoch))}
        for place, epoch in enumerate(epochs, 1)
    ]


def _checkpoint_epochs(job: Document, epochs: int) -> list[int]:
    """The epochs after which a checkpoint is kept: each up to ten, else ten spread over all.

    https://cloud.google.com/vertex-ai/generative-ai/docs/models/tuning-checkpoints
    """
    if _spec(job).get("exportLastCheckpointOnly"):
        return [epochs]
    if epochs <= _MOST_CHECKPOINTS:
        return list(range(1, epochs + 1))
    return [round(epochs * place / _MOST_CHECKPOINTS) for place in range(1, _MOST_CHECKPOINTS + 1)]
