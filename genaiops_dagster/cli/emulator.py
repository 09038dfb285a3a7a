"""`genaiops emulator`: Cloud Storage, BigQuery and Vertex AI on this machine."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated

import typer

from genaiops_dagster.cli.terminal import Terminal, write
from genaiops_dagster.plain_text import visible
from vertex_emulator.config import EmulatorConfig
from vertex_emulator.environment import write_environment_file


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
) -> None:
    """Serve Google's APIs on loopback, and print the variables that point clients here."""
    from vertex_emulator.fault_kinds import FaultPlanError
    from vertex_emulator.server import serve

    if env_file is not None:
        # Whoever waits for this file must not find that of an earlier start.
        env_file.parent.mkdir(parents=True, exist_ok=True)
        env_file.unlink(missing_ok=True)
    config = EmulatorConfig(
        state=state.resolve(), port=port, tuning_seconds=tuning_seconds, faults=faults
    )

    def announce(url: str, variables: dict[str, str]) -> None:
        if env_file is not None:
            write_environment_file(env_file, variables)
        for name, value in variables.items():
            write(f"export {name}='{value}'\n")
        Terminal(stderr=True).print(f"# ready on {url}", soft_wrap=True)

    try:
        serve(config, on_ready=announce, stop_when_input_ends=stop_with_input, reset=reset)
    except FaultPlanError as error:
        raise typer.BadParameter(visible(f"{faults}: {error}"), param_hint="--faults") from error
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise typer.BadParameter(
            f"{port} is taken by another process; 0 takes a free one", param_hint="--port"
        ) from error
