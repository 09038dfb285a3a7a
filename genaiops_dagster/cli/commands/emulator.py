"""`genaiops emulator`: Cloud Storage, BigQuery and Vertex AI on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from genaiops_dagster.cli.emulator_process import EmulatorError, command
from genaiops_dagster.cli.options import fail


def emulator(
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.")] = 8765,
    state: Annotated[Path, typer.Option(help="Folder that holds its state.")] = Path(
        ".genaiops/emulator"
    ),
    env_file: Annotated[
        Path | None, typer.Option(help="Write the client variables here when ready.")
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Clear the state first.")] = False,
    tuning_seconds: Annotated[float, typer.Option(help="Least duration of a tuning job.")] = 1.0,
    faults: Annotated[
        Path | None,
        typer.Option(
            help="File of faults in force from the start, YAML or JSON.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    stop_with_input: Annotated[
        bool, typer.Option("--stop-with-input", help="Stop when standard input closes.")
    ] = False,
    stop_when_free: Annotated[
        Path | None,
        typer.Option(help="Stop when no process holds a lock on this file any more."),
    ] = None,
) -> None:
    """Serve Google's APIs on loopback, and print the variables that point clients here."""
    options = ["--port", str(port), "--state", str(state), "--tuning-seconds", str(tuning_seconds)]
    if env_file is not None:
        options += ["--env-file", str(env_file)]
    if faults is not None:
        options += ["--faults", str(faults)]
    if stop_when_free is not None:
        options += ["--stop-when-free", str(stop_when_free)]
    options += ["--reset"] * reset + ["--stop-with-input"] * stop_with_input
    try:
        start = command(*options)
    except EmulatorError as error:
        fail(str(error), code=2)
    os.execv(start[0], start)  # noqa: S606 - the emulator takes the place of this process
