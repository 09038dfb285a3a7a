"""Date and time functions, and EXTRACT.

https://cloud.google.com/bigquery/docs/reference/standard-sql/date_functions, and likewise
datetime_functions, time_functions and timestamp_functions.
"""

from __future__ import annotations

import re
from zoneinfo import available_timezones

from sqlglot import exp

from vertex_emulator.bigquery.sql import expressions
from vertex_emulator.bigquery.sql.casts import cast, coerce, literal
from vertex_emulator.bigquery.sql.functions import json
from vertex_emulator.bigquery.sql.parsing import check_only, invalid_query, refused, shown
from vertex_emulator.bigquery.sql.scope import Context, Scope, Typed
from vertex_emulator.bigquery.sql.signatures import (
    Call,
    Functions,
    Signature,
    apply,
    render,
    signature,
)
from vertex_emulator.bigquery.types import (
    DATE,
    DATETIME,
    INT64,
    JSON,
    STRING,
    TIME,
    TIMESTAMP,
    Type,
    duckdb_type,
    text,
)

_WEEKDAYS = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
_CLOCK_PARTS = ("MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR")
_MONTH_PARTS = ("MONTH", "QUARTER", "YEAR")
_MICROSECONDS = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
_OFFSET = re.compile(r"(?:UTC)?([+-])(\d{1,2})(?::(\d{2}))?")
# The unit and the arguments of each function.
_TYPES = {"DATE": DATE, "DATETIME": DATETIME, "TIME": TIME, "TIMESTAMP": TIMESTAMP}
_EXTRACTED = {
    "MICROSECOND": "date_part('us', {0}) % 1000000",
    "MILLISECOND": "date_part('us', {0}) % 1000000 // 1000",
    "SECOND": "date_part('second', {0})",
    "MINUTE": "date_part('minute', {0})",
    "HOUR": "date_part('hour', {0})",
    "DAYOFWEEK": "dayofweek({0}) + 1",
    "DAY": "date_part('day', {0})",
    "DAYOFYEAR": "date_part('doy', {0})",
    "ISOWEEK": "date_part('week', {0})",
    "MONTH": "date_part('month', {0})",
    "QUARTER": "date_part('quarter', {0})",
    "YEAR": "date_part('year', {0})",
    "ISOYEAR": "date_part('isoyear', {0})",
}


def part_name(node: exp.Expr) -> str:
    """A date part as it is written: `MONTH`, or `WEEK(MONDAY)`.

    Raises:
        ApiError: 400 `invalidQuery` if it is not a date part.
    """
    if isinstance(node, exp.Column | exp.Var | exp.Identifier):
        name = node.name.upper()
        return "WEEK(SUNDAY)" if name == "WEEK" else name
    if isinstance(node, exp.Anonymous) and node.this.upper() == "WEEK" and node.expressions:
        day = node.expressions[0].name.upper()
        if day in _WEEKDAYS:
            return f"WEEK({day})"
    if isinstance(node, exp.WeekStart) and node.name.upper() in _WEEKDAYS:
        return f"WEEK({node.name.upper()})"
    raise invalid_query(f"{shown(node)} is not a valid date part", node)


def _week_start(part: str) -> int | None:
    """Index from Sunday of the day on which the weeks of `part` begin."""
    if part == "ISOWEEK":
        return 1
    return _WEEKDAYS.index(part[5:-1]) if part.startswith("WEEK(") else None


def extract(context: Context, scope: Scope, node: exp.Extract) -> Typed:
    """EXTRACT(part FROM value [AT TIME ZONE zone])."""
    check_only(node, "this", "expression")
    part, source = part_name(node.this), node.expression
    if isinstance(source, exp.AtTimeZone):
        value = coerce(expressions.compile_expression(context, scope, source.this), TIMESTAMP, node)
        zone = expressions.compile_expression(context, scope, source.args["zone"])
        value = in_zone(value, zone, node)
    else:
        value = expressions.compile_expression(context, scope, source)
    if value.type not in _TYPES.values():
        raise invalid_query(f"EXTRACT from {value.type} is not supported", node)
    if part in ("DATE", "TIME", "DATETIME"):
        return cast(value, _TYPES[part], node)
    if (value.type == TIME) > (part in _CLOCK_PARTS) or (
        value.type == DATE and part in _CLOCK_PARTS
    ):
        raise invalid_query(f"EXTRACT of {part} from {value.type} is not supported", node)
    start = _week_start(part)
    if start is not None and part != "ISOWEEK":
        # Days before the first such weekday of the year are in week 0.
        sql = f"(date_part('doy', {{0}}) + 6 - (dayofweek({{0}}) + 7 - {start}) % 7) // 7"
    elif part in _EXTRACTED:
        sql = _EXTRACTED[part]
    else:
        raise invalid_query(f"{part} is not a valid date part", node)
    return Typed(render(f"CAST({sql} AS BIGINT)", [value]), INT64)


def in_zone(value: Typed, zone: Typed, node: exp.Expr) -> Typed:
    """A TIMESTAMP as the DATETIME that clocks in `zone` show."""
    name, minutes = _zone(zone, node)
    if name is None:
        return Typed(f"(CAST({value.sql} AS TIMESTAMP) + to_minutes({minutes}))", DATETIME)
    return Typed(f"timezone({text(name)}, {value.sql})", DATETIME)


def from_zone(value: Typed, zone: Typed, node: exp.Expr) -> Typed:
    """A DATETIME on the clocks of `zone` as a TIMESTAMP."""
    name, minutes = _zone(zone, node)
    if name is None:
        return Typed(f"CAST({value.sql} - to_minutes({minutes}) AS TIMESTAMPTZ)", TIMESTAMP)
    return Typed(f"timezone({text(name)}, {value.sql})", TIMESTAMP)


def _zone(zone: Typed, node: exp.Expr) -> tuple[str | None, int]:
    """A zone's name, or its distance from UTC in minutes where it has none.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/timestamp_functions
    #timezone_definitions
    """
    if zone.value is None:
        raise refused("a time zone that is not a string literal", node)
    if zone.value in available_timezones():
        return zone.value, 0
    found = _OFFSET.fullmatch(zone.value)
    if found is None:
        raise invalid_query(f"Invalid time zone: {zone.value}", node)
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    return None, -minutes if found[1] == "-" else minutes


def _current(call: Call) -> Typed:
    call.check_count(0, 1)
    now = literal(call.context.now, TIMESTAMP)
    name = call.name.removeprefix("CURRENT_")
    if call.nodes:
        if name == "TIMESTAMP":
            raise call.no_signature()
        now = in_zone(now, call.argument(0), call.node)
    return now if name == "TIMESTAMP" else cast(Typed(now.sql, now.type), _TYPES[name], call.node)


def _add(call: Call) -> Typed:
    """<TYPE>_ADD and <TYPE>_SUB."""
    call.check_count(2, 2)
    name, operation = call.name.rsplit("_", 1)
    value = coerce(call.argument(0), _TYPES[name], call.node)
    count, unit = expressions.interval_parts(call.context, call.scope, call.nodes[1])
    _check_unit(call, name, unit)
    operator = "+" if operation == "ADD" else "-"
    sql = f"({value.sql} {operator} {expressions.interval_sql(count, unit)})"
    return Typed(f"CAST({sql} AS DATE)" if value.type == DATE else sql, value.type)


def _check_unit(call: Call, name: str, unit: str) -> None:
    plain = unit.partition("(")[0]
    allowed = {
        "DATE": ("DAY", "WEEK", "ISOWEEK", "ISOYEAR", *_MONTH_PARTS),
        "DATETIME": (*_CLOCK_PARTS, "DAY", "WEEK", "ISOWEEK", "ISOYEAR", *_MONTH_PARTS),
        "TIME": _CLOCK_PARTS,
        "TIMESTAMP": (*_CLOCK_PARTS, "DAY"),
    }[name]
    if plain not in allowed:
        raise invalid_query(f"{call.name} does not support the {plain} date part", call.node)


def _difference(call: Call) -> Typed:
    """<TYPE>_DIFF: boundaries crossed, but whole intervals between two TIMESTAMPs."""
    call.check_count(3, 3)
    name = call.name.removesuffix("_DIFF")
    type_ = _TYPES[name]
    later, earlier = (coerce(call.argument(index), type_, call.node) for index in (0, 1))
    part = part_name(call.nodes[2])
    _check_unit(call, name, part)
    start = _week_start(part)
    if type_ == TIMESTAMP:
        sql = f"(epoch_us({{0}}) - epoch_us({{1}})) // {_MICROSECONDS[part]}"
    elif start is not None:
        weeks = [f"(CAST({{{i}}} AS DATE) - DATE '1970-01-04' - {start})" for i in (0, 1)]
        sql = " - ".join(f"CAST(floor({week} / 7.0) AS BIGINT)" for week in weeks)
    elif part == "ISOYEAR":
        sql = "date_part('isoyear', {0}) - date_part('isoyear', {1})"
    else:
        sql = f"date_diff('{part.lower()}', {{1}}, {{0}})"
    return Typed(render(f"CAST({sql} AS BIGINT)", [later, earlier]), INT64)


def _truncate(call: Call) -> Typed:
    """<TYPE>_TRUNC(value, part[, zone])."""
    call.check_count(2, 3)
    name = call.name.removesuffix("_TRUNC")
    value = call.argument(0)
    if name == "TIME" or value.type not in (DATETIME, TIMESTAMP):
        value = coerce(value, _TYPES[name], call.node)
    part = part_name(call.nodes[1])
    if len(call.nodes) == 3:
        if value.type != TIMESTAMP:
            raise call.no_signature()
        zone = call.argument(2)
        local = Typed(truncated(in_zone(value, zone, call.node), part, call.node), DATETIME)
        return from_zone(local, zone, call.node)
    return Typed(truncated(value, part, call.node), value.type)


def truncated(value: Typed, part: str, node: exp.Expr) -> str:
    """DuckDB SQL of the first moment of the `part` that contains `value`."""
    type_ = value.type
    start = _week_start(part)
    if (type_ == TIME and part not in _CLOCK_PARTS) or (type_ == DATE and part in _CLOCK_PARTS):
        raise invalid_query(f"{type_} does not support the {part} date part", node)
    if type_ == TIME:
        size = _MICROSECONDS[part]
        return f"({value.sql} - to_microseconds(epoch_us({value.sql}) % {size}))"
    if start is not None:
        day = "date_trunc('day', {0})"
        sql = f"{day} - to_days(CAST((dayofweek({{0}}) + 7 - {start}) % 7 AS INTEGER))"
    elif part == "ISOYEAR":
        first = "make_date(CAST(date_part('isoyear', {0}) AS BIGINT), 1, 4)"
        sql = f"{first} - to_days(CAST((dayofweek({first}) + 6) % 7 AS INTEGER))"
    elif part in _MICROSECONDS or part in _MONTH_PARTS:
        sql = f"date_trunc('{part.lower()}', {{0}})"
    else:
        raise invalid_query(f"{part} is not a valid date part", node)
    return render(f"CAST({sql} AS {duckdb_type(type_)})", [value])


def _last_day(call: Call) -> Typed:
    call.check_count(1, 2)
    value = call.argument(0)
    if value.type == DATETIME:
        value = cast(value, DATE, call.node)
    value = coerce(value, DATE, call.node)
    part = part_name(call.nodes[1]) if len(call.nodes) == 2 else "MONTH"
    first = Typed(truncated(value, part, call.node), DATE)
    size = "to_weeks(1)" if _week_start(part) is not None else f"INTERVAL 1 {part}"
    if part not in ("MONTH", "QUARTER", "YEAR") and _week_start(part) is None:
        raise refused(f"LAST_DAY of {part}", call.node)
    return Typed(f"CAST({first.sql} + {size} - to_days(1) AS DATE)", DATE)


def _constructor(call: Call) -> Typed:
    """DATE(...), DATETIME(...), TIME(...) and TIMESTAMP(...)."""
    call.check_count(1, 6)
    target = _TYPES[call.name]
    value = call.argument(0)
    if value.type == INT64 or len(call.nodes) in (3, 6):
        return apply(call, _FROM_PARTS.get(call.name, []))
    if len(call.nodes) == 2:
        return _constructor_of_two(call, value, target)
    if value.type == STRING and call.name == "TIME":
        raise call.no_signature()
    if value.type not in (STRING, *_TYPES.values()) or value.type == TIME:
        raise call.no_signature()
    return cast(value, target, call.node)


def _constructor_of_two(call: Call, value: Typed, target: Type) -> Typed:
    other = call.argument(1)
    if target == DATETIME and value.type == DATE and other.type == TIME:
        return Typed(f"({value.sql} + {other.sql})", DATETIME)
    if target == TIMESTAMP and value.type in (STRING, DATE, DATETIME):
        return from_zone(cast(value, DATETIME, call.node), other, call.node)
    if target != TIMESTAMP and value.type == TIMESTAMP:
        return cast(in_zone(value, other, call.node), target, call.node)
    raise call.no_signature()


_FROM_PARTS = {
    "DATE": [signature("INT64 INT64 INT64", "DATE", "make_date({0}, {1}, {2})")],
    "DATETIME": [
        signature(
            "INT64 INT64 INT64 INT64 INT64 INT64",
            "DATETIME",
            "make_timestamp({0}, {1}, {2}, {3}, {4}, CAST({5} AS DOUBLE))",
        )
    ],
    "TIME": [signature("INT64 INT64 INT64", "TIME", "make_time({0}, {1}, CAST({2} AS DOUBLE))")],
}


def _epoch(microseconds: int) -> list[Signature]:
    return [signature("INT64", "TIMESTAMP", f"make_timestamptz({{0}} * {microseconds}::BIGINT)")]


def _since_epoch(microseconds: int) -> list[Signature]:
    # Rounded down, also before 1970.
    sql = f"(epoch_us({{0}}) - ((epoch_us({{0}}) % {microseconds}) + {microseconds})"
    return [signature("TIMESTAMP", "INT64", f"{sql} % {microseconds}) // {microseconds}")]


def _string(call: Call) -> Typed:
    """STRING(value) of a date, time or JSON string, and STRING(timestamp, zone)."""
    call.check_count(1, 2)
    value = call.argument(0)
    if value.type == JSON and len(call.nodes) == 1:
        return json.scalar_of(call)
    if value.type == TIMESTAMP and len(call.nodes) == 2:
        local = in_zone(value, call.argument(1), call.node)
        minutes = f"(epoch_us({{0}}) - epoch_us({value.sql})) // 60000000"
        sign = f"CASE WHEN {minutes} < 0 THEN '-' ELSE '+' END"
        hours = f"lpad(CAST(abs({minutes}) // 60 AS VARCHAR), 2, '0')"
        rest = (
            f"CASE WHEN abs({minutes}) % 60 = 0 THEN '' ELSE ':' ||"
            f" lpad(CAST(abs({minutes}) % 60 AS VARCHAR), 2, '0') END"
        )
        shown_local = cast(Typed("{0}", DATETIME), STRING, call.node).sql
        return Typed(render(f"{shown_local} || {sign} || {hours} || {rest}", [local]), STRING)
    if len(call.nodes) == 2 or value.type not in _TYPES.values():
        raise call.no_signature()
    return cast(value, STRING, call.node)


FUNCTIONS: Functions = {
    **dict.fromkeys(
        ("CURRENT_DATE", "CURRENT_DATETIME", "CURRENT_TIME", "CURRENT_TIMESTAMP"), _current
    ),
    **{f"{name}_{operation}": _add for name in _TYPES for operation in ("ADD", "SUB")},
    **{f"{name}_DIFF": _difference for name in _TYPES},
    **{f"{name}_TRUNC": _truncate for name in _TYPES},
    **dict.fromkeys(_TYPES, _constructor),
    "DATE_FROM_UNIX_DATE": [
        signature("INT64", "DATE", "(DATE '1970-01-01' + CAST({0} AS INTEGER))")
    ],
    "LAST_DAY": _last_day,
    "STRING": _string,
    "TIMESTAMP_MICROS": _epoch(1),
    "TIMESTAMP_MILLIS": _epoch(1_000),
    "TIMESTAMP_SECONDS": _epoch(1_000_000),
    "UNIX_DATE": [signature("DATE", "INT64", "CAST({0} - DATE '1970-01-01' AS BIGINT)")],
    "UNIX_MICROS": [signature("TIMESTAMP", "INT64", "epoch_us({0})")],
    "UNIX_MILLIS": _since_epoch(1_000),
    "UNIX_SECONDS": _since_epoch(1_000_000),
}
