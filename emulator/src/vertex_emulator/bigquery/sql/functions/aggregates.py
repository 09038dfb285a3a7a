"""Aggregate functions, over groups and over windows.

https://cloud.google.com/bigquery/docs/reference/standard-sql/aggregate_functions and
https://cloud.google.com/bigquery/docs/reference/standard-sql/statistical_aggregate_functions
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sqlglot import exp

from vertex_emulator.bigquery.sql import expressions, queries
from vertex_emulator.bigquery.sql.casts import coerce
from vertex_emulator.bigquery.sql.parsing import invalid_query, refused, shown
from vertex_emulator.bigquery.sql.scope import Context, Scope, Typed
from vertex_emulator.bigquery.types import (
    BOOL,
    FLOAT64,
    INT64,
    NULL,
    NUMERIC,
    STRING,
    Type,
    array_of,
)


@dataclass
class Aggregate:
    """An aggregate call taken apart.

    Attributes:
        name: Upper-case name.
        node: Its place in the query.
        arguments: Compiled arguments.
        over: ` OVER (...)` of a window, or empty.
        distinct: Whether equal values count once.
        ignore_nulls: Whether NULLs are left out; None where the call does not say.
        order: ` ORDER BY ...` of the call, or empty.
        limit: LIMIT of the call, as DuckDB SQL.
        having: `max` or `min` of HAVING, and the expression compared.
    """

    name: str
    node: exp.Expr
    arguments: list[Typed] = field(default_factory=list)
    over: str = ""
    distinct: bool = False
    ignore_nulls: bool | None = None
    order: str = ""
    limit: str | None = None
    having: tuple[str, Typed] | None = None

    def call(self, function: str, *arguments: str, only: str = "") -> str:
        """DuckDB SQL of an aggregate, over the rows for which `only` holds."""
        distinct = "DISTINCT " if self.distinct else ""
        filtered = f" FILTER (WHERE {only})" if only else ""
        listed = ", ".join(arguments)
        return f"{function}({distinct}{listed}{self.order}){filtered}{self.over}"

    def check(self, count: int, *, served: tuple[str, ...] = ("distinct",)) -> None:
        """Refuse another number of arguments, and modifiers that are not `served`."""
        if len(self.arguments) != count:
            raise invalid_query(
                f"Number of arguments does not match for aggregate function {self.name}", self.node
            )
        given = {
            "distinct": self.distinct,
            "ignore_nulls": self.ignore_nulls is not None,
            "order": bool(self.order),
            "limit": self.limit is not None,
            "having": self.having is not None,
        }
        for modifier, is_given in given.items():
            if is_given and modifier not in served:
                word = {"ignore_nulls": "IGNORE or RESPECT NULLS"}.get(modifier, modifier.upper())
                raise refused(f"{word} in the function {self.name}", self.node)

    def no_signature(self) -> Exception:
        """The error of arguments of the wrong types."""
        types = ", ".join(str(argument.type) for argument in self.arguments)
        return invalid_query(
            f"No matching signature for aggregate function {self.name} for argument types: {types}",
            self.node,
        )


def compile_aggregate(context: Context, scope: Scope, node: exp.Anonymous, over: str = "") -> Typed:
    """Compile the call of an aggregate, over a window where `over` says one.

    Raises:
        ApiError: 400 `invalidQuery`.
    """
    aggregate = Aggregate(str(node.this).upper(), node, over=over)
    # Names of the SELECT list are results of aggregation, which an aggregate cannot read.
    inner = replace(scope, aliases={})
    parts = node.expressions
    if aggregate.name == "COUNT" and len(parts) == 1 and isinstance(parts[0], exp.Star):
        return Typed(aggregate.call("count", "*"), INT64)
    for index, part in enumerate(parts):
        part = _modifiers(context, inner, aggregate, part)
        values = part.expressions if isinstance(part, exp.Distinct) else [part]
        if isinstance(part, exp.Distinct):
            if index:
                raise invalid_query("DISTINCT comes before the first argument", node)
            aggregate.distinct = True
        for value in values:
            aggregate.arguments.append(expressions.compile_expression(context, inner, value))
    if aggregate.distinct and "ORDER BY" in over:
        raise invalid_query("Window ORDER BY is not allowed if DISTINCT is specified", node)
    return AGGREGATES[aggregate.name](aggregate)


def _modifiers(context: Context, scope: Scope, aggregate: Aggregate, part: exp.Expr) -> exp.Expr:
    """Note ORDER BY, LIMIT, NULLS and HAVING around an argument; the argument itself."""
    while True:
        if isinstance(part, exp.Limit):
            limit = expressions.compile_expression(context, scope, part.expression)
            aggregate.limit = coerce(limit, INT64, part).sql
        elif isinstance(part, exp.Order):
            aggregate.order = f" {queries.order_by(context, scope, part)}"
        elif isinstance(part, exp.IgnoreNulls | exp.RespectNulls):
            aggregate.ignore_nulls = isinstance(part, exp.IgnoreNulls)
        elif isinstance(part, exp.HavingMax):
            compared = expressions.compile_expression(context, scope, part.expression)
            aggregate.having = ("max" if part.args.get("max") else "min", compared)
        elif isinstance(part, exp.Distinct) and len(part.expressions) == 1:
            inner = part.expressions[0]
            if isinstance(inner, exp.Order | exp.Limit | exp.IgnoreNulls | exp.RespectNulls):
                aggregate.distinct = True
                part = inner
                continue
            return part
        else:
            return part
        if part.this is None:
            raise refused(shown(part), part)
        part = part.this


def _count(call: Aggregate) -> Typed:
    call.check(1)
    return Typed(call.call("count", call.arguments[0].sql), INT64)


def _countif(call: Aggregate) -> Typed:
    call.check(1, served=())
    condition = coerce(call.arguments[0], BOOL, call.node).sql
    return Typed(call.call("count", "*", only=condition), INT64)


def _sum(call: Aggregate) -> Typed:
    call.check(1)
    value = call.arguments[0]
    if value.type in (INT64, NULL):
        # DuckDB sums into 128 bits; BigQuery overflows.
        return Typed(f"CAST({call.call('sum', _as_sql(value, INT64))} AS BIGINT)", INT64)
    if value.type not in (NUMERIC, FLOAT64):
        raise call.no_signature()
    return Typed(call.call("sum", value.sql), value.type)


def _as_sql(value: Typed, type_: Type) -> str:
    return coerce(value, type_).sql


def _avg(call: Aggregate) -> Typed:
    call.check(1)
    value = call.arguments[0]
    if value.type == NUMERIC:
        total, count = call.call("sum", value.sql), call.call("count", value.sql)
        quotient = f"numeric_divide({total}, CAST(nullif({count}, 0) AS DECIMAL(38,9)))"
        return Typed(quotient, NUMERIC)
    if value.type not in (INT64, FLOAT64, NULL):
        raise call.no_signature()
    return Typed(call.call("avg", coerce(value, FLOAT64).sql), FLOAT64)


def _extreme(call: Aggregate) -> Typed:
    call.check(1)
    value = call.arguments[0]
    if value.type.name in ("ARRAY", "STRUCT", "JSON"):
        raise call.no_signature()
    return Typed(call.call(call.name.lower(), value.sql), value.type)


def _any_value(call: Aggregate) -> Typed:
    call.check(1, served=("having",))
    value = call.arguments[0]
    if call.having:
        which, compared = call.having
        return Typed(call.call(f"arg_{which}_null", value.sql, compared.sql), value.type)
    return Typed(call.call("any_value", value.sql), value.type)


def _by(call: Aggregate) -> Typed:
    """MAX_BY(x, y) and MIN_BY(x, y)."""
    call.check(2, served=())
    function = "arg_max_null" if call.name == "MAX_BY" else "arg_min_null"
    arguments = [argument.sql for argument in call.arguments]
    return Typed(call.call(function, *arguments), call.arguments[0].type)


def _array(call: Aggregate) -> Typed:
    call.check(1, served=("distinct", "ignore_nulls", "order", "limit"))
    value = call.arguments[0]
    if value.type.element is not None:
        raise invalid_query("The argument to ARRAY_AGG must not be an array type", call.node)
    only = f"{value.sql} IS NOT NULL" if call.ignore_nulls else ""
    sql = call.call("list", value.sql, only=only)
    if call.limit is not None:
        sql = f"({sql})[1:{call.limit}]"
    return Typed(sql, array_of(INT64 if value.type == NULL else value.type))


def _concat_arrays(call: Aggregate) -> Typed:
    call.check(1, served=("order", "limit"))
    value = call.arguments[0]
    if value.type.element is None:
        raise call.no_signature()
    sql = call.call("list", value.sql, only=f"{value.sql} IS NOT NULL")
    if call.limit is not None:
        sql = f"({sql})[1:{call.limit}]"
    return Typed(f"flatten({sql})", value.type)


def _string(call: Aggregate) -> Typed:
    call.check(len(call.arguments), served=("distinct", "order", "limit"))
    if len(call.arguments) not in (1, 2) or any(
        argument.type not in (STRING, NULL) for argument in call.arguments
    ):
        raise call.no_signature()
    value = coerce(call.arguments[0], STRING)
    delimiter = call.arguments[1].sql if len(call.arguments) == 2 else "','"
    listed = call.call("list", value.sql, only=f"{value.sql} IS NOT NULL")
    if call.limit is not None:
        listed = f"({listed})[1:{call.limit}]"
    return Typed(f"array_to_string({listed}, {delimiter})", STRING)


def _logical(call: Aggregate) -> Typed:
    call.check(1, served=())
    function = "bool_and" if call.name == "LOGICAL_AND" else "bool_or"
    return Typed(call.call(function, coerce(call.arguments[0], BOOL, call.node).sql), BOOL)


def _bits(call: Aggregate) -> Typed:
    call.check(1)
    return Typed(
        call.call(call.name.lower(), coerce(call.arguments[0], INT64, call.node).sql), INT64
    )


def _statistic(function: str, count: int) -> Callable[[Aggregate], Typed]:
    def compile_statistic(call: Aggregate) -> Typed:
        call.check(count)
        if any(argument.type == NUMERIC for argument in call.arguments):
            raise refused(f"{call.name} of NUMERIC", call.node)
        arguments = [coerce(argument, FLOAT64, call.node).sql for argument in call.arguments]
        return Typed(call.call(function, *arguments), FLOAT64)

    return compile_statistic


def _approximate_count(call: Aggregate) -> Typed:
    call.check(1, served=())
    call.distinct = True
    return Typed(call.call("count", call.arguments[0].sql), INT64)


def _approximate_quantiles(call: Aggregate) -> Typed:
    call.check(2, served=())
    value, buckets = call.arguments
    count = buckets.sql.removeprefix("CAST(").removesuffix(" AS BIGINT)")
    if buckets.type != INT64 or not count.isdigit() or not 0 < int(count) <= 10_000:
        raise refused("APPROX_QUANTILES whose number is not a literal from 1 to 10,000", call.node)
    points = ", ".join(repr(index / int(count)) for index in range(int(count) + 1))
    return Typed(call.call("quantile_disc", value.sql, f"[{points}]"), array_of(value.type))


def _grouping(call: Aggregate) -> Typed:
    call.check(1, served=())
    return Typed(f"CAST(grouping({call.arguments[0].sql}) AS BIGINT)", INT64)


AGGREGATES: dict[str, Callable[[Aggregate], Typed]] = {
    "ANY_VALUE": _any_value,
    "APPROX_COUNT_DISTINCT": _approximate_count,
    "APPROX_QUANTILES": _approximate_quantiles,
    "ARRAY_AGG": _array,
    "ARRAY_CONCAT_AGG": _concat_arrays,
    "AVG": _avg,
    "BIT_AND": _bits,
    "BIT_OR": _bits,
    "BIT_XOR": _bits,
    "CORR": _statistic("corr", 2),
    "COUNT": _count,
    "COUNTIF": _countif,
    "COVAR_POP": _statistic("covar_pop", 2),
    "COVAR_SAMP": _statistic("covar_samp", 2),
    "GROUPING": _grouping,
    "LOGICAL_AND": _logical,
    "LOGICAL_OR": _logical,
    "MAX": _extreme,
    "MAX_BY": _by,
    "MIN": _extreme,
    "MIN_BY": _by,
    "STDDEV": _statistic("stddev_samp", 1),
    "STDDEV_POP": _statistic("stddev_pop", 1),
    "STDDEV_SAMP": _statistic("stddev_samp", 1),
    "STRING_AGG": _string,
    "SUM": _sum,
    "VARIANCE": _statistic("var_samp", 1),
    "VAR_POP": _statistic("var_pop", 1),
    "VAR_SAMP": _statistic("var_samp", 1),
}
