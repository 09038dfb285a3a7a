"""`genaiops dev`: the Dagster UI and daemon on this project, with the emulator beneath."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.session import SessionError, open_session
from genaiops_dagster.cli.ui_address import published_ui_address
from genaiops_dagster.use_case import UseCaseError, load_use_cases

_START_SECONDS = 120


def dev(
    port: Annotated[int, typer.Option(help="Port of the UI; 0 takes a free one.")] = 3000,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Serve the Dagster UI on loopback, with the daemon that runs schedules and sensors.

    Works on Google Cloud when GENAIOPS_BUCKET is set, else on an emulator. Ctrl-C stops everything.
    """
    console = Console()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        load_use_cases()
        with open_session(folder) as session:
            _create_history()
            url = f"http://127.0.0.1:{port or _free_port()}"
            where = session.emulator_url or f"Google Cloud, project {session.settings.project}"
            with _processes(_commands(url)) as processes:
                _wait_for(url, processes)
                with published_ui_address(folder, url):
                    console.print(f"[bold]Dagster UI[/]  {url}")
                    console.print(f"[bold]Vertex AI[/]   {where}")
                    console.print(f"[bold]History[/]     {os.environ['DAGSTER_HOME']}")
                    console.print("Ctrl-C stops everything.")
                    _until_one_ends(processes)
    except (UseCaseError, SessionError) as error:
        fail(str(error), code=2)
    except KeyboardInterrupt:
        console.print("stopped")


def _create_history() -> None:
    """Create the tables of Dagster's history before several processes would, at the same moment.

    On a new folder the web server, the daemon and their code servers each find no tables; two that
    create them at once leave a migration state that no process can read afterwards.
    """
    from dagster import DagsterInstance

    with DagsterInstance.get():
        pass


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _commands(url: str) -> dict[str, list[str]]:
    host, _, port = url.removeprefix("http://").partition(":")
    scripts = Path(sysconfig.get_path("scripts"))
    workspace = ("-w", str(files("genaiops_dagster.cli").joinpath("workspace.yaml")))
    return {
        "web server": [*(str(scripts / "dagster-webserver"), "-h", host, "-p", port, *workspace)],
        "daemon": [str(scripts / "dagster-daemon"), "run", *workspace],
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _processes(
    commands: dict[str, list[str]],
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run each command in a process group of its own, and end every group afterwards."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            running[name] = subprocess.Popen(command, start_new_session=True)
        yield running
    finally:
        for process in running.values():
            _signal_group(process, signal.SIGINT)
        for process in running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _wait_for(url: str, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        _check(processes)
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SessionError(f"the web server did not answer on {url} in {_START_SECONDS} seconds")


def _until_one_ends(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    while True:
        _check(processes)
        time.sleep(0.5)


def _check(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise SessionError(f"the {name} ended with code {process.returncode}; see above")
