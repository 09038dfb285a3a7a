"""The emulator process that a benchmark measures: start, memory, processor time."""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "emulator" / "src" / "vertex_emulator"


def start(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Start an emulator on a free port; returns it with the variables that point clients at it.

    The package is compiled first, as it is where it was installed.
    """
    compileall.compile_dir(PACKAGE, quiet=2)
    env_file = folder / "emulator.env"
    started = time.perf_counter()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "vertex_emulator", "--port", "0"),
            *("--state", str(folder / "state"), "--env-file", str(env_file), "--stop-with-input"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not env_file.exists():
        if process.poll() is not None:
            raise SystemExit("The emulator did not start.")
        time.sleep(0.01)
    print(f"emulator ready after {time.perf_counter() - started:.2f} s")
    lines = env_file.read_text().splitlines()
    return process, {k: v.strip("'") for k, _, v in (line.partition("=") for line in lines)}


def ask(variables: Mapping[str, str], method: str, path: str, body: Any = None) -> Any:
    """Ask one of the emulator's own addresses, such as `stats`, with the token of `variables`."""
    request = urllib.request.Request(
        f"{variables['GOOGLE_VERTEX_BASE_URL']}/emulator/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {variables['VERTEX_EMULATOR_TOKEN']}"},
        method=method,
    )
    with urllib.request.urlopen(request) as response:
        return json.loads(response.read() or b"null")


def megabytes(process: subprocess.Popen[bytes]) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
