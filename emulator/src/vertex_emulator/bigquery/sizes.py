"""Sizes of tables and columns as BigQuery counts and bills them.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#data_type_sizes
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from vertex_emulator.bigquery.catalog import Table
from vertex_emulator.bigquery.database import Cursor, rows
from vertex_emulator.bigquery.types import Type, member_name, quoted, text

_FIXED = {"BOOL": 1, "NUMERIC": 16}
_USUAL = 8
# Sizes by relation, table, time of its last change, and columns: every query asks for some.
_KNOWN_SIZES = 10_000
_known: OrderedDict[tuple[str, str, str, tuple[str, ...]], int] = OrderedDict()
_lock = threading.Lock()


def table_bytes(cursor: Cursor, table: Table) -> int:
    """Logical bytes of a table."""
    return column_bytes(cursor, table, (field.name for field in table.fields))


def column_bytes(cursor: Cursor, table: Table, names: Iterable[str]) -> int:
    """Logical bytes of the columns `names` of a table; a NULL takes none."""
    wanted = {name.lower() for name in names}
    columns = tuple(field.name for field in table.fields if field.name.lower() in wanted)
    if not columns:
        return 0
    key = (str(table.source), table.document["id"], table.document["lastModifiedTime"], columns)
    with _lock:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    by_name = {field.name: field.type for field in table.fields}
    sums = " + ".join(f"coalesce(sum({_size(quoted(name), by_name[name])}), 0)" for name in columns)
    size = int(rows(cursor, f"SELECT {sums} FROM {table.source}")[0][0])
    with _lock:
        _known[key] = size
        if len(_known) > _KNOWN_SIZES:
            _known.popitem(last=False)
    return size


def _size(expression: str, type_: Type, depth: int = 0) -> str:
    if type_.element is not None:
        name = f"s{depth}"
        inner = _size(name, type_.element, depth + 1)
        return f"coalesce(list_sum(list_transform({expression}, lambda {name}: {inner})), 0)"
    if type_.name == "STRUCT":
        parts = [
            _size(
                f"struct_extract({expression}, {text(member_name(type_, index))})",
                field.type,
                depth,
            )
            for index, field in enumerate(type_.fields)
        ]
        return f"({' + '.join(parts)})"
    if type_.name in ("STRING", "JSON"):
        return f"coalesce(2 + strlen(CAST({expression} AS VARCHAR)), 0)"
    if type_.name == "BYTES":
        return f"coalesce(2 + octet_length({expression}), 0)"
    return f"CASE WHEN {expression} IS NULL THEN 0 ELSE {_FIXED.get(type_.name, _USUAL)} END"
