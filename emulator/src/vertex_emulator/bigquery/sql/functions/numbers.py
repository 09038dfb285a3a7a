"""Mathematical and conditional functions.

https://cloud.google.com/bigquery/docs/reference/standard-sql/mathematical_functions and
https://cloud.google.com/bigquery/docs/reference/standard-sql/conditional_expressions
"""

from __future__ import annotations

from vertex_emulator.bigquery.sql.casts import coerce, fail, unify
from vertex_emulator.bigquery.sql.operators import compare, divide, number_operation
from vertex_emulator.bigquery.sql.parsing import refused
from vertex_emulator.bigquery.sql.scope import Typed
from vertex_emulator.bigquery.sql.signatures import (
    Call,
    Functions,
    Signature,
    apply,
    attempt,
    null_of,
    signature,
)
from vertex_emulator.bigquery.types import BOOL, FLOAT64, INT64, NUMERIC, STRING


def _real(sql: str) -> list[Signature]:
    return [signature("FLOAT64", "FLOAT64", sql)]


def _domain(function: str, wrong: str) -> list[Signature]:
    """A function of FLOAT64 that fails where `wrong` holds, as BigQuery does."""
    sql = f"CASE WHEN {wrong} THEN {{fail:Argument out of range}} ELSE {function} END"
    return _real(sql)


def _rounding(function: str) -> list[Signature]:
    return [
        signature("NUMERIC", "NUMERIC", f"CAST({function}({{0}}) AS DECIMAL(38,9))"),
        signature("FLOAT64", "FLOAT64", f"{function}({{0}})"),
    ]


def _rounding_to(function: str) -> list[Signature]:
    return [
        *_rounding(function),
        signature("FLOAT64 INT64", "FLOAT64", f"{function}({{0}}, CAST({{1}} AS INTEGER))"),
    ]


_NO_REMAINDER = "CASE WHEN {1} = 0 THEN {fail:division by zero} ELSE "
_MOD = [
    signature("INT64 INT64", "INT64", f"{_NO_REMAINDER}{{0}} % {{1}} END"),
    signature("NUMERIC NUMERIC", "NUMERIC", f"{_NO_REMAINDER}{{0}} % {{1}} END"),
]
_DIV = [
    signature("INT64 INT64", "INT64", f"{_NO_REMAINDER}{{0}} // {{1}} END"),
    signature(
        "NUMERIC NUMERIC", "NUMERIC", f"{_NO_REMAINDER}trunc(numeric_divide({{0}}, {{1}})) END"
    ),
]
_ABS = [signature(name, name, "abs({0})") for name in ("INT64", "NUMERIC", "FLOAT64")]
_SIGN = [
    signature(name, name, f"CAST(sign({{0}}) AS {duck})")
    for name, duck in (("INT64", "BIGINT"), ("NUMERIC", "DECIMAL(38,9)"), ("FLOAT64", "DOUBLE"))
]
_POW = [
    signature(
        "FLOAT64 FLOAT64",
        "FLOAT64",
        "CASE WHEN ({0} < 0 AND {1} <> trunc({1})) OR ({0} = 0 AND {1} < 0)"
        " THEN {fail:Floating point error in function: POW} ELSE pow({0}, {1}) END",
    )
]
_LOG = [
    *_domain("ln({0})", "{0} <= 0"),
    signature(
        "FLOAT64 FLOAT64",
        "FLOAT64",
        "CASE WHEN {0} <= 0 OR {1} <= 0 OR {1} = 1 THEN {fail:Argument out of range}"
        " ELSE ln({0}) / ln({1}) END",
    ),
]


def _distance(function: str) -> list[Signature]:
    failing = "{fail:Array length mismatch, or a vector without a direction}"
    return [
        signature(
            "FLOAT64[] FLOAT64[]",
            "FLOAT64",
            f"CASE WHEN len({{0}}) <> len({{1}}) OR ('{function}' = 'list_cosine_distance' AND"
            " (list_inner_product({0}, {0}) = 0 OR list_inner_product({1}, {1}) = 0))"
            f" THEN {failing} ELSE {function}({{0}}, {{1}}) END",
        )
    ]


def _extreme(call: Call) -> Typed:
    call.check_count(1, 1000)
    values, type_ = unify(call.arguments, call.node)
    if type_.name in ("ARRAY", "STRUCT", "JSON"):
        raise call.no_signature()
    # NULL when any is NULL, where DuckDB skips it.
    missing = " OR ".join(f"{value.sql} IS NULL" for value in values)
    listed = ", ".join(value.sql for value in values)
    function = call.name.lower()
    return Typed(f"CASE WHEN {missing} THEN NULL ELSE {function}({listed}) END", type_)


def _coalesce(call: Call) -> Typed:
    call.check_count(1, 1000)
    values, type_ = unify(call.arguments, call.node)
    return Typed(f"coalesce({', '.join(value.sql for value in values)})", type_)


def _ifnull(call: Call) -> Typed:
    call.check_count(2, 2)
    return _coalesce(call)


def _if(call: Call) -> Typed:
    call.check_count(3, 3)
    (yes, no), type_ = unify(call.arguments[1:], call.node)
    condition = coerce(call.arguments[0], BOOL, call.node)
    return Typed(f"CASE WHEN {condition.sql} THEN {yes.sql} ELSE {no.sql} END", type_)


def _nullif(call: Call) -> Typed:
    call.check_count(2, 2)
    first, second = call.arguments
    equal = compare("=", first, second, call.node)
    return Typed(
        f"CASE WHEN {equal.sql} THEN {null_of(first.type)} ELSE {first.sql} END", first.type
    )


def _safe_divide(call: Call) -> Typed:
    call.check_count(2, 2)
    return divide(call.arguments[0], call.arguments[1], call.node, on_zero="NULL")


def _safe_operation(call: Call) -> Typed:
    call.check_count(2, 2)
    operator = {"SAFE_ADD": "+", "SAFE_SUBTRACT": "-", "SAFE_MULTIPLY": "*"}[call.name]
    apart = {call.context.fresh("s"): argument.sql for argument in call.arguments}
    sides = [
        Typed(name, argument.type, argument.literal)
        for name, argument in zip(apart, call.arguments, strict=True)
    ]
    value = number_operation(operator, sides[0], sides[1], call.node)
    return Typed(attempt(value.sql, apart), value.type)


def _safe_negate(call: Call) -> Typed:
    call.check_count(1, 1)
    value = call.argument(0)
    if value.type not in (INT64, NUMERIC, FLOAT64):
        raise call.no_signature()
    return Typed(attempt("0 - s", {"s": value.sql}), value.type)


def _round(call: Call) -> Typed:
    """ROUND(x[, digits]): half away from zero."""
    call.check_count(1, 2)
    value = call.argument(0)
    if value.type == NUMERIC and len(call.nodes) == 2:
        digits = coerce(call.argument(1), INT64, call.node)
        if not digits.literal:
            raise refused(
                f"{call.name} of NUMERIC to a number of digits that is not a literal", call.node
            )
        rounded = f"{call.name.lower()}({value.sql}, CAST({digits.sql} AS INTEGER))"
        return Typed(f"CAST({rounded} AS DECIMAL(38,9))", NUMERIC)
    return apply(call, _rounding_to(call.name.lower()))


def _error(call: Call) -> Typed:
    call.check_count(1, 1)
    message = coerce(call.argument(0), STRING, call.node)
    return Typed(fail(message.sql, INT64), INT64, literal=True)


FUNCTIONS: Functions = {
    "ABS": _ABS,
    "ACOS": _domain("acos({0})", "abs({0}) > 1"),
    "ASIN": _domain("asin({0})", "abs({0}) > 1"),
    "ATAN": _real("atan({0})"),
    "ATAN2": [signature("FLOAT64 FLOAT64", "FLOAT64", "atan2({0}, {1})")],
    "BIT_COUNT": [signature("INT64", "INT64", "CAST(bit_count({0}) AS BIGINT)")],
    "CBRT": _real("cbrt({0})"),
    "CEIL": _rounding("ceil"),
    "CEILING": _rounding("ceil"),
    "COALESCE": _coalesce,
    "COS": _real("cos({0})"),
    "COSH": _real("cosh({0})"),
    "COSINE_DISTANCE": _distance("list_cosine_distance"),
    "DIV": _DIV,
    "ERROR": _error,
    "EUCLIDEAN_DISTANCE": _distance("list_distance"),
    "EXP": _domain("exp({0})", "{0} > 709.782712893384"),
    "FLOOR": _rounding("floor"),
    "GENERATE_UUID": [signature("", "STRING", "CAST(uuid() AS VARCHAR)")],
    "GREATEST": _extreme,
    "IEEE_DIVIDE": [signature("FLOAT64 FLOAT64", "FLOAT64", "{0} / {1}")],
    "IF": _if,
    "IFNULL": _ifnull,
    "IS_INF": [signature("FLOAT64", "BOOL", "isinf({0})")],
    "IS_NAN": [signature("FLOAT64", "BOOL", "isnan({0})")],
    "LEAST": _extreme,
    "LN": _domain("ln({0})", "{0} <= 0"),
    "LOG": _LOG,
    "LOG10": _domain("log10({0})", "{0} <= 0"),
    "MOD": _MOD,
    "NULLIF": _nullif,
    "POW": _POW,
    "POWER": _POW,
    "RAND": [signature("", "FLOAT64", "random()")],
    "RANGE_BUCKET": [
        signature(
            "T T[]",
            "INT64",
            "CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE"
            " CAST(len(list_filter({1}, lambda b: b <= {0})) AS BIGINT) END",
        )
    ],
    "ROUND": _round,
    "SAFE_ADD": _safe_operation,
    "SAFE_DIVIDE": _safe_divide,
    "SAFE_MULTIPLY": _safe_operation,
    "SAFE_NEGATE": _safe_negate,
    "SAFE_SUBTRACT": _safe_operation,
    "SIGN": _SIGN,
    "SIN": _real("sin({0})"),
    "SINH": _real("sinh({0})"),
    "SQRT": _domain("sqrt({0})", "{0} < 0"),
    "TAN": _real("tan({0})"),
    "TANH": _real("tanh({0})"),
    "TRUNC": _round,
}
