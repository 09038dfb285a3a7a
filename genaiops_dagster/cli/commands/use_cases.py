"""`genaiops use-cases`: what there is, and whether every file is right."""

from __future__ import annotations

import typer
from rich.box import SIMPLE
from rich.table import Table

from genaiops_dagster.cli.options import fail
from genaiops_dagster.cli.terminal import Terminal
from genaiops_dagster.planning.places import misplaced
from genaiops_dagster.use_case import UseCaseError, load_use_case, load_use_cases, use_case_files


def use_cases() -> None:
    """List the use cases and validate their files; exits with 2 when a file is wrong."""
    problems = []
    table = Table(box=SIMPLE)
    for heading in ("Use case", "Description", "Candidates", "File"):
        table.add_column(heading, overflow="fold")
    try:
        for path in use_case_files():
            try:
                found = load_use_case(path)
            except UseCaseError as error:
                problems.append(str(error))
            else:
                problems += [f"{path.name}: {sentence}" for sentence in misplaced(found)]
                table.add_row(found.name, found.description, ", ".join(found.candidates), path.name)
        Terminal().print(table)
        if not problems:
            load_use_cases()  # finds names that two files share
    except UseCaseError as error:
        problems.append(str(error))
    if problems:
        fail("\n".join(problems), code=2)
    typer.echo("All files are valid.")
