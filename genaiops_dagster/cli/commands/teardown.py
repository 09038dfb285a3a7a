"""`genaiops teardown`: list what a use case has left that costs money, and delete it when told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.terminal import Terminal, confirm, styled
from genaiops_dagster.cli.working import working_on

if TYPE_CHECKING:
    from genaiops_dagster.orchestration.workspace import Workspace
    from genaiops_dagster.teardown.leftovers import Leftover


def teardown(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", help="Of this kind alone, as in the list, such as `model`; may be repeated."
        ),
    ] = None,
    everything: Annotated[
        str | None,
        typer.Option(
            "--everything",
            metavar="USE_CASE",
            help="Also the champion, its log and your files; give the use case's name again.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List, and delete nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """List what a use case has left that costs money, and delete it after a confirmation.

    Jobs that run are cancelled; caches, endpoints, tuned models, tables, rows and objects are
    deleted. The champion, its log, the ledgers and your own files stay unless --everything names
    the use case. Exits with 1 when something could not be deleted.
    """
    from genaiops_dagster.records.chain import BrokenLogError
    from genaiops_dagster.teardown.leftovers import KINDS

    console = Terminal()
    if everything is not None and everything != use_case:
        fail(f"--everything names {everything!r}, and the use case is {use_case!r}", code=2)
    if unknown := sorted(set(only or ()) - set(KINDS)):
        fail(f"--only {unknown[0]}: there is no such kind; there are: {', '.join(KINDS)}", code=2)
    with working_on(use_case, folder, refusals=(BrokenLogError,)) as here:
        found = [one for one in _leftovers(here) if not only or one.kind in only]
        chosen = [one for one in found if everything or not one.keep]
        _show(found, console, everything=everything is not None)
        if dry_run or not chosen:
            console.print("Nothing was deleted.")
            return
        if not yes and not confirm(f"Delete {len(chosen)} of these {len(found)}?"):
            console.print("Nothing was deleted.")
            return
        if failed := _delete(here, chosen, console, everything=everything is not None):
            fail(f"{failed} could not be deleted; call this again to try once more")


def _leftovers(here: Workspace) -> list[Leftover]:
    from genaiops_dagster.teardown.leftovers import find_leftovers

    return find_leftovers(here.use_case, here.store, here.warehouse, here.models)


def _delete(here: Workspace, chosen: list[Leftover], console: Terminal, *, everything: bool) -> int:
    """Delete what was chosen, as far as it may still go; how many could not be deleted."""
    from genaiops_dagster.teardown.remove import remove

    free = {(one.kind, one.name) for one in _leftovers(here) if everything or not one.keep}
    failed = 0
    for one in chosen:
        if (one.kind, one.name) not in free:
            console.print(f"Left alone, because it is gone or needed now: {one.kind} {one.name}")
            continue
        try:
            remove(one, here.use_case.name, here.store, here.warehouse, here.models)
        except Exception as error:  # noqa: BLE001 - the rest costs money, too
            failed += 1
            console.print(styled(f"{one.kind} {one.name}: {error}", "red"), soft_wrap=True)
        else:
            done = "Cancelled" if one.kind.endswith(" job") else "Deleted"
            console.print(f"{done} {one.kind} {one.name}", soft_wrap=True)
    return failed


def _show(found: list[Leftover], console: Terminal, *, everything: bool) -> None:
    if not found:
        console.print("Nothing is left.")
        return
    table = Table(box=SIMPLE)
    for heading in ("Kind", "Name", "How much", ""):
        table.add_column(heading, overflow="fold")
    for one in found:
        stays = one.keep and not everything
        note = styled(f"stays: {one.keep}", "green") if stays else ""
        table.add_row(one.kind, one.name, one.detail, note)
    console.print(table)
