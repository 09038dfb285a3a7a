"""Google's SDK pointed at the emulator, and compiled pipelines."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google.auth
import pytest
from google.cloud import aiplatform
from google.cloud.aiplatform.utils import resource_manager_utils

from emulator_tests.vertex_pipelines.compiled import compile_to
from vertex_emulator.testing import RunningEmulator

ENDED = {"PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED"}


def connect(running: RunningEmulator) -> None:
    credentials, _ = google.auth.load_credentials_from_file(
        running.variables["GOOGLE_APPLICATION_CREDENTIALS"],
        scopes=["https://www.googleapis.com/auth/cloud-platform"],
    )
    aiplatform.init(
        credentials=credentials,  # it would keep those of an earlier emulator otherwise
        project=running.variables["GOOGLE_CLOUD_PROJECT"],
        location=running.variables["GOOGLE_CLOUD_LOCATION"],
        api_endpoint=running.url,
        api_transport="rest",
    )


def wait(job: aiplatform.PipelineJob, seconds: float = 120) -> str:
    """The state in which a job ends."""
    deadline = time.monotonic() + seconds
    while (state := job.state.name) not in ENDED:
        assert time.monotonic() < deadline, f"{job.resource_name} is still {state}"
        time.sleep(0.1)
    return state


def tasks(job: aiplatform.PipelineJob) -> dict[str, str]:
    """State by task, without the pipeline's own."""
    return {task.task_name: task.state.name for task in job.task_details if task.parent_task_id}


def outputs(job: aiplatform.PipelineJob, task: str) -> dict[str, Any]:
    """Output parameters of a task."""
    (found,) = [detail for detail in job.task_details if detail.task_name == task]
    prefix = "output:"
    metadata = dict(found.execution.metadata)
    return {k.removeprefix(prefix): v for k, v in metadata.items() if k.startswith(prefix)}


@pytest.fixture(autouse=True)
def _no_resource_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """`submit` asks another service of Google, over gRPC, which project owns the bucket.

    Where nobody answers it tries for most of a minute, writes a warning and goes on.
    """
    monkeypatch.setattr(resource_manager_utils, "get_project_number", lambda *_: "0")


@pytest.fixture
def submit(emulator: RunningEmulator, tmp_path: Path) -> Callable[..., aiplatform.PipelineJob]:
    """Compiles a pipeline and submits it."""
    connect(emulator)
    bucket = emulator.variables["GENAIOPS_BUCKET"]

    def run(pipeline: Any, parameters: Any = None, **options: Any) -> aiplatform.PipelineJob:
        job = aiplatform.PipelineJob(
            display_name=pipeline.name,
            template_path=compile_to(tmp_path, pipeline),
            pipeline_root=f"gs://{bucket}/pipelines",
            parameter_values=parameters,
            **options,
        )
        job.submit()
        return job

    return run
