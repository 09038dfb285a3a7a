"""`genaiops prune`: tuned models that nobody needs any more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.session import SessionError, open_session
from genaiops_dagster.cli.terminal import Terminal
from genaiops_dagster.use_case import UseCaseError, known_use_case


def prune(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")] = "python_modules",
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest models stay.")] = 5,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """List tuned models and endpoints beyond a retention count, and delete them when told to.

    Never the champion or its predecessor.
    """
    from genaiops_dagster.cli.clients import places, vertex_ai
    from genaiops_dagster.promotion.log import BrokenLogError
    from genaiops_dagster.promotion.prune import delete_model, stale_models

    console = Terminal()
    try:
        chosen = known_use_case(use_case)
        with open_session(folder) as session:
            log, clients = places(session, chosen.name).log, vertex_ai(session)
            try:
                stale = stale_models(clients, chosen.name, log.read(), keep)
                if not stale:
                    console.print("Nothing to prune.")
                    return
                table = Table("model", "made", "endpoints", box=None, pad_edge=False)
                for found in stale:
                    table.add_row(found.model, found.created[:19], str(len(found.deployments)))
                console.print(table)
                if not yes and not typer.confirm("Delete these models?"):
                    console.print("Nothing was deleted.")
                    return
                for found in stale:
                    if found not in stale_models(clients, chosen.name, log.read(), keep):
                        console.print(f"Kept, because it is needed now: {found.model}")
                        continue
                    delete_model(clients, found)
                    console.print(f"Deleted {found.model}")
            except BrokenLogError as error:
                fail(str(error))
    except (UseCaseError, SessionError) as error:
        fail(str(error), code=2)
