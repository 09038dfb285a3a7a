"""An emulator without KFP in its environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform

from emulator_tests.vertex_pipelines import compiled
from emulator_tests.vertex_pipelines.conftest import connect
from vertex_emulator.testing import start_emulator


def test_a_pipeline_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['kfp'] = None\n")
    path = os.pathsep.join(filter(None, (str(hidden), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    running = start_emulator(tmp_path / "state")
    try:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        connect(running)
        job = aiplatform.PipelineJob(
            display_name="greeting",
            template_path=compiled.compile_to(tmp_path, compiled.greeting),
            pipeline_root=f"gs://{running.variables['GENAIOPS_BUCKET']}/pipelines",
            parameter_values={"recipient": "x"},
        )
        with pytest.raises(exceptions.BadRequest, match=r"\./emulator\[pipelines\]"):
            job.submit()
        assert aiplatform.PipelineJob.list() == []
    finally:
        running.stop()
