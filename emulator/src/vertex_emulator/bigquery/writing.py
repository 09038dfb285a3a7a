"""Rows into tables, a batch at a time, so that a large load is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from vertex_emulator.bigquery.database import Cursor
from vertex_emulator.bigquery.types import Field, arrow_type, quoted

BATCH_ROWS = 10_000


def append(
    cursor: Cursor, source: str, fields: tuple[Field, ...], rows: Iterable[Mapping[str, Any]]
) -> int:
    """Add rows to the relation `source`.

    Args:
        cursor: Connection in a writing transaction.
        source: DuckDB relation with the columns `fields`.
        fields: Columns, in order.
        rows: Values by column name, as `values.parse_row` gives them.

    Returns:
        How many rows were added.
    """
    import pyarrow as pa

    schema = pa.schema([pa.field(field.name, arrow_type(field.type)) for field in fields])
    count = 0
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_ROWS)):
        append_arrow(cursor, source, fields, pa.Table.from_pylist(batch, schema=schema))
        count += len(batch)
    return count


def append_arrow(cursor: Cursor, source: str, fields: Sequence[Field], rows: Any) -> None:
    """Add the rows of an Arrow table with the columns `fields` to the relation `source`."""
    # An array is never NULL in storage.
    columns = ", ".join(
        f"coalesce({quoted(field.name)}, [])" if field.type.element else quoted(field.name)
        for field in fields
    )
    cursor.register("incoming_rows", rows)
    cursor.execute(f"INSERT INTO {source} SELECT {columns} FROM incoming_rows")
    cursor.unregister("incoming_rows")
