"""An emulator for tests, as a process of its own.

This module needs nothing beyond the standard library, so that a pytest plugin may import it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

GOOGLE_VARIABLES = (
    "GOOGLE_",
    "VERTEX_EMULATOR_",
    "STORAGE_EMULATOR_HOST",
    "BIGQUERY_EMULATOR_HOST",
    "GENAIOPS_",
)
"""Prefixes of the variables that say where Google's clients call, or what they use there."""

_START_SECONDS = 60
_STOP_SECONDS = 30


@dataclass
class RunningEmulator:
    """An emulator process and the variables that point clients at it.

    Attributes:
        url: Its address.
        variables: Environment variables for Google's clients.
        state: Folder that holds its state.
        process: The process.
        options: Further options of the command with which it was started.
    """

    url: str
    variables: dict[str, str]
    state: Path
    process: subprocess.Popen[bytes]
    options: tuple[str, ...] = ()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask one of the emulator's own addresses, such as `faults`, with its token.

        Returns:
            The JSON of the answer; None when it is empty.
        """
        request = urllib.request.Request(  # noqa: S310 - always http, on this machine
            f"{self.url}/emulator/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.variables['VERTEX_EMULATOR_TOKEN']}"},
            method=method,
        )
        with urllib.request.urlopen(request) as response:  # noqa: S310
            return json.loads(response.read() or b"null")

    def stats(self) -> dict[str, Any]:
        """Its counts of requests so far."""
        counts: dict[str, Any] = self.ask("GET", "stats")
        return counts

    def add_fault(self, **fault: Any) -> None:
        """Add a fault to those in force."""
        self.ask("POST", "faults", fault)

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.ask("DELETE", "faults")

    def reset(self) -> None:
        """Start again, with an empty state, on the same port.

        The credentials are new: `variables` holds another token, and earlier clients must be
        made again.
        """
        self.kill()
        port = str(urlsplit(self.url).port)
        started = start_emulator(self.state, *self.options, "--port", port, "--reset")
        self.variables, self.process = started.variables, started.process

    def stop(self) -> None:
        """End it as a person would, and wait for the end."""
        self.process.terminate()
        self.process.wait(_STOP_SECONDS)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait(_STOP_SECONDS)


def start_emulator(state: Path, *options: str) -> RunningEmulator:
    """Start `vertex-emulator` on a free port and wait until it answers.

    It ends when this process ends, if not before. Its output is kept next to the state folder.

    Args:
        state: Folder that holds its state; created when missing.
        options: Further options of the command.

    Raises:
        RuntimeError: it did not start; the message has the end of what it wrote.
    """
    state.mkdir(parents=True, exist_ok=True)
    env_file = state.parent / f"{state.name}.env"
    env_file.unlink(missing_ok=True)
    with (state.parent / f"{state.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "vertex_emulator", "--port", "0"),
                *("--state", str(state), "--env-file", str(env_file), "--stop-with-input"),
                *options,
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    deadline = time.monotonic() + _START_SECONDS
    while not env_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait(_STOP_SECONDS)
            raise RuntimeError(f"emulator did not start: {Path(log.name).read_text()[-3000:]}")
        time.sleep(0.02)
    lines = env_file.read_text().splitlines()
    variables = {k: v.strip("'") for k, _, v in (line.partition("=") for line in lines)}
    return RunningEmulator(variables["GOOGLE_VERTEX_BASE_URL"], variables, state, process, options)


@contextmanager
def faults(emulator: RunningEmulator, *plan: dict[str, Any]) -> Iterator[None]:
    """Faults of the emulator that are in force for a while."""
    emulator.ask("PUT", "faults", list(plan))
    try:
        yield
    finally:
        emulator.clear_faults()
