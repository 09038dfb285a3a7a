"""The emulator, a distribution of its own, as a process of its own.

Nothing of this package imports it; here alone it is started.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from genaiops_dagster.google_cloud.settings import EMULATOR_TOKEN, VERTEX_URL

VERSION_VARIABLE = "VERTEX_EMULATOR_VERSION"
"""Which version it is, among the variables that the emulator writes when it is ready."""

_COMPATIBLE = "0.1."
_PACKAGE = "vertex_emulator"
_REMEDY = "pip install ./emulator"
_START_SECONDS = 60
_ENVIRONMENT, _LOG, _USERS = "environment", "server.log", "users.lock"
"""Files in the state folder; the last is locked by all who use the emulator."""

_STOP_SECONDS = 30


class EmulatorError(RuntimeError):
    """There is no emulator, it does not start, or it is of a version that does not fit."""


def command(*options: str) -> list[str]:
    """The command line that starts the emulator with `options`.

    Raises:
        EmulatorError: it is not installed next to this package.
    """
    if importlib.util.find_spec(_PACKAGE) is None:
        raise EmulatorError(f"the emulator is not installed: {_REMEDY}")
    return [sys.executable, "-m", _PACKAGE, *options]


@dataclass(frozen=True)
class Served:
    """An emulator that serves.

    Attributes:
        variables: What points clients at it.
        log: Where it writes what goes wrong.
        process: Its process, if this one started it.
    """

    variables: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def why_gone(self) -> str:
        """A sentence about how it ended; empty while it answers."""
        if self.process is not None and self.process.poll() is None:
            return ""
        if self.process is None and answers(self.variables):
            return ""
        code = "" if self.process is None else f" with code {self.process.returncode}"
        return (
            f"the emulator at {self.variables[VERTEX_URL]} has ended{code}; {self.log} may say "
            "why. What was finished is kept: run again to go on"
        )


@contextlib.contextmanager
def serving(state: Path) -> Iterator[Served]:
    """The emulator that serves `state`; one is started if there is none.

    Several commands may use it at the same time. It ends with the last of them, whichever that is
    and however it ends.

    Raises:
        EmulatorError: it is not installed, does not start, or is of another version.
    """
    command()  # first: whether there is one to start
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    users = os.open(state / _USERS, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(users, fcntl.LOCK_SH)
        with FileLock(state / "starting.lock", timeout=2 * _START_SECONDS):
            served = _find(state) or _start(state)
        try:
            yield served
        finally:
            if served.process is not None and _is_last(users):
                served.process.terminate()
                served.process.wait(_STOP_SECONDS)
    finally:
        os.close(users)


def _is_last(users: int) -> bool:
    """Whether nobody else uses the emulator, and nobody begins to until this lock is given back."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _find(state: Path) -> Served | None:
    variables = _variables(state / _ENVIRONMENT)
    if variables and answers(variables):
        return Served(_compatible(variables), state / _LOG)
    return None


def _start(state: Path) -> Served:
    environment_file = state / _ENVIRONMENT
    start = command("--port", "0", "--state", str(state), "--stop-when-free", str(state / _USERS))
    environment_file.unlink(missing_ok=True)
    with (state / _LOG).open("ab") as log:
        process = subprocess.Popen(
            start,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the command; the emulator ends after it
        )
    try:
        variables = _compatible(_wait_until_ready(process, environment_file, state / _LOG))
    except BaseException:
        process.terminate()
        process.wait(_STOP_SECONDS)
        raise
    return Served(variables, state / _LOG, process)


def _wait_until_ready(
    process: subprocess.Popen[bytes], environment_file: Path, log: Path
) -> dict[str, str]:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        variables = _variables(environment_file)
        if variables:
            return variables
        time.sleep(0.02)
    last_lines = log.read_text(errors="replace").splitlines()[-5:]
    raise EmulatorError("\n".join(["the emulator did not start:", *last_lines, f"see {log}"]))


def _variables(environment_file: Path) -> dict[str, str]:
    """The `NAME='value'` lines that an emulator wrote when it was ready; empty before."""
    if not environment_file.exists():
        return {}
    pairs = (line.partition("=") for line in environment_file.read_text().splitlines())
    return {name: value.strip("'") for name, _, value in pairs}


def _compatible(variables: dict[str, str]) -> dict[str, str]:
    version = variables.get(VERSION_VARIABLE, "unknown")
    if version.startswith(_COMPATIBLE):
        return variables
    raise EmulatorError(
        f"the emulator at {variables[VERTEX_URL]} is version {version}, and this package works "
        f"with {_COMPATIBLE}x: stop it if it still runs, then {_REMEDY}"
    )


def answers(variables: Mapping[str, str]) -> bool:
    """Whether the emulator answers that wrote these client variables.

    It has to prove that it holds its token, which is not sent: another account's program may have
    taken the port of an emulator that ended.
    """
    url, challenge = variables[VERTEX_URL], secrets.token_hex(16)
    text = f"{urllib.parse.urlsplit(url).port} {challenge}"
    token = variables.get(EMULATOR_TOKEN, "")
    expected = hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()
    try:
        address = f"{url}/emulator/proof?challenge={challenge}"
        with urllib.request.urlopen(address, timeout=2) as response:  # noqa: S310
            return bool(token) and hmac.compare_digest(json.load(response)["proof"], expected)
    except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError):
        return False
