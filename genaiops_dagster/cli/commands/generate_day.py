"""`genaiops generate-day`: answers to the prompts of a day, as the daily schedule makes them."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from genaiops_dagster.cli.lifecycle import run_named_job
from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.terminal import Terminal
from genaiops_dagster.cli.working import working_on
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.orchestration.workspace import Workspace


def generate_day(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")] = "python_modules",
    day: Annotated[
        dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day; today (UTC).")
    ] = None,
    prompts: Annotated[
        list[Path] | None,
        typer.Option(help="File to put into the day's inbox first: JSONL, CSV or Parquet."),
    ] = None,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Ask the champion for every prompt of a day; what was answered before is not paid again."""
    with working_on(use_case, folder) as here:
        _generate_day(here, (day or here.clock.now()).date(), prompts or [], Terminal())


def _generate_day(here: Workspace, day: dt.date, prompts: list[Path], console: Terminal) -> None:
    from genaiops_dagster.records.record import read_record
    from genaiops_dagster.records.serving import GeneratedContent
    from genaiops_dagster.serving.daily.assets import GENERATED, generate_job_name
    from genaiops_dagster.serving.daily.tables import from_parquet

    use_case, store = here.use_case, here.store
    for path in prompts:
        _put(store, use_case, day, path)
    run_named_job(use_case, generate_job_name(use_case.name), partition=str(day))
    made = read_record(store, GeneratedContent, use_case.name, GENERATED, str(day))
    rows = from_parquet(store.read(store.name_of(made.uri)) or b"")
    table = Table(title=f"{use_case.name}, {day}: {made.rows} prompts", box=SIMPLE_HEAD)
    table.title_justify = "left"
    for heading in ("Status", "Prompts", "Reason of the first"):
        table.add_column(heading)
    for status, count in Counter(row.status for row in rows).most_common():
        first = next(row.reason for row in rows if row.status == status)
        table.add_row(status, str(count), (first or "").splitlines()[0] if first else "")
    console.print(table)
    price = "unknown" if made.paid_usd is None else f"${made.paid_usd:.6f}"
    free = ", emulated, nothing was charged" if made.emulated else ""
    console.print(f"Paid now: {made.paid_requests} requests, {price}{free}")
    console.print(f"Context cache: {made.caching.action}")
    console.print(f"Rows: {made.uri}", soft_wrap=True)


def _put(store: ObjectStore, use_case: UseCase, day: dt.date, path: Path) -> None:
    """Put a file into the day's inbox, under its digest: the same file twice is there once."""
    from genaiops_dagster.serving.daily.day_prompts import day_prefix

    try:
        content = path.read_bytes()
    except OSError as error:
        fail(f"--prompts {path}: {error.strerror}", code=2)
    name = f"{path.stem}-{hashlib.sha256(content).hexdigest()[:12]}{path.suffix.lower()}"
    store.write_once(f"{day_prefix(use_case, day)}{name}", content, "application/octet-stream")
