"""Options that several commands share, and the display of errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from genaiops_dagster.cli.terminal import Terminal, styled

FOLDER = Annotated[
    Path, typer.Option("--folder", help="Where Dagster's history and the emulator's state are.")
]


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with a message on standard error.

    Raises:
        typer.Exit: always, with `code`.
    """
    error = styled("Error:", "bold red")
    Terminal(stderr=True).print(error, message, soft_wrap=True)  # paths stay whole
    raise typer.Exit(code)
