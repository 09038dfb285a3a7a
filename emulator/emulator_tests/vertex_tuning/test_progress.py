"""What a running job tells: epochs, checkpoints and losses, one after another.

https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-use-supervised-tuning (losses
are visible once the job runs) and .../tuning-checkpoints (checkpoints come as tuning goes on).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.genai import types

from emulator_tests.vertex_tuning.conftest import colour_examples, genai_client, wait
from vertex_emulator.testing import RunningEmulator, start_emulator

SECONDS = 1000
EPOCHS = 4


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningEmulator]:
    """An emulator whose jobs take long, so that the clock is moved by hand."""
    running = start_emulator(tmp_path / "state", "--tuning-seconds", str(SECONDS))
    for name, value in running.variables.items():
        monkeypatch.setenv(name, value)
    yield running
    running.stop()


@pytest.fixture
def emulator(slow: RunningEmulator) -> RunningEmulator:
    return slow


def move_clock(emulator: RunningEmulator, seconds: float) -> None:
    """Set the emulator's clock so far ahead."""
    emulator.ask("PUT", "faults", {"kind": "clock", "offset_seconds": seconds})


def until(client: Any, job: Any, done: Callable[[types.TuningJob], bool]) -> types.TuningJob:
    deadline = time.monotonic() + 60
    while not done(job):
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
        job = client.tunings.get(name=job.name)
    return job


def test_epochs_checkpoints_and_losses_come_one_after_another(
    slow: RunningEmulator, upload: Callable[..., str]
) -> None:
    from google.cloud import aiplatform

    client = genai_client(slow)
    job = client.tunings.tune(
        base_model="gemini-3.5-flash",
        training_dataset=types.TuningDataset(gcs_uri=upload(colour_examples())),
        config=types.CreateTuningJobConfig(
            epoch_count=EPOCHS,
            validation_dataset=types.TuningValidationDataset(
                gcs_uri=upload(colour_examples(8), "validation.jsonl")
            ),
        ),
    )
    assert job.tuning_job_metadata is None
    move_clock(slow, 650)  # pending takes a fifth of the time: two epochs have passed by now
    job = until(
        client,
        job,
        lambda seen: (
            seen.tuning_job_metadata is not None
            and seen.tuning_job_metadata.completed_epoch_count == 2
        ),
    )
    assert job.state is types.JobState.JOB_STATE_RUNNING
    assert [c.epoch for c in job.tuned_model.checkpoints] == [1, 2]
    assert job.tuned_model.model is None
    aiplatform.init(
        project=slow.variables["GOOGLE_CLOUD_PROJECT"],
        location=slow.variables["GOOGLE_CLOUD_LOCATION"],
        api_endpoint=slow.url,
        api_transport="rest",
    )
    experiment = job.experiment.rpartition("/")[2]
    running = aiplatform.get_experiment_df(experiment)
    losses = {"train_total_loss", "eval_total_loss"}

    def told(frame: Any) -> set[str]:
        return {column for column in frame.columns if "loss" in column}

    assert told(running) == {f"metric.{loss}_epoch_{n}" for loss in losses for n in (1, 2)}
    assert running["state"].tolist() == ["RUNNING"]
    move_clock(slow, SECONDS)
    job = wait(client, job)
    assert job.tuning_job_metadata.completed_epoch_count == EPOCHS
    assert all(checkpoint.endpoint for checkpoint in job.tuned_model.checkpoints)
    ended = aiplatform.get_experiment_df(experiment)
    assert told(ended) == {f"metric.{loss}_epoch_{n}" for loss in losses for n in range(1, 5)}
    assert ended["state"].tolist() == ["COMPLETE"]
