"""Expressions to DuckDB SQL, each with its BigQuery type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from vertex_emulator.bigquery.sql import functions, operators, queries, windows
from vertex_emulator.bigquery.sql.casts import (
    cast,
    coerce,
    fail,
    literal,
    parsed,
    type_named,
    unify,
)
from vertex_emulator.bigquery.sql.parsing import (
    PARENLESS,
    check_only,
    invalid_query,
    refused,
    shown,
)
from vertex_emulator.bigquery.sql.scope import (
    Column,
    Context,
    Scope,
    Typed,
    member,
    resolve,
    struct_value,
)
from vertex_emulator.bigquery.sql.signatures import render
from vertex_emulator.bigquery.types import (
    BOOL,
    BYTES,
    FLOAT64,
    INT64,
    JSON,
    NULL,
    STRING,
    Type,
    array_of,
    duckdb_type,
    text,
)
from vertex_emulator.errors import ApiError

Compile = Callable[[Context, Scope, Any], Typed]

_UNITS = {
    "MICROSECOND": "to_microseconds",
    "MILLISECOND": "to_milliseconds",
    "SECOND": "to_seconds",
    "MINUTE": "to_minutes",
    "HOUR": "to_hours",
    "DAY": "to_days",
    "WEEK": "to_weeks",
    "MONTH": "to_months",
    "QUARTER": "to_quarters",
    "YEAR": "to_years",
}
# These take a 32-bit count in DuckDB.
_LONG_UNITS = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR")


def compile_expression(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """Compile one expression.

    Raises:
        ApiError: 400 `invalidQuery` if it is wrong or beyond what the emulator serves;
            404 if it reads a table that does not exist.
    """
    compile_node = _COMPILERS.get(type(node)) or operators.OPERATORS.get(type(node))
    if compile_node is None:
        raise refused(shown(node), node)
    return compile_node(context, scope, node)


def number_literal(digits: str, node: exp.Expr) -> Typed:
    """A number as it is written: INT64 without point and exponent, FLOAT64 with."""
    if any(mark in digits for mark in ".eE"):
        return Typed(f"CAST({text(digits)} AS DOUBLE)", FLOAT64, literal=True)
    if not -(2**63) <= int(digits) < 2**63:
        raise invalid_query(f"Invalid integer literal: {digits}", node)
    return Typed(f"CAST({digits} AS BIGINT)", INT64, literal=True)


def string_literal(value: str) -> Typed:
    """A string as DuckDB writes it."""
    return Typed(f"CAST({text(value)} AS VARCHAR)", STRING, literal=True, value=value)


def _literal(_: Context, __: Scope, node: exp.Literal) -> Typed:
    if node.is_string:
        return string_literal(node.this)
    return number_literal(node.this, node)


def _hexadecimal(_: Context, __: Scope, node: exp.HexString) -> Typed:
    return number_literal(str(int(node.this, 16)), node)


def _raw(_: Context, __: Scope, node: exp.RawString) -> Typed:
    return string_literal(node.this)


def _bytes(_: Context, __: Scope, node: exp.ByteString) -> Typed:
    try:
        return literal(node.this.encode("latin-1"), BYTES)
    except UnicodeEncodeError as error:
        raise refused("a BYTES literal with characters beyond ASCII", node) from error


def _boolean(_: Context, __: Scope, node: exp.Boolean) -> Typed:
    return Typed("TRUE" if node.this else "FALSE", BOOL, literal=True)


def _null(_: Context, __: Scope, ___: exp.Null) -> Typed:
    return Typed("NULL", NULL, literal=True)


def _json_literal(context: Context, scope: Scope, node: exp.ParseJSON) -> Typed:
    check_only(node, "this", "is_literal")
    if not isinstance(node.this, exp.Literal):
        return compile_expression(context, scope, _accessed(node.this))
    value = compile_expression(context, scope, node.this)
    return Typed(f"canonical_json({text(str(value.value))})::JSON", JSON)


def _accessed(node: exp.Expr) -> exp.Expr:
    """`JSON '...'.a[0]`, which parses as the JSON of an access, as an access to JSON."""
    if isinstance(node, exp.Literal | exp.RawString):
        return exp.ParseJSON(this=node.copy(), is_literal=True)
    if not isinstance(node, exp.Dot | exp.Bracket):
        raise refused(shown(node), node)
    access = node.copy()
    access.set("this", _accessed(node.this))
    return access


def _column(context: Context, scope: Scope, node: exp.Column) -> Typed:
    if isinstance(node.this, exp.Star):
        raise invalid_query(f"{shown(node)} is only allowed in a SELECT list", node)
    return resolve(context, scope, [part.name for part in node.parts], node)


def _dot(context: Context, scope: Scope, node: exp.Dot) -> Typed:
    if isinstance(node.expression, exp.Anonymous | exp.Func):
        raise refused(f"the function {shown(node).partition('(')[0].upper()}", node)
    return member(compile_expression(context, scope, node.this), node.expression.name, node)


def _paren(context: Context, scope: Scope, node: exp.Paren) -> Typed:
    return compile_expression(context, scope, node.this)


def _parameter(context: Context, _: Scope, node: exp.Parameter) -> Typed:
    if node.name.startswith("?"):
        position = int(node.name[1:])
        return _bound(context, position, f"Query parameter number {position + 1} not found", node)
    return _bound(context, node.name.lower(), f"Query parameter '{node.name}' not found", node)


def _bound(context: Context, key: str | int, missing: str, node: exp.Expr) -> Typed:
    if key not in context.parameters:
        raise invalid_query(missing, node)
    type_, value = context.parameters[key]
    # One name for all uses, so that DuckDB sees that they are the same.
    name = f"p{list(context.parameters).index(key)}"
    context.bindings[name] = value
    shown_value = value if type_ == STRING and isinstance(value, str) else None
    return Typed(f"CAST(${name} AS {duckdb_type(type_)})", type_, literal=True, value=shown_value)


def _cast(context: Context, scope: Scope, node: exp.Cast) -> Typed:
    check_only(node, "this", "to", "safe", "_type")
    target = type_named(node.args["to"])
    safe = isinstance(node, exp.TryCast)
    if target.element is not None and isinstance(node.this, exp.Array):
        return _typed_array(context, scope, node.this, target)
    if target.name == "STRUCT" and isinstance(node.this, exp.Struct):
        return _typed_struct(context, scope, node.this, target)
    return cast(compile_expression(context, scope, node.this), target, node, safe=safe)


def _typed_array(context: Context, scope: Scope, node: exp.Array, target: Type) -> Typed:
    # ARRAY<T>[...] and CAST([...] AS ARRAY<T>) parse alike; a cast takes all that both take.
    element = target.element or NULL
    parts = [
        _as(context, scope, part, element)
        if element.name == "STRUCT"
        else cast(compile_expression(context, scope, part), element, part).sql
        for part in node.expressions
    ]
    return Typed(f"CAST([{', '.join(parts)}] AS {duckdb_type(target)})", target)


def _typed_struct(context: Context, scope: Scope, node: exp.Struct, target: Type) -> Typed:
    if len(node.expressions) != len(target.fields):
        raise invalid_query(f"{target} needs {len(target.fields)} values", node)
    return struct_value(
        [
            Column(field.name, Typed(_as(context, scope, part, field.type), field.type))
            for part, field in zip(node.expressions, target.fields, strict=True)
        ]
    )


def _as(context: Context, scope: Scope, node: exp.Expr, target: Type) -> str:
    if target.name == "STRUCT" and isinstance(node, exp.Tuple):
        node = exp.Struct(expressions=node.expressions)
        return _typed_struct(context, scope, node, target).sql
    return coerce(compile_expression(context, scope, node), target, node).sql


def _array(context: Context, scope: Scope, node: exp.Array) -> Typed:
    if len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Query):
        return queries.array_subquery(context, scope, node.expressions[0])
    parts = [compile_expression(context, scope, part) for part in node.expressions]
    if not parts:
        return Typed("CAST([] AS BIGINT[])", array_of(NULL), literal=True)
    values, type_ = unify(parts, node)
    if type_.element is not None:
        raise invalid_query("Cannot construct array with element type ARRAY", node)
    joined = ", ".join(value.sql for value in values)
    is_literal = all(part.literal for part in parts)
    return Typed(f"[{joined}]", array_of(INT64 if type_ == NULL else type_), literal=is_literal)


def struct(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """STRUCT(...), whose members take the names of aliases and columns."""
    columns = []
    for part in node.expressions:
        value = compile_expression(
            context, scope, part.this if isinstance(part, exp.Alias) else part
        )
        name = part.alias if isinstance(part, exp.Alias) else ""
        if isinstance(part, exp.Column | exp.Dot):
            name = part.name or part.expression.name
        columns.append(Column(name, value))
    result = struct_value(columns)
    return Typed(result.sql, result.type, literal=all(column.value.literal for column in columns))


def _tuple(context: Context, scope: Scope, node: exp.Tuple) -> Typed:
    unnamed = [Column("", compile_expression(context, scope, part)) for part in node.expressions]
    result = struct_value(unnamed)
    return Typed(result.sql, result.type, literal=all(column.value.literal for column in unnamed))


def _subscript(context: Context, scope: Scope, node: exp.Bracket) -> Typed:
    check_only(node, "this", "expressions", "offset", "safe")
    if len(node.expressions) != 1:
        raise refused(f"the subscript {shown(node)}", node)
    value = compile_expression(context, scope, node.this)
    index = compile_expression(context, scope, node.expressions[0])
    if value.type == JSON:
        if index.value is not None:
            return member(value, index.value, node)
        if index.type == INT64:
            return Typed(f"({value.sql} -> {index.sql})", JSON)
    if value.type.element is None:
        raise invalid_query(f"Subscript access is not supported on a value of {value.type}", node)
    shift = 0 if node.args.get("offset") == 1 else 1
    position = f"({coerce(index, INT64, node).sql} + {shift})"
    # DuckDB counts negative positions from the end, BigQuery refuses them.
    outside = "{0} IS NOT NULL AND {1} IS NOT NULL AND ({1} < 1 OR {1} > len({0}))"
    otherwise = f"CAST(NULL AS {duckdb_type(value.type.element)})"
    if not node.args.get("safe"):
        shown_index = f"CAST({{1}} - {shift} AS VARCHAR)"
        message = f"'Array index ' || {shown_index} || ' is out of bounds'"
        otherwise = fail(message, value.type.element)
    template = f"CASE WHEN {outside} THEN {otherwise} ELSE ({{0}})[{{1}}] END"
    return Typed(render(template, [value, Typed(position, INT64)]), value.type.element)


def _case(context: Context, scope: Scope, node: exp.Case) -> Typed:
    check_only(node, "this", "ifs", "default")
    results = [branch.args["true"] for branch in node.args["ifs"]]
    default = node.args.get("default")
    values, type_ = unify(
        [compile_expression(context, scope, part) for part in results]
        + ([compile_expression(context, scope, default)] if default else []),
        node,
    )
    branches = []
    subject = compile_expression(context, scope, node.this) if node.this is not None else None
    for branch, value in zip(node.args["ifs"], values, strict=False):
        if subject is not None:
            other = compile_expression(context, scope, branch.this)
            condition = operators.compare("=", subject, other, node)
        else:
            condition = compile_expression(context, scope, branch.this)
        branches.append(f"WHEN {coerce(condition, BOOL, branch).sql} THEN {value.sql}")
    otherwise = values[-1].sql if default else "NULL"
    return Typed(f"CASE {' '.join(branches)} ELSE {otherwise} END", type_)


def _if(context: Context, scope: Scope, node: exp.If) -> Typed:
    check_only(node, "this", "true", "false")
    parts = [node.args["true"], node.args.get("false") or exp.Null()]
    (yes, no), type_ = unify([compile_expression(context, scope, part) for part in parts], node)
    condition = coerce(compile_expression(context, scope, node.this), BOOL, node)
    return Typed(f"CASE WHEN {condition.sql} THEN {yes.sql} ELSE {no.sql} END", type_)


def _in(context: Context, scope: Scope, node: exp.In) -> Typed:
    check_only(node, "this", "expressions", "query", "unnest")
    value = compile_expression(context, scope, node.this)
    if query := node.args.get("query"):
        return queries.in_subquery(context, scope, value, query)
    if unnest := node.args.get("unnest"):
        array = compile_expression(context, scope, unnest.expressions[0])
        if array.type.element is None:
            raise invalid_query("Second argument of IN UNNEST must be an array", node)
        element = Typed("x", array.type.element, array.literal)
        (value, converted), type_ = unify([value, element], node)
        items = array.sql
        if converted.sql != "x":
            items = f"CAST({items} AS {duckdb_type(array_of(type_))})"
        return Typed(
            f"coalesce({value.sql} = ANY({items}), CASE WHEN {items} IS NULL OR"
            f" len({items}) = 0 THEN FALSE END)",
            BOOL,
        )
    parts = [compile_expression(context, scope, part) for part in node.expressions]
    try:
        values, _ = unify([value, *parts], node)
    except ApiError as error:
        shown_types = ", ".join(str(part.type) for part in (value, *parts))
        raise invalid_query(
            f"No matching signature for operator IN for argument types: {shown_types}", node
        ) from error
    return Typed(f"({values[0].sql} IN ({', '.join(part.sql for part in values[1:])}))", BOOL)


def _exists(context: Context, scope: Scope, node: exp.Exists) -> Typed:
    return Typed(f"EXISTS ({queries.compile_query(context, node.this, scope).sql})", BOOL)


def _subquery(context: Context, scope: Scope, node: exp.Subquery) -> Typed:
    if isinstance(node.this, exp.Subquery | exp.Query):
        return queries.scalar_subquery(context, scope, node)
    raise refused(shown(node), node)


def interval_parts(context: Context, scope: Scope, node: exp.Expr) -> tuple[Typed, str]:
    """Count and unit of `INTERVAL n unit`.

    Raises:
        ApiError: 400 `invalidQuery` if it is a range such as `YEAR TO MONTH`, or not an interval.
    """
    unit = node.args.get("unit") if isinstance(node, exp.Interval) else None
    if not isinstance(unit, exp.Var) or unit.name.upper() not in _UNITS:
        raise refused(f"the interval {shown(node)}", node)
    amount = node.this
    if isinstance(amount, exp.Literal) and amount.is_string:
        # sqlglot keeps whole numbers as text.
        return literal(parsed(amount.this, INT64, node), INT64), unit.name.upper()
    return coerce(compile_expression(context, scope, amount), INT64, node), unit.name.upper()


def interval_sql(count: Typed, unit: str) -> str:
    """An interval of DuckDB."""
    amount = f"CAST({count.sql} AS INTEGER)" if unit in _LONG_UNITS else count.sql
    return f"{_UNITS[unit]}({amount})"


def _extract(context: Context, scope: Scope, node: exp.Extract) -> Typed:
    return functions.extract(context, scope, node)


def _call(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    return functions.compile_call(context, scope, node)


def _window(context: Context, scope: Scope, node: exp.Window) -> Typed:
    return windows.compile_window(context, scope, node)


_COMPILERS: dict[type[exp.Expr], Compile] = {
    exp.Literal: _literal,
    exp.HexString: _hexadecimal,
    exp.RawString: _raw,
    exp.ByteString: _bytes,
    exp.Boolean: _boolean,
    exp.Null: _null,
    exp.ParseJSON: _json_literal,
    exp.Column: _column,
    exp.Dot: _dot,
    exp.Paren: _paren,
    exp.Parameter: _parameter,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Array: _array,
    exp.Struct: struct,
    exp.Tuple: _tuple,
    exp.Bracket: _subscript,
    exp.Case: _case,
    exp.If: _if,
    exp.In: _in,
    exp.Exists: _exists,
    exp.Subquery: _subquery,
    exp.Extract: _extract,
    exp.Anonymous: _call,
    exp.SafeFunc: _call,
    exp.NetFunc: _call,
    exp.Window: _window,
    **dict.fromkeys(PARENLESS, _call),
}
