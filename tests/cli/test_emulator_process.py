"""Without the emulator, and with one of another version, a command says in a line what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from genaiops_dagster.cli import emulator_process
from genaiops_dagster.cli.emulator_process import VERSION_VARIABLE, EmulatorError, serving
from tests.values import present
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
    with serving(tmp_path / "state") as served:
        assert served.variables[VERSION_VARIABLE] == __version__


USER = """
import sys
from pathlib import Path
from genaiops_dagster.cli.emulator_process import answers, serving
with serving(Path(sys.argv[1])) as served:
    print(served.variables["GOOGLE_VERTEX_BASE_URL"], flush=True)
    sys.stdin.read()
    print(answers(served.variables), flush=True)
"""


def _user(state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_first_commands_share_an_emulator_that_ends_with_the_last(tmp_path: Path) -> None:
    """The one that started it may end first, and even be killed."""
    users = [_user(tmp_path / "state") for _ in range(2)]
    addresses = {present(user.stdout).readline() for user in users}
    assert len(addresses) == 1
    users[0].kill()
    users[0].wait()
    still_there, _ = users[1].communicate("", timeout=60)
    assert still_there == "True\n"
    variables = emulator_process._variables(tmp_path / "state" / "environment")
    deadline = time.monotonic() + 30
    while emulator_process.answers(variables):
        assert time.monotonic() < deadline, "nobody uses it any more"
        time.sleep(0.2)


DEPENDENT = """
import os, signal, sys, time, subprocess
from pathlib import Path
from genaiops_dagster.cli.session import SessionError, open_session
try:
    with open_session(Path(sys.argv[1])) as session:
        print("ready", flush=True)
        if sys.argv[2] == "stuck":
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(600)
except SessionError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("how", ["waiting", "stuck"])
def test_an_emulator_that_died_is_named_within_seconds(tmp_path: Path, how: str) -> None:
    bare = {k: v for k, v in os.environ.items() if not k.startswith((*GOOGLE_VARIABLES, "DAGSTER"))}
    bare.pop("GENAIOPS_BUCKET", None)
    process = subprocess.Popen(
        [sys.executable, "-c", DEPENDENT, str(tmp_path), how],
        env=bare,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert present(process.stdout).readline() == "ready\n"
    [emulator] = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "vertex_emulator" in " ".join(child.cmdline())
    ]
    emulator.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "has ended with code -9" in errors
    assert "run again to go on" in errors


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
