"""A pipeline job survives the death of the emulator."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform

from emulator_tests.vertex_pipelines import compiled
from emulator_tests.vertex_pipelines.conftest import connect, tasks, wait
from vertex_emulator.testing import GOOGLE_VARIABLES, start_emulator


@pytest.fixture
def point_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    import os

    def point(running: Any) -> None:
        for name in list(os.environ):
            if name.startswith(GOOGLE_VARIABLES):
                monkeypatch.delenv(name)
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        connect(running)

    return point


@pytest.mark.slow
def test_a_job_goes_on_after_a_crash_and_keeps_what_had_ended(
    tmp_path: Path, point_at: Any
) -> None:
    started, count = tmp_path / "started", tmp_path / "count"
    running = start_emulator(tmp_path / "state")
    try:
        point_at(running)
        job = aiplatform.PipelineJob(
            display_name="sleeping",
            template_path=compiled.compile_to(tmp_path, compiled.sleeping),
            pipeline_root=f"gs://{running.variables['GENAIOPS_BUCKET']}/pipelines",
            parameter_values={
                "seconds": 3,
                "started_file": str(started),
                "count_file": str(count),
            },
        )
        job.submit()
        deadline = time.monotonic() + 60
        while not started.exists() or not started.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        first_process = int(started.read_text())
        running.kill()
        while Path(f"/proc/{first_process}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running = start_emulator(tmp_path / "state")
        point_at(running)
        again = aiplatform.PipelineJob.get(job.resource_name)
        assert wait(again) == "PIPELINE_STATE_SUCCEEDED", again.gca_resource.error
        assert tasks(again) == {"greet": "SUCCEEDED", "sleep": "SUCCEEDED"}
        assert count.read_text() == "x"
        assert len(started.read_text().splitlines()) == 2
    finally:
        running.stop()
