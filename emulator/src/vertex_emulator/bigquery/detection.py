"""Schemas guessed from data: autodetection for JSON and CSV, the types of Parquet files.

https://cloud.google.com/bigquery/docs/schema-detect and
https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#parquet_conversions
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from vertex_emulator.bigquery.types import (
    BOOL,
    DATE,
    DATETIME,
    FLOAT64,
    INT64,
    STRING,
    TIME,
    TIMESTAMP,
    Schema,
    Type,
)
from vertex_emulator.bigquery.values import InvalidValueError, parse_value
from vertex_emulator.errors import ApiError

_REST = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
# Columns without a name are called `int64_field_0`, `double_field_1`, ...
_FIELD_NAMES = {"FLOAT64": "double"}
_HAS_ZONE = re.compile(r"(Z|UTC|[+-]\d{1,2}(:?\d{2})?)$")


def _entry(name: str, type_: str, mode: str = "NULLABLE") -> dict[str, Any]:
    return {"name": name, "type": _REST.get(type_, type_), "mode": mode}


def schema_of_objects(rows: Sequence[Any]) -> Schema:
    """The schema that JSON objects suggest.

    Raises:
        ApiError: 400 if there is no object, or one name has values that do not go together.
    """
    objects = [row for row in rows if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in objects for name in row))
    if not names:
        raise ApiError(400, "Schema has no fields: the data holds no JSON object.")
    schema = []
    for name in names:
        values = [row[name] for row in objects if row.get(name) is not None]
        lists = [value for value in values if isinstance(value, list)]
        if lists and len(lists) != len(values):
            raise ApiError(400, f"Field {name} is a list in some rows only.")
        items = [item for value in lists for item in value] if lists else values
        entry = _entry(name, "STRING", "REPEATED" if lists else "NULLABLE")
        if any(isinstance(item, dict) for item in items):
            entry |= {"type": "RECORD", "fields": schema_of_objects(items)}
        elif items:
            found = _supertype([_json_type(item) for item in items])
            entry["type"] = _REST.get(found.name, found.name)
        schema.append(entry)
    return schema


def _json_type(value: Any) -> Type:
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return INT64
    return FLOAT64 if isinstance(value, float) else text_type(str(value))


def text_type(value: str) -> Type:
    """The type that a text looks like."""
    if value.lower() in ("true", "false"):
        return BOOL
    for type_ in (INT64, FLOAT64, DATE, TIME, DATETIME):
        if type_ == DATETIME and _HAS_ZONE.search(value):
            continue
        if _fits(value, type_):
            return type_
    return TIMESTAMP if _fits(value, TIMESTAMP) else STRING


def _fits(value: str, type_: Type) -> bool:
    try:
        parse_value(value, type_, "")
    except InvalidValueError:
        return False
    return True


def _supertype(types: Sequence[Type]) -> Type:
    distinct = set(types)
    if len(distinct) == 1:
        return types[0]
    if distinct == {INT64, FLOAT64}:
        return FLOAT64
    if distinct == {DATE, DATETIME}:
        return DATETIME
    return STRING


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line of a CSV file holds names: texts only, above something else."""
    if not rows or any(text_type(cell) != STRING or not cell for cell in rows[0]):
        return False
    return any(
        text_type(cell) != STRING for row in rows[1:] for cell in row[: len(rows[0])] if cell
    )


def schema_of_cells(rows: Sequence[Sequence[str]], header: int) -> Schema:
    """The schema that lines of CSV suggest.

    Args:
        rows: Lines from the top of the file.
        header: How many of them are not data; the last of these holds the names.

    Raises:
        ApiError: 400 if there are no lines.
    """
    if not rows:
        raise ApiError(400, "Schema has no fields: the file is empty.")
    width = max(len(row) for row in rows)
    names = [_column_name(name) for name in rows[header - 1]] if header else []
    schema = []
    for index in range(width):
        cells = [row[index] for row in rows[header:] if index < len(row) and row[index] != ""]
        found = _supertype([text_type(cell) for cell in cells]) if cells else STRING
        unnamed = f"{_FIELD_NAMES.get(found.name, found.name.lower())}_field_{index}"
        schema.append(_entry(names[index] if index < len(names) else unnamed, found.name))
    return schema


def _column_name(cell: str) -> str:
    name = re.sub(r"\W", "_", cell.strip())
    return f"_{name}" if not name or name[0].isdigit() else name


def schema_of_arrow(schema: Any) -> Schema:
    """The schema of a Parquet file.

    Raises:
        ApiError: 400 if BigQuery has no type for a column.
    """
    return [_arrow_entry(field.name, field.type) for field in schema]


def _arrow_entry(name: str, type_: Any) -> dict[str, Any]:
    import pyarrow as pa

    checks = (
        (pa.types.is_boolean, "BOOLEAN"),
        (pa.types.is_integer, "INTEGER"),
        (pa.types.is_floating, "FLOAT"),
        (pa.types.is_string, "STRING"),
        (pa.types.is_large_string, "STRING"),
        (pa.types.is_binary, "BYTES"),
        (pa.types.is_large_binary, "BYTES"),
        (pa.types.is_date, "DATE"),
        (pa.types.is_time, "TIME"),
        (pa.types.is_null, "STRING"),
    )
    for check, found in checks:
        if check(type_):
            return _entry(name, found)
    if pa.types.is_timestamp(type_):
        return _entry(name, "TIMESTAMP" if type_.tz else "DATETIME")
    if pa.types.is_decimal(type_) and type_.scale <= 9 and type_.precision - type_.scale <= 29:
        return _entry(name, "NUMERIC")
    if pa.types.is_dictionary(type_):
        return _arrow_entry(name, type_.value_type)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return {**_arrow_entry(name, type_.value_type), "mode": "REPEATED"}
    if pa.types.is_struct(type_):
        members = [type_.field(index) for index in range(type_.num_fields)]
        return {**_entry(name, "RECORD"), "fields": schema_of_arrow(members)}
    raise ApiError(400, f"The emulator has no type for the Parquet column {name} ({type_}).")
