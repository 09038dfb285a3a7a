"""The functions that the emulator serves: BigQuery's name and types to DuckDB SQL.

A function is on the list when its results are known to be BigQuery's; any other call is refused
with its name.
"""

from __future__ import annotations

from sqlglot import exp

from vertex_emulator.bigquery.sql import expressions
from vertex_emulator.bigquery.sql.casts import coerce
from vertex_emulator.bigquery.sql.functions import (
    aggregates,
    arrays,
    dates,
    formatting,
    json,
    numbers,
    strings,
)
from vertex_emulator.bigquery.sql.parsing import PARENLESS, refused, shown
from vertex_emulator.bigquery.sql.scope import (
    Column,
    Context,
    Relation,
    Scope,
    SqlFunction,
    Typed,
)
from vertex_emulator.bigquery.sql.signatures import Call, Functions, apply, attempt

SCALARS: Functions = {
    **strings.FUNCTIONS,
    **numbers.FUNCTIONS,
    **dates.FUNCTIONS,
    **formatting.FUNCTIONS,
    **json.FUNCTIONS,
    **arrays.FUNCTIONS,
}


def compile_call(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """Compile the call of a function, an aggregate included.

    Raises:
        ApiError: 400 `invalidQuery` if the function is not served or its arguments do not fit.
    """
    if isinstance(node, exp.SafeFunc):
        return _safe(context, scope, node)
    if type(node) in PARENLESS:
        return _scalar(Call(PARENLESS[type(node)], [], node, context, scope))
    if not isinstance(node, exp.Anonymous):
        raise refused(f"the function {shown(node).partition('(')[0].upper()}", node)
    name = str(node.this).upper()
    if name in context.functions:
        return _inlined(Call(name, node.expressions, node, context, scope), context.functions[name])
    if name == "STRUCT":
        return expressions.struct(context, scope, node)
    if name in aggregates.AGGREGATES:
        return aggregates.compile_aggregate(context, scope, node)
    return _scalar(Call(name, node.expressions, node, context, scope))


def _scalar(call: Call) -> Typed:
    served = SCALARS.get(call.name)
    if served is None:
        raise refused(f"the function {call.name}", call.node)
    return apply(call, served) if isinstance(served, list) else served(call)


def _safe(context: Context, scope: Scope, node: exp.SafeFunc) -> Typed:
    """`SAFE.` before a function: NULL where the function fails; its arguments still may."""
    called = node.this
    name = str(called.this).upper() if isinstance(called, exp.Anonymous) else ""
    if name not in SCALARS:
        raise refused(f"SAFE before {name or shown(called)}", node)
    call = Call(name, called.expressions, called, context, scope, apart={})
    value = _scalar(call)
    return Typed(attempt(value.sql, call.apart or {}), value.type)


def _inlined(call: Call, function: SqlFunction) -> Typed:
    call.check_count(len(function.parameters), len(function.parameters))
    arguments = []
    for (name, type_), value in zip(function.parameters, call.arguments, strict=True):
        given = coerce(value, type_, call.node) if type_ else value
        arguments.append(Column(name, Typed(given.sql, given.type)))
    scope = Scope([Relation("", arguments)])
    # The body sees the other functions but not itself: BigQuery has no recursive functions.
    others = {name: each for name, each in call.context.functions.items() if name != call.name}
    kept, call.context.functions = call.context.functions, others
    try:
        value = expressions.compile_expression(call.context, scope, function.body)
    finally:
        call.context.functions = kept
    if function.result is not None and value.type != function.result:
        value = coerce(value, function.result, call.node)
    return Typed(f"({value.sql})", value.type)


def extract(context: Context, scope: Scope, node: exp.Extract) -> Typed:
    """EXTRACT(part FROM value [AT TIME ZONE zone])."""
    return dates.extract(context, scope, node)
