"""Window functions.

https://cloud.google.com/bigquery/docs/reference/standard-sql/window-function-calls,
https://cloud.google.com/bigquery/docs/reference/standard-sql/numbering_functions and
https://cloud.google.com/bigquery/docs/reference/standard-sql/navigation_functions
"""

from __future__ import annotations

from sqlglot import exp

from vertex_emulator.bigquery.sql import expressions, queries
from vertex_emulator.bigquery.sql.casts import coerce
from vertex_emulator.bigquery.sql.functions import aggregates
from vertex_emulator.bigquery.sql.parsing import (
    check_only,
    invalid_query,
    refused,
    shown,
)
from vertex_emulator.bigquery.sql.scope import Context, Scope, Typed
from vertex_emulator.bigquery.types import FLOAT64, INT64, STRING, Type

_NUMBERING: dict[str, Type] = {
    "ROW_NUMBER": INT64,
    "RANK": INT64,
    "DENSE_RANK": INT64,
    "PERCENT_RANK": FLOAT64,
    "CUME_DIST": FLOAT64,
}
# Least and most arguments.
_NAVIGATION = {
    "FIRST_VALUE": (1, 1),
    "LAST_VALUE": (1, 1),
    "NTH_VALUE": (2, 2),
    "LAG": (1, 3),
    "LEAD": (1, 3),
}
_PERCENTILES = {"PERCENTILE_CONT": "quantile_cont", "PERCENTILE_DISC": "quantile_disc"}
_WITH_NULLS = frozenset((*_PERCENTILES, "FIRST_VALUE", "LAST_VALUE", "NTH_VALUE"))
WINDOW_FUNCTIONS = frozenset((*_NUMBERING, *_NAVIGATION, *_PERCENTILES, "NTILE"))


def compile_window(context: Context, scope: Scope, node: exp.Window) -> Typed:
    """Compile `function(...) OVER (...)`.

    Raises:
        ApiError: 400 `invalidQuery`.
    """
    call, nulls = node.this, ""
    if isinstance(call, exp.IgnoreNulls | exp.RespectNulls):
        nulls = _nulls(call)
        call = call.this
    if not isinstance(call, exp.Anonymous):
        raise refused(f"{shown(node)} as a window function", node)
    name = str(call.this).upper()
    over = f" OVER ({window_specification(context, scope, node)})"
    if name in aggregates.AGGREGATES:
        return aggregates.compile_aggregate(context, scope, call, over)
    if name not in WINDOW_FUNCTIONS:
        raise refused(f"the window function {name}", node)
    arguments = []
    for part in call.expressions:
        if isinstance(part, exp.IgnoreNulls | exp.RespectNulls):
            nulls = _nulls(part)
            part = part.this
        arguments.append(expressions.compile_expression(context, scope, part))
    if (nulls and name not in _WITH_NULLS) or (name in _PERCENTILES and nulls == " RESPECT NULLS"):
        raise refused(f"{nulls.strip()} in the function {name}", node)
    return _compiled(name, arguments, nulls, over, node)


def _nulls(node: exp.Expr) -> str:
    return " IGNORE NULLS" if isinstance(node, exp.IgnoreNulls) else " RESPECT NULLS"


def _compiled(name: str, arguments: list[Typed], nulls: str, over: str, node: exp.Expr) -> Typed:
    if name in _NUMBERING:
        _check_count(name, arguments, 0, 0, node)
        return Typed(f"{name.lower()}(){over}", _NUMBERING[name])
    if name == "NTILE":
        _check_count(name, arguments, 1, 1, node)
        return Typed(f"ntile({coerce(arguments[0], INT64, node).sql}){over}", INT64)
    if name in _PERCENTILES:
        _check_count(name, arguments, 2, 2, node)
        value, point = arguments
        if name == "PERCENTILE_CONT":
            value = coerce(value, FLOAT64, node)
        fraction = coerce(point, FLOAT64, node).sql
        return Typed(f"{_PERCENTILES[name]}({value.sql}, {fraction}){over}", value.type)
    _check_count(name, arguments, *_NAVIGATION[name], node)
    value = arguments[0]
    listed = [value.sql]
    if len(arguments) > 1:
        listed.append(coerce(arguments[1], INT64, node).sql)
    if len(arguments) > 2:
        listed.append(coerce(arguments[2], value.type, node).sql)
    type_ = STRING if value.type.name == "NULL" else value.type
    return Typed(f"{name.lower()}({', '.join(listed)}{nulls}){over}", type_)


def _check_count(name: str, given: list[Typed], least: int, most: int, node: exp.Expr) -> None:
    if not least <= len(given) <= most:
        raise invalid_query(f"Number of arguments does not match for function {name}", node)


def window_specification(context: Context, scope: Scope, node: exp.Window) -> str:
    """What is between the parentheses of OVER.

    Raises:
        ApiError: 400 `invalidQuery`.
    """
    check_only(node, "this", "partition_by", "order", "spec", "over", "alias")
    parts = []
    name = node.args.get("alias")
    base = scope.windows.get(name.name.lower()) if name is not None else None
    if name is not None and base is None:
        raise invalid_query(f"Unrecognized window alias {name.name}", node)
    sources = [each for each in (base, node) if each is not None]
    partition = [part for source in sources for part in source.args.get("partition_by") or ()]
    if partition:
        values = [expressions.compile_expression(context, scope, part) for part in partition]
        parts.append(f"PARTITION BY {', '.join(value.sql for value in values)}")
    order = next((source.args["order"] for source in sources if source.args.get("order")), None)
    if order is not None:
        parts.append(queries.order_by(context, scope, order))
    spec = next((source.args["spec"] for source in sources if source.args.get("spec")), None)
    if spec is not None:
        parts.append(_frame(context, scope, spec))
    return " ".join(parts)


def _frame(context: Context, scope: Scope, spec: exp.Expr) -> str:
    check_only(spec, "kind", "start", "start_side", "end", "end_side")
    start = _bound(context, scope, spec.args.get("start"), spec.args.get("start_side"))
    end = _bound(context, scope, spec.args.get("end") or "CURRENT ROW", spec.args.get("end_side"))
    return f"{spec.args['kind'].upper()} BETWEEN {start} AND {end}"


def _bound(context: Context, scope: Scope, value: object, side: str | None) -> str:
    if isinstance(value, exp.Expr):
        count = expressions.compile_expression(context, scope, value)
        if count.type != INT64 or not side:
            raise refused(f"the window frame bound {shown(value)}", value)
        return f"{count.sql} {side.upper()}"
    return f"{value} {side or ''}".strip().upper()
