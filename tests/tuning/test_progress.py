"""How far a job is, in words and figures."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from google.genai import types

from genaiops_dagster.google_cloud.experiments import Point
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.tuning import progress as progress_module
from genaiops_dagster.tuning.progress import ProgressReader, newest_losses, progress_of

SETTINGS = GoogleCloudSettings(project="p", location="us-central1", bucket="b", dataset="d")


def job(epoch: int | None = None, *, step: int | None = None, state: str = "RUNNING") -> Any:
    spec = types.SupervisedTuningSpec(
        hyper_parameters=types.SupervisedHyperParameters(epoch_count=4)
    )
    checkpoints = [types.TunedModelCheckpoint(epoch=n, step=10 * n) for n in range(1, 3)]
    return types.TuningJob(
        name="projects/p/locations/l/tuningJobs/1",
        state=f"JOB_STATE_{state}",
        experiment="projects/p/locations/l/metadataStores/default/contexts/e",
        supervised_tuning_spec=spec,
        tuning_job_metadata=(
            None
            if epoch is None
            else types.TuningJobMetadata(completed_epoch_count=epoch, completed_step_count=step)
        ),
        tuned_model=types.TunedModel(checkpoints=checkpoints) if epoch is None else None,
    )


def test_the_newest_checkpoint_counts_where_the_job_counts_nothing() -> None:
    found = progress_of(job())
    assert (found.epoch, found.epochs, found.step) == (2, 4, 20)
    assert str(found) == "JOB_STATE_RUNNING, epoch 2 of 4, step 20"


def test_what_the_job_counts_goes_first() -> None:
    found = progress_of(job(3, step=31))
    assert str(found) == "JOB_STATE_RUNNING, epoch 3 of 4, step 31"
    assert found.metadata() == {"state": "JOB_STATE_RUNNING", "epoch": 3, "step": 31, "epochs": 4}


def test_the_newest_losses_are_told() -> None:
    points = [Point("train", 2, 0.25), Point("train", 1, 0.5), Point("eval", 1, 0.75)]
    assert newest_losses(points) == (Point("eval", 1, 0.75), Point("train", 2, 0.25))


def test_losses_are_read_once_an_epoch_and_a_failure_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[list[Point] | Exception] = [
        [Point("train_total_loss", 1, 0.5)],
        PermissionError("no such right"),
    ]

    def series(_settings: GoogleCloudSettings, _experiment: str) -> list[Point]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("genaiops_dagster.tuning.losses.read_experiment_series", series)
    reader = ProgressReader(SETTINGS, SYSTEM_CLOCK, logging.getLogger("progress"))
    assert not reader.read(job(0)).losses
    assert str(reader.read(job(1))) == "JOB_STATE_RUNNING, epoch 1 of 4, train_total_loss 0.5"
    assert reader.read(job(1)).losses
    assert len(answers) == 1, "the same epoch was read twice"
    with caplog.at_level(logging.WARNING):
        assert not reader.read(job(2)).losses
        assert not reader.read(job(3)).losses
    assert [record.getMessage() for record in caplog.records] == [
        "The losses of projects/p/locations/l/tuningJobs/1 cannot be read: no such right"
    ]


def test_within_an_epoch_losses_are_read_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "_LOSS_SECONDS", 0.0)
    monkeypatch.setattr(
        "genaiops_dagster.tuning.losses.read_experiment_series",
        lambda _settings, _experiment: [Point("train_total_loss", 7, 0.5)],
    )
    reader = ProgressReader(SETTINGS, SYSTEM_CLOCK, logging.getLogger("progress"))
    assert reader.read(job(0)).losses
    assert (
        not ProgressReader(SETTINGS, SYSTEM_CLOCK, logging.getLogger("p"))
        .read(job(2, state="FAILED"))
        .losses
    )
