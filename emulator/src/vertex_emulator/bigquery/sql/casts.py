"""Coercion and casts between types.

https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from sqlglot import exp

from vertex_emulator.bigquery.sql.parsing import invalid_query, refused
from vertex_emulator.bigquery.sql.scope import Typed
from vertex_emulator.bigquery.types import (
    BOOL,
    BYTES,
    DATE,
    DATETIME,
    FLOAT64,
    INT64,
    JSON,
    NULL,
    NUMERIC,
    STRING,
    TIME,
    TIMESTAMP,
    Field,
    Type,
    array_of,
    duckdb_type,
    member_name,
    quoted,
    struct_of,
    text,
)
from vertex_emulator.bigquery.values import InvalidValueError, parse_value

FAILURE = "BigQuery: "

_NAMES = {
    exp.DType.BIGINT: INT64,
    exp.DType.DOUBLE: FLOAT64,
    exp.DType.DECIMAL: NUMERIC,
    exp.DType.BOOLEAN: BOOL,
    exp.DType.TEXT: STRING,
    exp.DType.BINARY: BYTES,
    exp.DType.DATE: DATE,
    exp.DType.TIME: TIME,
    exp.DType.TIMESTAMP: DATETIME,
    exp.DType.TIMESTAMPTZ: TIMESTAMP,
    exp.DType.JSON: JSON,
}
# A type coerces to those after it: https://cloud.google.com/bigquery/docs/reference/
# standard-sql/conversion_rules#coercion
_COERCIONS = {
    INT64: (NUMERIC, FLOAT64),
    NUMERIC: (FLOAT64,),
    DATE: (DATETIME,),
}
_FROM_STRING_LITERAL = (DATE, DATETIME, TIME, TIMESTAMP)


def type_named(node: exp.Expr) -> Type:
    """The type that SQL text names.

    Raises:
        ApiError: 400 `invalidQuery` if the emulator has no such type.
    """
    if not isinstance(node, exp.DataType):
        raise refused(f"the type {node.sql(dialect='bigquery')}", node)
    if node.this == exp.DType.ARRAY and len(node.expressions) == 1:
        return array_of(type_named(node.expressions[0]))
    if node.this == exp.DType.STRUCT and node.expressions:
        return struct_of(
            Field(member.name, type_named(member.args["kind"]))
            if isinstance(member, exp.ColumnDef)
            else Field("", type_named(member))
            for member in node.expressions
        )
    if node.this not in _NAMES or node.expressions:
        raise refused(f"the type {node.sql(dialect='bigquery')}", node)
    return _NAMES[node.this]


def fail(message: str, type_: Type) -> str:
    """DuckDB SQL of `type_` that fails when it is evaluated.

    DuckDB's own `error` counts as volatile, which `TRY` and the optimizer do not take.

    Args:
        message: DuckDB SQL of the message.
        type_: Type that the expression must have in its place.
    """
    failing = f"CAST({text(FAILURE)} || {message} AS BIGINT)"
    return f"CAST(CAST({failing} AS VARCHAR) AS {duckdb_type(type_)})"


def can_coerce(value: Typed, target: Type) -> bool:
    """Whether `value` becomes `target` without a CAST."""
    source = value.type
    if source in (target, NULL) or target in _COERCIONS.get(source, ()):
        return True
    if value.literal and source == STRING and target in _FROM_STRING_LITERAL:
        return True
    if value.literal and source == FLOAT64 and target == NUMERIC:
        return True
    if source.name == target.name == "STRUCT" and len(source.fields) == len(target.fields):
        return all(
            can_coerce(Typed("", own.type, value.literal), wanted.type)
            for own, wanted in zip(source.fields, target.fields, strict=True)
        )
    if source.element and target.element:
        return source.element == NULL or (
            value.literal and can_coerce(Typed("", source.element), target.element)
        )
    return False


def coerce(value: Typed, target: Type, node: exp.Expr | None = None) -> Typed:
    """`value` as a value of `target`.

    Raises:
        ApiError: 400 `invalidQuery` if it needs a CAST or cannot become one.
    """
    if value.type == target:
        return value
    if not can_coerce(value, target):
        raise invalid_query(f"Cannot coerce a value of type {value.type} to {target}", node)
    if value.value is not None and target in _FROM_STRING_LITERAL:
        return literal(parsed(value.value, target, node), target)
    return Typed(_converted(value.sql, value.type, target), target, value.literal)


def _converted(sql: str, source: Type, target: Type, depth: int = 0) -> str:
    """DuckDB SQL of a coercion; members of a STRUCT go by position, not by name."""
    if source.element is not None and target.element is not None and _holds_struct(target):
        name = f"c{depth}"
        inner = _converted(name, source.element, target.element, depth + 1)
        return f"list_transform({sql}, lambda {name}: {inner})"
    if source.name == target.name == "STRUCT":
        members = ", ".join(
            f"{quoted(member_name(target, index))} := "
            + _converted(
                f"struct_extract({sql}, {text(member_name(source, index))})",
                own.type,
                wanted.type,
                depth,
            )
            for index, (own, wanted) in enumerate(zip(source.fields, target.fields, strict=True))
        )
        null = f"CAST(NULL AS {duckdb_type(target)})"
        return f"CASE WHEN {sql} IS NULL THEN {null} ELSE struct_pack({members}) END"
    return f"CAST({sql} AS {duckdb_type(target)})"


def _holds_struct(type_: Type) -> bool:
    return type_.name == "STRUCT" or (type_.element is not None and _holds_struct(type_.element))


def parsed(value: str, type_: Type, node: exp.Expr | None = None) -> Any:
    """The Python value of a literal.

    Raises:
        ApiError: 400 `invalidQuery` if the text is not a value of that type.
    """
    try:
        return parse_value(value, type_, "")
    except InvalidValueError as error:
        raise invalid_query(f'Could not cast literal "{value}" to type {type_}', node) from error


def literal(value: Any, type_: Type) -> Typed:
    """A Python value as a DuckDB literal of `type_`."""
    if isinstance(value, bytes):
        shown = "from_hex(" + text(value.hex()) + ")"
    elif isinstance(value, datetime | date | time):
        shown = text(value.isoformat(" ") if isinstance(value, datetime) else value.isoformat())
    elif isinstance(value, Decimal):
        shown = text(f"{value:f}")
    else:
        shown = text(str(value))
    return Typed(f"CAST({shown} AS {duckdb_type(type_)})", type_, literal=True)


def supertype(values: Sequence[Typed], node: exp.Expr) -> Type:
    """The type that all of `values` coerce to.

    Raises:
        ApiError: 400 `invalidQuery` if there is none.
    """
    typed = [value for value in values if value.type != NULL]
    if not typed:
        return NULL
    candidates: list[Type] = []
    for value in sorted(typed, key=lambda value: value.literal):
        candidates += [value.type, *_COERCIONS.get(value.type, ())]
        if value.type.name == "STRUCT":
            candidates += _struct_supertype(typed, node)
        elif value.type.element is not None:
            elements = [Typed("", each.type.element or NULL, each.literal) for each in typed]
            if all(each.type.element for each in typed):
                candidates.append(array_of(supertype(elements, node)))
    for candidate in candidates:
        if all(can_coerce(value, candidate) for value in typed):
            return candidate
    shown = ", ".join(str(value.type) for value in values)
    raise invalid_query(f"No supertype for argument types: {shown}", node)


def _struct_supertype(values: Iterable[Typed], node: exp.Expr) -> list[Type]:
    structs = [value.type for value in values if value.type.name == "STRUCT"]
    if len({len(struct.fields) for struct in structs}) != 1:
        return []
    members = zip(*(struct.fields for struct in structs), strict=True)
    return [
        struct_of(
            Field(own[0].name, supertype([Typed("", each.type) for each in own], node))
            for own in members
        )
    ]


def unify(values: Sequence[Typed], node: exp.Expr) -> tuple[list[Typed], Type]:
    """All `values` as one type, and that type."""
    type_ = supertype(values, node)
    return [coerce(value, type_, node) for value in values], type_


def cast(value: Typed, target: Type, node: exp.Expr, *, safe: bool = False) -> Typed:
    """CAST, or SAFE_CAST, which gives NULL where a value does not convert.

    Raises:
        ApiError: 400 `invalidQuery` if there is no cast between the two types.
    """
    source = value.type
    if source in (target, NULL):
        return Typed(f"CAST({value.sql} AS {duckdb_type(target)})", target)
    if value.value is not None and target in _FROM_STRING_LITERAL and not safe:
        return Typed(literal(parsed(value.value, target, node), target).sql, target)
    template = _TEMPLATES.get((source.name, target.name))
    if template is None:
        return Typed(_nested(value, target, node, safe), target)
    failure = fail(f"'Could not cast to type {target}: ' || CAST({{0}} AS VARCHAR)", target)
    if safe:
        sql = template.replace("{fail}", failure).replace("{0}", "c")
        return Typed(f"list_transform([{value.sql}], lambda c: TRY({sql}))[1]", target)
    return Typed(template.replace("{fail}", failure).replace("{0}", value.sql), target)


def _nested(value: Typed, target: Type, node: exp.Expr, safe: bool) -> str:
    source = value.type
    if can_coerce(value, target):
        return coerce(value, target, node).sql
    if source.element is not None and target.element is not None:
        inner = cast(Typed("x", source.element), target.element, node, safe=safe)
        return f"list_transform({value.sql}, lambda x: {inner.sql})"
    if source.name == target.name == "STRUCT" and len(source.fields) == len(target.fields):
        members = []
        for index, (own, wanted) in enumerate(zip(source.fields, target.fields, strict=True)):
            key = text(member_name(source, index))
            part = Typed(f"struct_extract({value.sql}, {key})", own.type, value.literal)
            inner = cast(part, wanted.type, node, safe=safe)
            members.append(f"{quoted(member_name(target, index))} := {inner.sql}")
        packed = f"struct_pack({', '.join(members)})"
        null = f"CAST(NULL AS {duckdb_type(target)})"
        return f"CASE WHEN {value.sql} IS NULL THEN {null} ELSE {packed} END"
    raise invalid_query(f"Invalid cast from {source} to {target}", node)


def _checked(pattern: str, converted: str) -> str:
    return (
        f"CASE WHEN {{0}} IS NULL THEN NULL WHEN regexp_full_match({{0}}, {text(pattern)})"
        f" THEN {converted} ELSE {{fail}} END"
    )


_SECONDS = "CASE WHEN date_part('us', {0}) % 1000000 = 0 THEN '' WHEN date_part('us', {0})"
_FRACTION = (
    f"{_SECONDS} % 1000 = 0 THEN '.' || lpad(CAST(date_part('us', {{0}}) % 1000000 // 1000"
    " AS VARCHAR), 3, '0') ELSE '.' || lpad(CAST(date_part('us', {0}) % 1000000 AS VARCHAR), 6,"
    " '0') END"
)
_NUMBER = r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"

# DuckDB SQL of each cast that exists; `{fail}` is what happens to a value that does not convert.
_TEMPLATES: dict[tuple[str, str], str] = {
    ("INT64", "FLOAT64"): "CAST({0} AS DOUBLE)",
    ("INT64", "NUMERIC"): "CAST({0} AS DECIMAL(38,9))",
    ("INT64", "BOOL"): "({0} <> 0)",
    ("INT64", "STRING"): "CAST({0} AS VARCHAR)",
    ("BOOL", "INT64"): "CAST({0} AS BIGINT)",
    ("BOOL", "STRING"): "CAST({0} AS VARCHAR)",
    # Half away from zero, where DuckDB's own cast rounds half to even.
    ("FLOAT64", "INT64"): "CAST(round({0}) AS BIGINT)",
    ("FLOAT64", "NUMERIC"): "CAST({0} AS DECIMAL(38,9))",
    ("FLOAT64", "STRING"): "regexp_replace(CAST({0} AS VARCHAR), '\\.0$', '')",
    ("NUMERIC", "INT64"): "CAST(round({0}) AS BIGINT)",
    ("NUMERIC", "FLOAT64"): "CAST({0} AS DOUBLE)",
    ("NUMERIC", "STRING"): "rtrim(rtrim(CAST({0} AS VARCHAR), '0'), '.')",
    ("STRING", "INT64"): _checked(
        r"\s*[+-]?(\d+|0[xX][0-9a-fA-F]+)\s*",
        "CASE WHEN starts_with(trim({0}), '-0x') OR starts_with(trim({0}), '-0X')"
        " THEN 0 - CAST(trim(trim({0}), '-') AS BIGINT) ELSE CAST(trim({0}) AS BIGINT) END",
    ),
    ("STRING", "FLOAT64"): _checked(
        rf"{_NUMBER}|(?i:\s*[+-]?(inf|infinity|nan)\s*)", "CAST(trim({0}) AS DOUBLE)"
    ),
    ("STRING", "NUMERIC"): _checked(_NUMBER, "CAST(trim({0}) AS DECIMAL(38,9))"),
    ("STRING", "BOOL"): _checked(r"(?i:true|false)", "(lower({0}) = 'true')"),
    ("STRING", "BYTES"): "encode({0})",
    ("STRING", "DATE"): _checked(r"\s*\d{1,4}-\d{1,2}-\d{1,2}.*", "CAST({0} AS DATE)"),
    ("STRING", "TIME"): _checked(r"\d{1,2}:\d{1,2}:\d{1,2}(\.\d{1,6})?", "CAST({0} AS TIME)"),
    ("STRING", "DATETIME"): _checked(
        r"\d{1,4}-\d{1,2}-\d{1,2}([ Tt]\d{1,2}:\d{1,2}:\d{1,2}(\.\d{1,6})?)?",
        "CAST({0} AS TIMESTAMP)",
    ),
    ("STRING", "TIMESTAMP"): _checked(
        r"\d{1,4}-\d{1,2}-\d{1,2}([ Tt]\d{1,2}:\d{1,2}:\d{1,2}(\.\d{1,6})?)?"
        r"( ?(Z|z|UTC|[+-]\d{1,2}(:?\d{2})?| [A-Za-z_]+/[A-Za-z_/+-]+))?",
        "CAST({0} AS TIMESTAMPTZ)",
    ),
    ("BYTES", "STRING"): "decode({0})",
    ("DATE", "STRING"): "strftime({0}, '%Y-%m-%d')",
    ("DATE", "DATETIME"): "CAST({0} AS TIMESTAMP)",
    ("DATE", "TIMESTAMP"): "CAST({0} AS TIMESTAMPTZ)",
    ("TIME", "STRING"): f"left(CAST({{0}} AS VARCHAR), 8) || {_FRACTION}",
    ("DATETIME", "STRING"): f"strftime({{0}}, '%Y-%m-%d %H:%M:%S') || {_FRACTION}",
    ("DATETIME", "DATE"): "CAST({0} AS DATE)",
    ("DATETIME", "TIME"): "CAST({0} AS TIME)",
    ("DATETIME", "TIMESTAMP"): "CAST({0} AS TIMESTAMPTZ)",
    ("TIMESTAMP", "STRING"): f"strftime({{0}}, '%Y-%m-%d %H:%M:%S') || {_FRACTION} || '+00'",
    ("TIMESTAMP", "DATE"): "CAST({0} AS DATE)",
    ("TIMESTAMP", "TIME"): "CAST(CAST({0} AS TIMESTAMP) AS TIME)",
    ("TIMESTAMP", "DATETIME"): "CAST({0} AS TIMESTAMP)",
}
