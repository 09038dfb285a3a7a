"""Array functions.

https://cloud.google.com/bigquery/docs/reference/standard-sql/array_functions
"""

from __future__ import annotations

from vertex_emulator.bigquery.sql import expressions
from vertex_emulator.bigquery.sql.casts import coerce, fail, unify
from vertex_emulator.bigquery.sql.operators import concatenate
from vertex_emulator.bigquery.sql.parsing import refused
from vertex_emulator.bigquery.sql.scope import Typed
from vertex_emulator.bigquery.sql.signatures import (
    Call,
    Functions,
    apply,
    render,
    signature,
)
from vertex_emulator.bigquery.types import (
    DATE,
    FLOAT64,
    INT64,
    NULL,
    NUMERIC,
    TIMESTAMP,
    Type,
    array_of,
    duckdb_type,
)


def _concat(call: Call) -> Typed:
    call.check_count(1, 1000)
    if any(each.type.element is None and each.type != NULL for each in call.arguments):
        raise call.no_signature()
    return concatenate(call.arguments, call.node, call.name)


def _generate(call: Call) -> Typed:
    """GENERATE_ARRAY(start, end[, step]), both ends included."""
    call.check_count(2, 3)
    values, type_ = unify(call.arguments, call.node)
    if type_ not in (INT64, NUMERIC, FLOAT64):
        raise call.no_signature()
    step = (
        values[2].sql if len(values) == 3 else coerce(Typed("CAST(1 AS BIGINT)", INT64), type_).sql
    )
    series = "generate_series({0}, {1}, {2})"
    if type_ != INT64:
        # DuckDB's series are of whole numbers.
        count = "CAST(floor((({1}) - ({0})) / ({2}) + 1e-9) AS BIGINT)"
        series = f"list_transform(generate_series(0, {count}), lambda i: {{0}} + i * {{2}})"
    arguments = [*values[:2], Typed(step, type_)]
    return _series(arguments, series, type_, "{2} > 0 AND {0} > {1} OR {2} < 0 AND {0} < {1}")


def _series(arguments: list[Typed], series: str, element: Type, empty: str) -> Typed:
    duck = duckdb_type(array_of(element))
    failing = fail("'Sequence step cannot be 0.'", array_of(element))
    sql = (
        f"CASE WHEN {{0}} IS NULL OR {{1}} IS NULL OR {{2}} IS NULL THEN NULL"
        f" WHEN {{2}} = {'0' if element not in (DATE, TIMESTAMP) else 'to_days(0)'} THEN {failing}"
        f" WHEN {empty} THEN CAST([] AS {duck}) ELSE CAST({series} AS {duck}) END"
    )
    return Typed(render(sql, arguments), array_of(element))


def _generate_dates(call: Call) -> Typed:
    """GENERATE_DATE_ARRAY and GENERATE_TIMESTAMP_ARRAY."""
    call.check_count(2, 3)
    type_ = DATE if call.name == "GENERATE_DATE_ARRAY" else TIMESTAMP
    ends = [coerce(call.argument(index), type_, call.node) for index in (0, 1)]
    step, ascending = "to_days(1)", True
    if len(call.nodes) == 3:
        count, unit = expressions.interval_parts(call.context, call.scope, call.nodes[2])
        if not count.literal:
            raise refused(f"{call.name} with a step that is not a literal", call.node)
        ascending = "-" not in count.sql
        step = expressions.interval_sql(count, unit)
    elif type_ == TIMESTAMP:
        raise call.no_signature()
    empty = "{0} > {1}" if ascending else "{0} < {1}"
    series = "generate_series({0}, {1}, {2})"
    return _series([*ends, Typed(step, type_)], series, type_, empty)


def _to_string(call: Call) -> Typed:
    call.check_count(2, 3)
    if len(call.nodes) == 2:
        return apply(call, [signature("STRING[] STRING", "STRING", "array_to_string({0}, {1})")])
    sql = "array_to_string(list_transform({0}, lambda s: coalesce(s, {2})), {1})"
    return apply(call, [signature("STRING[] STRING STRING", "STRING", sql)])


def _at_end(position: str) -> str:
    failing = "{fail:Cannot get the first or last element of an empty array}"
    return f"CASE WHEN len({{0}}) = 0 THEN {failing} ELSE ({{0}})[{position}] END"


def _first_or_last(call: Call) -> Typed:
    call.check_count(1, 1)
    position = "1" if call.name == "ARRAY_FIRST" else "-1"
    if call.argument(0).type.element in (None, NULL):
        raise call.no_signature()
    return apply(call, [signature("T[]", "T", _at_end(position))])


FUNCTIONS: Functions = {
    "ARRAY_CONCAT": _concat,
    "ARRAY_FIRST": _first_or_last,
    "ARRAY_LAST": _first_or_last,
    "ARRAY_LENGTH": [signature("T[]", "INT64", "len({0})")],
    "ARRAY_REVERSE": [signature("T[]", "T[]", "list_reverse({0})")],
    "ARRAY_TO_STRING": _to_string,
    "GENERATE_ARRAY": _generate,
    "GENERATE_DATE_ARRAY": _generate_dates,
    "GENERATE_TIMESTAMP_ARRAY": _generate_dates,
}
