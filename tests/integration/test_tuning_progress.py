"""State, epoch, step and loss of a tuning job are seen while it runs, in the log and the UI."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.planning.assets import build_assets as budget_assets
from genaiops_dagster.tuning.assets import build_assets as tuning_assets
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import colours_use_case, materialize, open_store, store_data
from vertex_emulator.testing import RunningEmulator, start_emulator

SECONDS = 1000


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningEmulator]:
    running = start_emulator(tmp_path / "state", "--tuning-seconds", str(SECONDS))
    for name, value in running.variables.items():
        monkeypatch.setenv(name, value)
    yield running
    running.stop()


def advance(emulator: RunningEmulator, seconds: float) -> None:
    """Let so much time pass on the emulator's clock, in addition to what has passed."""
    emulator.add_fault(kind="clock", offset_seconds=seconds)


def observations(instance: dg.DagsterInstance, use_case: UseCase) -> list[dict[str, Any]]:
    """The observations of the tuned model, oldest first."""
    records = instance.fetch_observations(asset_key(use_case, "tuned_model"), limit=100).records
    found = [record.asset_observation for record in records]
    return [
        {"said": one.description, **{name: value.value for name, value in one.metadata.items()}}
        for one in reversed(found)
        if one is not None
    ]


def test_epochs_and_losses_are_told_while_the_job_runs(slow: RunningEmulator) -> None:
    use_case = colours_use_case(
        tuning={"base_model": "gemini-3.5-flash", "epochs": 4, "wait_seconds": 120}
    )
    store_data(open_store(slow), use_case, validation=10)
    with dg.DagsterInstance.ephemeral() as instance, ThreadPoolExecutor(1) as pool:
        assets = [*budget_assets(use_case), *tuning_assets(use_case)]
        run = pool.submit(materialize, use_case, assets, instance=instance)

        def wait_for(**figures: Any) -> None:
            deadline = time.monotonic() + 100
            while not any(
                figures.items() <= told.items() for told in observations(instance, use_case)
            ):
                assert not run.done()
                assert time.monotonic() < deadline, observations(instance, use_case)
                time.sleep(0.2)

        wait_for(state="JOB_STATE_PENDING")
        for epoch, seconds in ((1, 410), (2, 200), (3, 200)):
            advance(slow, seconds)
            wait_for(epoch=epoch)
        advance(slow, SECONDS)
        assert run.result().success
        told = observations(instance, use_case)
        log = [entry.user_message for entry in instance.all_logs(run.result().run_id)]
    assert told[0]["state"] == "JOB_STATE_PENDING"
    running = [one for one in told if one.get("epoch")]
    assert [one["epoch"] for one in running] == [1, 2, 3]
    assert {one["epochs"] for one in running} == {4}
    for one in running:
        assert one["state"] == "JOB_STATE_RUNNING"
        assert one["step"] > 0
        assert one["train_total_loss"] > 0
        assert one["eval_total_loss"] > 0
    losses = [one["eval_total_loss"] for one in running]
    assert len(set(losses)) == len(losses), "different epochs reported the same loss"
    for one in running:
        said = f"epoch {one['epoch']} of 4, step {one['step']}"
        assert any(said in line and "train_total_loss" in line for line in log), log
        assert said in one["said"]
