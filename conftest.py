"""Fixtures that every test may use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same cases everywhere; `HYPOTHESIS_PROFILE=search` looks for new ones.
settings.register_profile("repeat", derandomize=True, print_blob=True)
settings.register_profile("search", print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

GOOGLE_VARIABLES = (
    "GOOGLE_",
    "VERTEX_EMULATOR_",
    "STORAGE_EMULATOR_HOST",
    "BIGQUERY_EMULATOR_HOST",
    "GENAIOPS_",
)


@dataclass
class RunningEmulator:
    """An emulator process and the variables that point clients at it."""

    url: str
    variables: dict[str, str]
    state: Path
    process: subprocess.Popen[bytes]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask one of the emulator's own addresses, such as `faults`, with its token."""
        request = urllib.request.Request(
            f"{self.url}/emulator/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.variables['VERTEX_EMULATOR_TOKEN']}"},
            method=method,
        )
        with urllib.request.urlopen(request) as response:
            return json.loads(response.read() or b"null")

    def stats(self) -> dict[str, Any]:
        """What was asked of it so far."""
        return self.ask("GET", "stats")

    def add_fault(self, **fault: Any) -> None:
        """Put a fault in force besides those that are."""
        self.ask("POST", "faults", fault)

    def clear_faults(self) -> None:
        """No faults any more."""
        self.ask("DELETE", "faults")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)


def start_emulator(state: Path, *options: str) -> RunningEmulator:
    """Start `genaiops emulator` on a free port and wait until it answers."""
    state.mkdir(parents=True, exist_ok=True)
    env_file = state.parent / f"{state.name}.env"
    env_file.unlink(missing_ok=True)
    log = (state.parent / f"{state.name}.log").open("ab")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "genaiops_dagster.cli", "emulator", "--port", "0"),
            *("--state", str(state), "--env-file", str(env_file), "--stop-with-input"),
            *options,
        ],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
    )
    deadline = time.monotonic() + 60
    while not env_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"emulator did not start: {Path(log.name).read_text()[-3000:]}")
        time.sleep(0.02)
    lines = env_file.read_text().splitlines()
    variables = {k: v.strip("'") for k, _, v in (line.partition("=") for line in lines)}
    return RunningEmulator(variables["GOOGLE_VERTEX_BASE_URL"], variables, state, process)


@pytest.fixture(scope="session")
def _emulator_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    running = start_emulator(tmp_path_factory.mktemp("emulator") / "state")
    yield running
    running.stop()


@pytest.fixture
def emulator(
    _emulator_process: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> RunningEmulator:
    """One emulator for the whole session, with only its variables set for this test."""
    for name in list(os.environ):
        if name.startswith(GOOGLE_VARIABLES):
            monkeypatch.delenv(name)
    for name, value in _emulator_process.variables.items():
        monkeypatch.setenv(name, value)
    return _emulator_process


@contextmanager
def faults(emulator: RunningEmulator, *plan: dict[str, Any]) -> Iterator[None]:
    """Faults of the emulator that are in force for a while."""
    emulator.ask("PUT", "faults", list(plan))
    try:
        yield
    finally:
        emulator.clear_faults()
