"""Operators: arithmetic, comparison, logic, concatenation.

https://cloud.google.com/bigquery/docs/reference/standard-sql/operators
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from vertex_emulator.bigquery.sql import expressions
from vertex_emulator.bigquery.sql.casts import coerce, fail, unify
from vertex_emulator.bigquery.sql.parsing import check_only, invalid_query, refused
from vertex_emulator.bigquery.sql.scope import Context, Scope, Typed
from vertex_emulator.bigquery.sql.signatures import render
from vertex_emulator.bigquery.types import (
    BOOL,
    BYTES,
    DATE,
    DATETIME,
    FLOAT64,
    INT64,
    NULL,
    NUMERIC,
    STRING,
    TIMESTAMP,
    Type,
    duckdb_type,
)
from vertex_emulator.errors import ApiError

_NUMBERS = (INT64, NUMERIC, FLOAT64)
_ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}
_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}
_BITS: dict[type[exp.Expr], str] = {
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
    exp.BitwiseLeftShift: "<<",
    exp.BitwiseRightShift: ">>",
}
_UNORDERED = ("JSON", "STRUCT", "ARRAY")


def _no_signature(operator: str, node: exp.Expr, *values: Typed) -> Exception:
    types = ", ".join(str(value.type) for value in values)
    return invalid_query(
        f"No matching signature for operator {operator} for argument types: {types}", node
    )


def _sides(context: Context, scope: Scope, node: exp.Expr) -> tuple[Typed, Typed]:
    check_only(node, "this", "expression", "safe")
    return (
        expressions.compile_expression(context, scope, node.this),
        expressions.compile_expression(context, scope, node.expression),
    )


def arithmetic(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """`+`, `-` and `*`, and dates with days or intervals."""
    operator = _ARITHMETIC[type(node)]
    for one, other in ((node.this, node.expression), (node.expression, node.this)):
        if isinstance(other, exp.Interval) and not (operator == "-" and other is node.this):
            check_only(node, "this", "expression")
            return _with_interval(context, scope, operator, one, other, node)
    left, right = _sides(context, scope, node)
    if left.type == DATE and right.type == INT64 and operator in "+-":
        return Typed(f"({left.sql} {operator} CAST({right.sql} AS INTEGER))", DATE)
    if left.type == INT64 and right.type == DATE and operator == "+":
        return Typed(f"({right.sql} + CAST({left.sql} AS INTEGER))", DATE)
    return number_operation(operator, left, right, node)


def number_operation(operator: str, left: Typed, right: Typed, node: exp.Expr) -> Typed:
    """`+`, `-` or `*` of two numbers, in the wider of their types."""
    type_ = _number_type(operator, left, right, node)
    sides = [coerce(value, type_, node).sql for value in (left, right)]
    sql = f"({sides[0]} {operator} {sides[1]})"
    # DuckDB widens the scale of a product.
    return Typed(f"CAST({sql} AS DECIMAL(38,9))" if type_ == NUMERIC else sql, type_)


def _number_type(operator: str, left: Typed, right: Typed, node: exp.Expr) -> Type:
    types = [value.type for value in (left, right) if value.type != NULL]
    if any(type_ not in _NUMBERS for type_ in types):
        raise _no_signature(operator, node, left, right)
    if FLOAT64 in types:
        # A literal such as 0.5 next to NUMERIC is NUMERIC.
        other = [value for value in (left, right) if value.type == FLOAT64 and not value.literal]
        return NUMERIC if NUMERIC in types and not other else FLOAT64
    return NUMERIC if NUMERIC in types else INT64


def _with_interval(
    context: Context, scope: Scope, operator: str, base: exp.Expr, interval: exp.Expr, node: Any
) -> Typed:
    value = expressions.compile_expression(context, scope, base)
    count, unit = expressions.interval_parts(context, scope, interval)
    if value.type == DATE:
        value = coerce(value, DATETIME)
    if value.type not in (DATETIME, TIMESTAMP) or operator == "*":
        raise _no_signature(operator, node, value)
    if value.type == TIMESTAMP and unit in ("MONTH", "QUARTER", "YEAR"):
        raise invalid_query(f"TIMESTAMP {operator} INTERVAL is not supported for {unit}", node)
    return Typed(f"({value.sql} {operator} {expressions.interval_sql(count, unit)})", value.type)


def division(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """`/`, which fails on a zero divisor."""
    check_only(node, "this", "expression", "typed", "safe")
    left = expressions.compile_expression(context, scope, node.this)
    right = expressions.compile_expression(context, scope, node.expression)
    return divide(left, right, node)


def divide(left: Typed, right: Typed, node: exp.Expr, *, on_zero: str | None = None) -> Typed:
    """`left / right`; a zero divisor fails, or gives the DuckDB SQL `on_zero`."""
    type_ = _number_type("/", left, right, node)
    type_ = FLOAT64 if type_ == INT64 else type_
    sides = [coerce(value, type_, node) for value in (left, right)]
    quotient = "numeric_divide({0}, {1})" if type_ == NUMERIC else "({0} / {1})"
    zero = on_zero or fail("'division by zero: ' || CAST({0} AS VARCHAR) || ' / 0'", type_)
    return Typed(render(f"CASE WHEN {{1}} = 0 THEN {zero} ELSE {quotient} END", sides), type_)


def comparison(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """`=`, `<`, `IS DISTINCT FROM` and their like."""
    if isinstance(node.expression, exp.Any | exp.All) or isinstance(node.this, exp.Any | exp.All):
        raise refused("comparison with ANY or ALL of a subquery", node)
    left, right = _sides(context, scope, node)
    return compare(_COMPARISONS[type(node)], left, right, node)


def compare(operator: str, left: Typed, right: Typed, node: exp.Expr) -> Typed:
    """Two values compared, after they became one type."""
    try:
        (left, right), type_ = unify([left, right], node)
    except ApiError as error:
        raise _no_signature(operator, node, left, right) from error
    equality = operator in ("=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
    if type_.name in _UNORDERED and not (type_.name == "STRUCT" and equality):
        raise _no_signature(operator, node, left, right)
    return Typed(f"({left.sql} {operator} {right.sql})", BOOL)


def logic(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """AND and OR, a whole chain of them at once."""
    word = "AND" if isinstance(node, exp.And) else "OR"
    parts = [
        coerce(expressions.compile_expression(context, scope, part), BOOL, part).sql
        for part in node.flatten()
    ]
    return Typed(f"({f' {word} '.join(parts)})", BOOL)


def inverse(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """NOT."""
    value = coerce(expressions.compile_expression(context, scope, node.this), BOOL, node)
    return Typed(f"(NOT {value.sql})", BOOL)


def minus(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """Unary minus; the smallest INT64 is only a literal together with its sign."""
    if isinstance(node.this, exp.Literal) and not node.this.is_string:
        return expressions.number_literal(f"-{node.this.this}", node)
    value = expressions.compile_expression(context, scope, node.this)
    if value.type not in (*_NUMBERS, NULL):
        raise _no_signature("-", node, value)
    # DuckDB's own minus evaluates constants early and widens the smallest INT64.
    sql = f"(0 - {value.sql})" if value.type == INT64 else f"(-{value.sql})"
    return Typed(sql, value.type, value.literal)


def bits(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """Bitwise operators on INT64."""
    operator = _BITS[type(node)]
    left, right = _sides(context, scope, node)
    if any(value.type not in (INT64, NULL) for value in (left, right)):
        raise _no_signature(operator, node, left, right)
    if operator in ("<<", ">>"):
        # Shifts by 64 or more give 0, and `>>` does not carry the sign:
        # https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#bitwise_operators
        raise refused(f"the operator {operator}", node)
    return Typed(f"({left.sql} {operator} {right.sql})", INT64)


def bits_of_one(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """`~` on INT64."""
    value = expressions.compile_expression(context, scope, node.this)
    if value.type != INT64:
        raise _no_signature("~", node, value)
    return Typed(f"(~{value.sql})", INT64)


def concatenation(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """`||` of strings, bytes or arrays."""
    left, right = _sides(context, scope, node)
    return concatenate([left, right], node, "||")


def concatenate(values: list[Typed], node: exp.Expr, name: str) -> Typed:
    """The values one after the other; NULL when one of them is."""
    values, type_ = unify(values, node)
    if type_.element is None and type_ not in (STRING, BYTES, NULL):
        raise _no_signature(name, node, *values)
    joined = " || ".join(value.sql for value in values)
    if type_.element is not None:
        # DuckDB's list concatenation skips NULL.
        missing = " OR ".join(f"{value.sql} IS NULL" for value in values)
        return Typed(
            f"CASE WHEN {missing} THEN CAST(NULL AS {duckdb_type(type_)}) ELSE {joined} END", type_
        )
    return Typed(f"({joined})", STRING if type_ == NULL else type_)


def test(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """IS NULL, IS TRUE and IS FALSE."""
    check_only(node, "this", "expression")
    value = expressions.compile_expression(context, scope, node.this)
    if isinstance(node.expression, exp.Null):
        return Typed(f"({value.sql} IS NULL)", BOOL)
    if isinstance(node.expression, exp.Boolean):
        word = "TRUE" if node.expression.this else "FALSE"
        return Typed(f"({coerce(value, BOOL, node).sql} IS {word})", BOOL)
    raise refused(f"IS {node.expression.sql(dialect='bigquery')}", node)


def between(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """BETWEEN."""
    check_only(node, "this", "low", "high")
    parts = [
        expressions.compile_expression(context, scope, part)
        for part in (node.this, node.args["low"], node.args["high"])
    ]
    (value, low, high), type_ = unify(parts, node)
    if type_.name in _UNORDERED:
        raise _no_signature("BETWEEN", node, *parts)
    return Typed(f"({value.sql} BETWEEN {low.sql} AND {high.sql})", BOOL)


def like(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """LIKE, also with ANY, SOME or ALL of a list of patterns; a backslash escapes."""
    check_only(node, "this", "expression", "negate")
    quantified = isinstance(node.expression, exp.Any | exp.All)
    if quantified and node.args.get("negate"):
        raise refused("NOT LIKE ANY or ALL", node)
    patterns = [node.expression]
    if quantified:
        listed = node.expression.this
        listed = listed.unnest() if isinstance(listed, exp.Paren) else listed
        patterns = listed.expressions if isinstance(listed, exp.Tuple) else [listed]
        if any(isinstance(pattern, exp.Query | exp.Unnest) for pattern in patterns):
            raise refused("LIKE ANY or ALL of a subquery", node)
    value = expressions.compile_expression(context, scope, node.this)
    tests = []
    for pattern in patterns:
        (left, right), type_ = unify(
            [value, expressions.compile_expression(context, scope, pattern)], node
        )
        if type_ not in (STRING, NULL):
            raise _no_signature("LIKE", node, left, right)
        tests.append(f"({left.sql} LIKE {right.sql} ESCAPE '\\')")
    word = " AND " if isinstance(node.expression, exp.All) else " OR "
    negation = "NOT " if node.args.get("negate") else ""
    return Typed(f"({negation}{word.join(tests)})", BOOL)


Compile = Callable[[Context, Scope, Any], Typed]
OPERATORS: dict[type[exp.Expr], Compile] = {
    **dict.fromkeys(_ARITHMETIC, arithmetic),
    **dict.fromkeys(_COMPARISONS, comparison),
    **dict.fromkeys(_BITS, bits),
    exp.Div: division,
    exp.And: logic,
    exp.Or: logic,
    exp.Not: inverse,
    exp.Neg: minus,
    exp.BitwiseNot: bits_of_one,
    exp.DPipe: concatenation,
    exp.Is: test,
    exp.Between: between,
    exp.Like: like,
}
