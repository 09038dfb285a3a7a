"""Jobs outlive the process, and fail, pause or wait when told to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage
from google.genai import types

from emulator_tests.vertex_tuning.conftest import answer, colour_examples, genai_client, wait
from vertex_emulator.testing import RunningEmulator, start_emulator

States = types.JobState
pytestmark = pytest.mark.filterwarnings("ignore:.*tuning implementation is experimental")


@pytest.fixture
def own_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., RunningEmulator]]:
    """Starts emulators on one state folder, with their variables set."""
    started = []

    def start(*options: Any) -> Any:
        running = start_emulator(tmp_path / "state", "--tuning-seconds", "0.6", *options)
        started.append(running)
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        return running

    yield start
    for running in started:
        running.kill()


def start_job(running: Any, client: Any) -> Any:
    bucket = storage.Client().bucket(running.variables["GENAIOPS_BUCKET"])
    lines = "\n".join(map(json.dumps, colour_examples()))
    bucket.blob("train.jsonl").upload_from_string(lines)
    return client.tunings.tune(
        base_model="gemini-3.5-flash",
        training_dataset=types.TuningDataset(gcs_uri=f"gs://{bucket.name}/train.jsonl"),
        config=types.CreateTuningJobConfig(epoch_count=2),
    )


def test_a_job_goes_on_after_kill_9(own_emulator: Callable[..., RunningEmulator]) -> None:
    running = own_emulator()
    job = start_job(running, genai_client(running))
    time.sleep(0.2)
    running.kill()
    running = own_emulator()
    client = genai_client(running)
    job = wait(client, client.tunings.get(name=job.name))
    assert job.has_succeeded
    assert len(list(client.tunings.list())) == 1
    models = list(client.models.list(config={"query_base": False}))
    assert [model.name for model in models] == [job.tuned_model.model.partition("@")[0]]
    question = "What colour has sky number 77?"
    assert answer(client, job.tuned_model.endpoint, question) == "blue"
    running.kill()
    running = own_emulator()
    client = genai_client(running)
    assert answer(client, job.tuned_model.endpoint, question) == "blue"


def set_fault(running: Any, outcome: Any) -> None:
    running.clear_faults()
    plan = {
        "seed": 1,
        "faults": [{"kind": "job", "outcome": outcome, "message": "Out of accelerators."}],
    }
    running.ask("POST", "faults", plan)


def test_jobs_fail_or_wait_on_request(own_emulator: Callable[..., RunningEmulator]) -> None:
    running = own_emulator()
    client = genai_client(running)
    set_fault(running, "fail")
    failed = wait(client, start_job(running, client))
    assert failed.state == States.JOB_STATE_FAILED
    assert failed.error.message == "Out of accelerators."
    for outcome, state in (
        ("pending", States.JOB_STATE_PENDING),
        ("pause", States.JOB_STATE_PAUSED),
    ):
        set_fault(running, outcome)
        held, cancelled = start_job(running, client), start_job(running, client)
        time.sleep(0.8)
        assert client.tunings.get(name=held.name).state == state
        client.tunings.cancel(name=cancelled.name)
        assert wait(client, cancelled).state == States.JOB_STATE_CANCELLED
        running.clear_faults()
        assert wait(client, client.tunings.get(name=held.name)).has_succeeded
