"""A job of ten minutes: nobody waits past the bound, and the pipeline goes on by itself."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.cloud import storage

from tests.integration.dev import (
    bucket_of,
    deliver,
    descendants,
    environment,
    served,
    wait_for_run_of,
    write_use_case,
)
from tests.integration.test_dev import materialize
from vertex_emulator.testing import RunningEmulator, start_emulator

TEN_MINUTES = 600
BOUND = 5
WORKERS = ("execute_run", "execute_step", "multiprocessing.forkserver", "multiprocessing.spawn")


@pytest.fixture
def slow_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningEmulator]:
    running = start_emulator(tmp_path / "state", "--tuning-seconds", str(TEN_MINUTES))
    for name, value in running.variables.items():
        monkeypatch.setenv(name, value)
    yield running
    running.stop()


def workers(process: int) -> list[str]:
    """Processes of runs and steps; without the UI, the daemon and their code servers."""
    found = descendants(process).values()
    return [command for command in found if any(mark in command for mark in WORKERS)]


def jump(emulator: RunningEmulator, seconds: float) -> None:
    """Let so much time pass on the emulator's clock."""
    emulator.add_fault(kind="clock", offset_seconds=seconds)


def record(bucket: storage.Bucket, asset: str) -> bool:
    return bool(bucket.blob(f"patient/assets/{asset}.json").exists())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_no_worker_waits_and_the_sensor_finishes_the_run(
    slow_service: RunningEmulator, tmp_path: Path
) -> None:
    use_cases, home = tmp_path / "use_cases", tmp_path / "home"
    home.mkdir()
    write_use_case(
        use_cases,
        "patient",
        tuning={"base_model": "gemini-3.5-flash", "epochs": 2, "wait_seconds": BOUND},
    )
    deliver(slow_service, "patient")
    bucket = bucket_of(slow_service)
    with served(home, environment(slow_service, use_cases)) as (url, process):
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(materialize, url, "patient_lifecycle")
            seen: set[str] = set()
            while not first.done():
                seen |= set(workers(process.pid))
                time.sleep(0.2)
        assert first.result() == "SUCCESS"
        assert seen, "the test does not see what a run's processes are called"
        assert record(bucket, "evaluation_report/flash")
        assert not record(bucket, "tuned_model")
        deadline = time.monotonic() + 30
        while workers(process.pid):  # a worker that reported its end may take a moment to exit
            assert time.monotonic() < deadline, workers(process.pid)
            time.sleep(0.5)
        for _ in range(40):  # longer than the sensor's interval
            assert workers(process.pid) == []
            time.sleep(1)
        assert not record(bucket, "tuned_model")

        jump(slow_service, TEN_MINUTES)
        _, status = wait_for_run_of(url, "patient_tuning")
        assert status == "SUCCESS"
        assert record(bucket, "tuned_model")
        assert record(bucket, "champion")
        assert record(bucket, "sample_content")
    assert slow_service.stats()["requests"]["vertex"]["tuningJobs.create"] == 1


@pytest.mark.slow
def test_the_command_says_that_a_job_outlasts_it_and_goes_on_the_next_time(
    slow_service: RunningEmulator, tmp_path: Path
) -> None:
    use_cases = tmp_path / "use_cases"
    write_use_case(
        use_cases,
        "patient",
        tuning={"base_model": "gemini-3.5-flash", "epochs": 2, "wait_seconds": 1},
    )
    deliver(slow_service, "patient")
    command = [sys.executable, "-m", "genaiops_dagster.cli", "run", "patient"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "--folder", str(tmp_path / "home")],
            env={**environment(slow_service, use_cases), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    left = run()
    assert left.returncode == 3, left.stdout + left.stderr
    assert "Still running" in left.stdout
    jump(slow_service, TEN_MINUTES)
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Still running" not in done.stdout
    assert record(bucket_of(slow_service), "champion")
    assert slow_service.stats()["requests"]["vertex"]["tuningJobs.create"] == 1
