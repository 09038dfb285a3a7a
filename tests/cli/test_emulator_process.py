"""Without the emulator, and with one of another version, a command says in a line what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genaiops_dagster.cli import emulator_process
from genaiops_dagster.cli.emulator_process import VERSION_VARIABLE, EmulatorError, serving
from vertex_emulator import __version__
from vertex_emulator.testing import GOOGLE_VARIABLES, start_emulator


def genaiops(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`genaiops` in an environment without the emulator, and with nothing of Google's set."""
    (folder / "sitecustomize.py").write_text("import sys; sys.modules['vertex_emulator'] = None\n")
    bare = {k: v for k, v in os.environ.items() if not k.startswith((*GOOGLE_VARIABLES, "DAGSTER"))}
    return subprocess.run(
        [sys.executable, "-m", "genaiops_dagster.cli", *arguments],
        env={**bare, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("arguments", [["emulator"], ["run"], ["plan"], ["dev", "--port", "0"]])
def test_without_the_emulator_a_line_says_how_it_is_installed(
    tmp_path: Path, arguments: list[str]
) -> None:
    done = genaiops(tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr == "Error: the emulator is not installed: pip install ./emulator\n"


def test_without_the_emulator_the_definitions_load(tmp_path: Path) -> None:
    done = genaiops(tmp_path, "use-cases")
    assert done.returncode == 0, done.stderr
    assert "python_modules" in done.stdout


def test_the_emulator_says_its_version(tmp_path: Path) -> None:
    with serving(tmp_path / "state") as variables:
        assert variables[VERSION_VARIABLE] == __version__


def test_an_emulator_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start_emulator(tmp_path / "state")
    try:
        monkeypatch.setattr(emulator_process, "_COMPATIBLE", "7.")
        with (
            pytest.raises(
                EmulatorError, match=rf"version {__version__}.* with 7\.x.*install \./emu"
            ),
            serving(tmp_path / "state"),
        ):
            pass
        assert running.process.poll() is None, "it is not ours to stop"
    finally:
        running.stop()
