"""`genaiops dev`: the Dagster UI and daemon on this project, with the emulator beneath."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.secret_file import SecretFileError
from genaiops_dagster.cli.session import SessionError, dagster_instance, open_session
from genaiops_dagster.cli.terminal import Terminal, styled, visible_streams
from genaiops_dagster.cli.ui_address import UiAddress, create_dev_token, published_ui_address
from genaiops_dagster.use_case import UseCaseError, load_use_cases

_START_SECONDS = 120


def dev(
    port: Annotated[int, typer.Option(help="Port of the UI; 0 takes a free one.")] = 3000,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Serve the Dagster UI on loopback, with the daemon that runs schedules and sensors.

    Works on Google Cloud when GENAIOPS_BUCKET is set, else on an emulator. The token in the printed
    address lets a browser in, and keeps web pages out. Ctrl-C stops everything.
    """
    console = Terminal()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        load_use_cases()
        token = create_dev_token(folder)
        with open_session(folder) as session:
            with dagster_instance():
                pass  # its tables are there before several processes look for them
            chosen_port = port or _free_port()
            address = UiAddress(f"http://127.0.0.1:{chosen_port}", token)
            where = session.emulator_url or f"Google Cloud, project {session.settings.project}"
            commands = _commands(chosen_port, folder)
            with visible_streams() as streams, _processes(commands, *streams) as processes:
                _wait_for(address, processes)
                with published_ui_address(folder, address):
                    console.print(styled("Dagster UI ", "bold"), address.page(), soft_wrap=True)
                    console.print("           `genaiops open` shows it again.")
                    console.print(styled("Vertex AI  ", "bold"), where)
                    console.print(styled("History    ", "bold"), os.environ["DAGSTER_HOME"])
                    console.print("Ctrl-C stops everything.")
                    _until_one_ends(processes)
    except (UseCaseError, SessionError, SecretFileError) as error:
        fail(str(error), code=2)
    except KeyboardInterrupt:
        console.print("stopped")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _commands(port: int, folder: Path) -> dict[str, list[str]]:
    workspace = ("-w", str(files("genaiops_dagster.cli").joinpath("workspace.yaml")))
    return {
        "web server": [
            # -P: as in a script, no file of the working directory takes a module's place
            *(sys.executable, "-P", "-m", "genaiops_dagster.cli.guarded_webserver"),
            *("--port", str(port), "--folder", str(folder), *workspace),
        ],
        "daemon": [str(Path(sysconfig.get_path("scripts")) / "dagster-daemon"), "run", *workspace],
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _processes(
    commands: dict[str, list[str]], output: int | None, errors: int | None
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run each command in a process group of its own, and end every group afterwards.

    `output` and `errors` are their standard streams; None for those of this process.
    """
    # as on a terminal, what a program prints shows at once
    environment = None if output is None else {**os.environ, "PYTHONUNBUFFERED": "1"}
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            running[name] = subprocess.Popen(
                command, env=environment, stdout=output, stderr=errors, start_new_session=True
            )
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


def _wait_for(address: UiAddress, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        _check(processes)
        if address.answers():
            return
        time.sleep(0.2)
    raise SessionError(
        f"the web server did not answer on {address.url} in {_START_SECONDS} seconds"
    )


def _until_one_ends(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    while True:
        _check(processes)
        time.sleep(0.5)


def _check(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise SessionError(f"the {name} ended with code {process.returncode}; see above")
