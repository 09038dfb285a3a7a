"""Rows as the REST API and as plain JSON give them.

The REST form of each type: https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/list
and the client's own parser of it. DuckDB brings every value into a plain form first (text, whole
microseconds, base64), which spares Python the conversion and every limit of its date types.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from vertex_emulator.bigquery.types import Field, Type, member_name, quoted, text

Cell = Callable[[Any], Any]


class Timestamps(Enum):
    """How an answer gives TIMESTAMP values."""

    INT64 = "microseconds since 1970"
    FLOAT64 = "seconds since 1970"
    ISO8601 = "text"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN = {
    "NUMERIC": "rtrim(rtrim(CAST({0} AS VARCHAR), '0'), '.')",
    "BYTES": "to_base64({0})",
    "DATE": "strftime({0}, '%Y-%m-%d')",
    "TIME": "regexp_replace(CAST({0} AS VARCHAR), '(\\.\\d+)$', rpad(regexp_extract("
    "CAST({0} AS VARCHAR), '\\.\\d+$'), 7, '0'))",
    "DATETIME": "CASE WHEN date_part('us', {0}) % 1000000 = 0 THEN strftime({0}, "
    "'%Y-%m-%dT%H:%M:%S') ELSE strftime({0}, '%Y-%m-%dT%H:%M:%S.%f') END",
    "TIMESTAMP": "epoch_us({0})",
    "JSON": "CAST({0} AS VARCHAR)",
    "INTERVAL": "CAST({0} AS VARCHAR)",
}


def plain_expression(expression: str, type_: Type, depth: int = 0) -> str:
    """DuckDB SQL that turns a value of `type_` into its plain form.

    INT64, FLOAT64, BOOL and STRING stay; BYTES become base64, TIMESTAMP microseconds since 1970,
    all others text; arrays and structs hold plain values.
    """
    if not _needs_conversion(type_):
        return expression
    if type_.element is not None:
        variable = f"x{depth}"
        inner = plain_expression(variable, type_.element, depth + 1)
        return f"list_transform({expression}, lambda {variable}: {inner})"
    if type_.name == "STRUCT":
        members = []
        for index, field in enumerate(type_.fields):
            name = member_name(type_, index)
            access = f"struct_extract({expression}, {text(name)})"
            members.append(f"{quoted(name)} := {plain_expression(access, field.type, depth)}")
        packed = f"struct_pack({', '.join(members)})"
        return f"CASE WHEN {expression} IS NULL THEN NULL ELSE {packed} END"
    return _PLAIN[type_.name].format(expression)


def _needs_conversion(type_: Type) -> bool:
    if type_.element is not None:
        return _needs_conversion(type_.element)
    if type_.name == "STRUCT":
        return any(_needs_conversion(field.type) for field in type_.fields)
    return type_.name in _PLAIN


def plain_select(source: str, fields: Sequence[Field], clauses: str = "") -> str:
    """DuckDB SQL that reads `fields` of the relation `source` in plain form."""
    columns = ", ".join(
        f"{plain_expression(quoted(field.name), field.type)} AS {quoted(field.name)}"
        for field in fields
    )
    return f"SELECT {columns} FROM {source} {clauses}"


def rest_rows(
    rows: Sequence[tuple[Any, ...]], fields: Sequence[Field], timestamps: Timestamps
) -> list[dict[str, Any]]:
    """Plain rows as `rows` of `tabledata.list` and `getQueryResults`.

    Args:
        rows: Rows of `plain_select`.
        fields: Their columns.
        timestamps: How TIMESTAMP values are given.
    """
    cells = [_rest_cell(field.type, timestamps) for field in fields]
    return [
        {"f": [{"v": cell(value)} for cell, value in zip(cells, row, strict=True)]} for row in rows
    ]


def _rest_cell(type_: Type, timestamps: Timestamps) -> Cell:
    if type_.element is not None:
        element = _rest_cell(type_.element, timestamps)
        return lambda value: [{"v": element(item)} for item in value or ()]
    if type_.name == "STRUCT":
        members = [
            (member_name(type_, index), _rest_cell(field.type, timestamps))
            for index, field in enumerate(type_.fields)
        ]
        return lambda value: (
            None if value is None else {"f": [{"v": cell(value[name])} for name, cell in members]}
        )
    if type_.name == "TIMESTAMP" and timestamps is not Timestamps.INT64:
        shown = _seconds if timestamps is Timestamps.FLOAT64 else _iso8601
        return lambda value: None if value is None else shown(value)
    return _SCALAR_CELLS.get(type_.name, _text_cell)


def _seconds(microseconds: int) -> str:
    return repr(microseconds / 1e6)


def _iso8601(microseconds: int) -> str:
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _text_cell(value: Any) -> str | None:
    return None if value is None else str(value)


def _bool_cell(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


def _float_cell(value: float | None) -> str | None:
    if value is None or math.isfinite(value):
        return None if value is None else repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_SCALAR_CELLS: dict[str, Cell] = {"BOOL": _bool_cell, "FLOAT64": _float_cell}
