"""`genaiops rejected`: the rows that curation left out, each with its reason and place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.terminal import Terminal
from genaiops_dagster.cli.umask import files_of_the_user
from genaiops_dagster.cli.working import working_on
from genaiops_dagster.records.data import StoredRows
from genaiops_dagster.records.record import find_record

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from genaiops_dagster.google_cloud.object_store import ObjectStore


def rejected(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")],
    reason: Annotated[str | None, typer.Option(help="Only rows with this reason.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Most rows to print.")] = 50,
    output: Annotated[
        Path | None, typer.Option(help="Also write all of them to this CSV file.")
    ] = None,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Show which source rows did not become examples, why, and which file and row they are in.

    The rows' own text is not shown: it may be what they were rejected for.
    """
    console = Terminal()
    with working_on(use_case, folder) as here, tempfile.TemporaryDirectory() as scratch:
        found = _fetch(here.store, use_case, Path(scratch))
        if found is None:
            fail(f"no rows of {use_case} were curated yet; `genaiops run {use_case}`")
        with _rows(found, reason) as relation:
            _print(console, relation, rows)
            if output is not None:
                with files_of_the_user():
                    relation.to_csv(str(output))
                console.print(f"Written {output}")


def _fetch(store: ObjectStore, use_case: str, folder: Path) -> Path | None:
    """The newest file of rejected rows; None before the first curation."""
    examples = find_record(store, StoredRows, use_case, "examples")
    if examples is None or not examples.rejected_uri:
        return None
    path = folder / "rejected.parquet"
    with store.open(store.name_of(examples.rejected_uri)) as content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
    return path


def _print(console: Terminal, relation: DuckDBPyRelation, most: int) -> None:
    reasons = relation.aggregate("reason, count(*) AS rows", "reason").order("rows DESC, reason")
    counts = reasons.fetchall()
    if not counts:
        console.print("No row was rejected.")
        return
    console.print(_table(["Reason", "Rows"], counts))
    shown = relation.limit(most).fetchall()
    console.print(_table(["Reason", "Detail", "Id", "Source", "Row"], shown))
    total = sum(count for _, count in counts)
    if total > len(shown):
        console.print(f"{total - len(shown):,} more; --rows or --output shows them")


def _table(headings: list[str], rows: list[tuple[Any, ...]]) -> Table:
    table = Table(*headings, box=SIMPLE)
    for row in rows:
        table.add_row(*("-" if cell is None else str(cell) for cell in row))
    return table


@contextmanager
def _rows(path: Path, reason: str | None) -> Iterator[DuckDBPyRelation]:
    """Rows of the file, of one reason if given, for as long as the context lasts."""
    import duckdb

    columns = "reason, detail, id, source_uri, source_row"
    with duckdb.connect() as connection:
        found = connection.read_parquet(str(path)).project(columns)
        if reason:
            wanted = duckdb.ConstantExpression(reason)
            found = found.filter(duckdb.ColumnExpression("reason") == wanted)
        yield found.order("reason, source_uri, source_row")
