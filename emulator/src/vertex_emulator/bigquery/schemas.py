"""Changes of the columns of a table that exists.

https://cloud.google.com/bigquery/docs/managing-table-schemas
"""

from __future__ import annotations

from vertex_emulator.bigquery.catalog import Table
from vertex_emulator.bigquery.database import Cursor
from vertex_emulator.bigquery.types import Schema, duckdb_type, fields_of, quoted
from vertex_emulator.errors import ApiError


def change_columns(cursor: Cursor, table: Table, wanted: Schema) -> Table:
    """Add the columns that `wanted` has and the table has not, and relax REQUIRED ones.

    Raises:
        ApiError: 400 if a column is missing or has another type, or becomes or is born REQUIRED.
    """
    name = table.name
    old = {field["name"].lower(): field for field in table.document["schema"]["fields"]}
    new = {field["name"].lower(): field for field in wanted}
    if missing := [field["name"] for key, field in old.items() if key not in new]:
        raise ApiError(
            400,
            f"Provided Schema does not match Table {name}. Field {missing[0]} is missing in new"
            " schema",
        )
    for field, typed in zip(wanted, fields_of(wanted), strict=True):
        before = old.get(field["name"].lower())
        if before is None:
            if field["mode"] == "REQUIRED":
                raise ApiError(
                    400,
                    f"Provided Schema does not match Table {name}. Cannot add required fields to"
                    f" an existing schema. (field: {field['name']})",
                )
            cursor.execute(
                f"ALTER TABLE {table.source}"
                f" ADD COLUMN {quoted(field['name'])} {duckdb_type(typed.type)}"
            )
            if typed.type.element is not None:
                cursor.execute(f"UPDATE {table.source} SET {quoted(field['name'])} = []")
            continue
        if fields_of([before])[0].type != typed.type:
            raise ApiError(
                400,
                f"Provided Schema does not match Table {name}. Field {field['name']} has changed"
                f" type from {fields_of([before])[0].type} to {typed.type}",
            )
        if before["mode"] == "REQUIRED" and field["mode"] == "NULLABLE":
            cursor.execute(
                f"ALTER TABLE {table.source} ALTER COLUMN {quoted(before['name'])} DROP NOT NULL"
            )
        elif before["mode"] != field["mode"]:
            raise ApiError(
                400,
                f"Provided Schema does not match Table {name}. Field {field['name']} has changed"
                f" mode from {before['mode']} to {field['mode']}",
            )
    if not old and new:
        # A table without columns has a placeholder in DuckDB.
        cursor.execute(f"ALTER TABLE {table.source} DROP COLUMN no_columns")
    return table
