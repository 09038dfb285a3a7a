"""`genaiops deliver`: files from this machine into the inbox of a use case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genaiops_dagster.cli.options import FOLDER
from genaiops_dagster.cli.terminal import Terminal, progress, styled
from genaiops_dagster.cli.working import reporting, workspace
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.use_case import UseCase, known_use_case

if TYPE_CHECKING:
    from genaiops_dagster.data.delivery import Inspection
    from genaiops_dagster.google_cloud.object_store import ObjectStore

_SHOWN_ROWS = 5


def deliver(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")],
    files: Annotated[list[Path], typer.Argument(help="JSONL, CSV or Parquet files.")],
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Upload files to the inbox of a use case, after a look that the columns it names are there.

    A file of the same name is replaced. Nothing is uploaded when one of the files does not fit;
    unreadable rows are reported, and rejected later with their reason.
    """
    from genaiops_dagster.data.delivery import DeliveryError, inspect, object_names

    console = Terminal()
    with reporting(mistakes=(DeliveryError,)):
        chosen = known_use_case(use_case)
        inspected = [inspect(chosen, file) for file in files]
        names = object_names(chosen, files, SYSTEM_CLOCK.now())
        with workspace(chosen, folder) as here:
            _upload(here.store, chosen, inspected, names, console)
    _tell_next(console, chosen)


def _upload(
    store: ObjectStore,
    use_case: UseCase,
    inspected: list[Inspection],
    names: list[str],
    console: Terminal,
) -> None:
    """Upload the files, and last the marker that completes them."""
    from genaiops_dagster.data.delivery import marker_name

    for found, name in zip(inspected, names, strict=True):
        size = found.path.stat().st_size
        with (
            found.path.open("rb") as file,
            progress(file, size, found.path.name, console) as content,
        ):
            store.write(name, content, "application/octet-stream")
        console.print(
            styled("Delivered", "green"),
            f"{found.path}: {found.rows:,} rows to {store.uri(name)}",
            soft_wrap=True,
        )
        for reason, rows in found.unusable.items():
            shown = ", ".join(map(str, rows[:_SHOWN_ROWS]))
            more = ", ..." if len(rows) > _SHOWN_ROWS else ""
            console.print(
                styled(f"  {len(rows):,} cannot be read,", "yellow"),
                f"{reason}: row {shown}{more}",
            )
    if marker := marker_name(use_case, names[-1]):
        store.write(marker, b"", "text/plain")
        console.print(f"The batch is complete: {store.uri(marker)}")


def _tell_next(console: Terminal, use_case: UseCase) -> None:
    console.print("Now")
    console.print(f"  genaiops plan {use_case.name}")
    console.print(f"  genaiops run {use_case.name}")
    if use_case.automation.enabled:
        console.print(
            "or leave it to the inbox sensor, which starts that run within a minute or so where "
            "`genaiops dev` or a deployment is up."
        )
    else:
        console.print(
            "or set `automation: {enabled: true}` in the use case file, and the inbox sensor of "
            "`genaiops dev` or of a deployment starts the run."
        )
