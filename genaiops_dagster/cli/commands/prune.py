"""`genaiops prune`: tuned models that nobody needs any more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from genaiops_dagster.cli.options import FOLDER
from genaiops_dagster.cli.terminal import Terminal
from genaiops_dagster.cli.working import working_on

if TYPE_CHECKING:
    from genaiops_dagster.promotion.prune import StaleModel


def prune(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")] = "python_modules",
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest models stay.")] = 5,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """List tuned models and endpoints beyond a retention count, and delete them when told to.

    Never the champion or its predecessor.
    """
    from genaiops_dagster.promotion.log import read_log
    from genaiops_dagster.promotion.prune import delete_model, stale_models
    from genaiops_dagster.records.chain import BrokenLogError

    console = Terminal()
    with working_on(use_case, folder, refusals=(BrokenLogError,)) as here:

        def stale() -> list[StaleModel]:
            return stale_models(here.models, use_case, read_log(here.store, use_case), keep)

        found = stale()
        if not found:
            console.print("Nothing to prune.")
            return
        table = Table("model", "made", "endpoints", box=None, pad_edge=False)
        for one in found:
            table.add_row(one.model, one.created[:19], str(len(one.deployments)))
        console.print(table)
        if not yes and not typer.confirm("Delete these models?"):
            console.print("Nothing was deleted.")
            return
        for one in found:
            if one not in stale():
                console.print(f"Kept, because it is needed now: {one.model}")
                continue
            delete_model(here.models, one)
            console.print(f"Deleted {one.model}")
