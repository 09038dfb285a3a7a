"""Functions as tables of signatures: parameter types, result type, DuckDB SQL."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sqlglot import exp

from vertex_emulator.bigquery.sql import expressions
from vertex_emulator.bigquery.sql.casts import can_coerce, coerce, fail, supertype
from vertex_emulator.bigquery.sql.parsing import invalid_query, refused
from vertex_emulator.bigquery.sql.scope import Context, Scope, Typed
from vertex_emulator.bigquery.types import (
    BOOL,
    BYTES,
    DATE,
    DATETIME,
    FLOAT64,
    INT64,
    JSON,
    NUMERIC,
    STRING,
    TIME,
    TIMESTAMP,
    Type,
    array_of,
    duckdb_type,
)

_TYPES = {
    type_.name: type_
    for type_ in (
        *(INT64, FLOAT64, NUMERIC, BOOL, STRING, BYTES),
        *(DATE, TIME, DATETIME, TIMESTAMP, JSON),
    )
}
# Where several signatures take an argument of another type, the first of these wins.
_PREFERENCE = {type_: rank for rank, type_ in enumerate(_TYPES.values(), start=1)}
_VOLATILE = re.compile(r"\b(random|uuid)\(\)")
_HOLE = re.compile(r"\{(\d)\}")
# An argument longer than this is computed once and named, rather than written out again.
_LONG = 200


@dataclass(frozen=True)
class Call:
    """One call of a function.

    Attributes:
        name: Upper-case name.
        nodes: The arguments as they were written.
        node: Its place in the query.
        context: The context of the compilation.
        scope: Names that the call may use.
        apart: Where arguments are to be evaluated outside of the call: receives name and SQL of
            each, and the call sees the names.
    """

    name: str
    nodes: list[exp.Expr]
    node: exp.Expr
    context: Context
    scope: Scope
    apart: dict[str, str] | None = None
    compiled: dict[int, Typed] = field(default_factory=dict)

    @cached_property
    def arguments(self) -> list[Typed]:
        """The compiled arguments."""
        return [self.argument(index) for index in range(len(self.nodes))]

    def argument(self, index: int) -> Typed:
        """One compiled argument; those that are not expressions (date parts) are never compiled.

        Raises:
            ApiError: 400 `invalidQuery` if the call has fewer arguments.
        """
        if index >= len(self.nodes):
            raise invalid_query(f"Function {self.name} needs more arguments", self.node)
        if index not in self.compiled:
            value = expressions.compile_expression(self.context, self.scope, self.nodes[index])
            if self.apart is not None and not value.literal:
                name = self.context.fresh("s")
                self.apart[name] = value.sql
                value = Typed(name, value.type)
            self.compiled[index] = value
        return self.compiled[index]

    def check_count(self, least: int, most: int) -> None:
        """Refuse a call with too few or too many arguments.

        Raises:
            ApiError: 400 `invalidQuery`.
        """
        if not least <= len(self.nodes) <= most:
            raise invalid_query(
                f"Number of arguments does not match for function {self.name}", self.node
            )

    def text_argument(self, index: int) -> str:
        """The text of an argument that has to be a string literal or parameter.

        Raises:
            ApiError: 400 `invalidQuery` if it is something else.
        """
        value = self.argument(index).value
        if value is None:
            raise refused(
                f"{self.name} whose argument {index + 1} is not a string literal", self.node
            )
        return value

    def no_signature(self) -> Exception:
        """The error of a call whose arguments fit no signature."""
        types = ", ".join(str(argument.type) for argument in self.arguments)
        return invalid_query(
            f"No matching signature for function {self.name} for argument types: {types}",
            self.node,
        )


Builder = Callable[[Call], Typed]


@dataclass(frozen=True)
class Signature:
    """One way to call a function.

    Attributes:
        parameters: Types; `T` stands for any type, the same wherever it occurs, and `[]` after
            a type for an array of it.
        result: Type of the result, in the same words.
        sql: DuckDB SQL, with `{0}`, `{1}`, ... for the arguments.
    """

    parameters: tuple[str, ...]
    result: str
    sql: str


Functions = dict[str, "list[Signature] | Builder"]


def signature(parameters: str, result: str, sql: str) -> Signature:
    """A signature whose parameter types are separated by spaces."""
    return Signature(tuple(parameters.split()), result, sql)


def _match(call: Call, candidate: Signature) -> tuple[int, list[Typed], Type | None] | None:
    if len(candidate.parameters) != len(call.arguments):
        return None
    generic = [
        _element(argument, parameter)
        for argument, parameter in zip(call.arguments, candidate.parameters, strict=True)
        if parameter.startswith("T") and parameter.rstrip("[]") == "T"
    ]
    if any(value is None for value in generic):
        return None
    bound = supertype([value for value in generic if value], call.node) if generic else None
    cost, converted = 0, []
    for argument, parameter in zip(call.arguments, candidate.parameters, strict=True):
        wanted = _type(parameter, bound)
        if not can_coerce(argument, wanted):
            return None
        if argument.type != wanted:
            cost += _PREFERENCE.get(wanted, 1)
        converted.append(coerce(argument, wanted, call.node))
    return cost, converted, bound


def _element(argument: Typed, parameter: str) -> Typed | None:
    if not parameter.endswith("[]"):
        return argument
    if argument.type.element is not None:
        return Typed("", argument.type.element)
    return argument if argument.type.name == "NULL" else None


def _type(name: str, bound: Type | None) -> Type:
    if name.endswith("[]"):
        return array_of(_type(name[:-2], bound))
    if name == "T" and bound is not None:
        return bound
    return _TYPES[name]


def apply(call: Call, signatures: Sequence[Signature]) -> Typed:
    """The call compiled by the signature that fits its arguments best.

    Raises:
        ApiError: 400 `invalidQuery` if none fits.
    """
    matches = [
        (match[0], match[1], match[2], each)
        for each in signatures
        if (match := _match(call, each)) is not None
    ]
    if not matches:
        raise call.no_signature()
    _, arguments, bound, chosen = min(matches, key=lambda match: match[0])
    result = _type(chosen.result, bound)
    sql = chosen.sql
    if "{fail:" in sql:
        sql = _with_failures(sql, result)
    return Typed(render(sql, arguments), result)


def _with_failures(sql: str, result: Type) -> str:
    return re.sub(r"\{fail:([^}]*)\}", lambda match: fail(f"'{match[1]}'", result), sql)


def render(template: str, arguments: Sequence[Typed]) -> str:
    """The template with its arguments, each of them evaluated once where that matters."""
    uses = Counter(_HOLE.findall(template))
    values = []
    named = {}
    for index, argument in enumerate(arguments):
        costly = len(argument.sql) > _LONG or _VOLATILE.search(argument.sql)
        if uses[str(index)] > 1 and costly:
            name = f"a{index}_{len(argument.sql)}"
            named[name] = argument.sql
            values.append(name)
        else:
            values.append(argument.sql)
    # In one pass: an argument may itself hold a text such as '{1}'.
    return let(named, _HOLE.sub(lambda hole: values[int(hole[1])], template))


def let(named: Mapping[str, str], sql: str) -> str:
    """DuckDB SQL in which each name stands for a value that is computed once."""
    for name, value in reversed(list(named.items())):
        sql = f"list_transform([{value}], lambda {name}: {sql})[1]"
    return sql


def attempt(sql: str, apart: Mapping[str, str]) -> str:
    """DuckDB SQL that gives NULL where `sql` fails, but not where its ingredients do.

    Args:
        sql: The attempt, which refers to the names in `apart`.
        apart: SQL of what is evaluated outside, by name. DuckDB's TRY takes neither aggregates
            nor subqueries nor random values, so that these have to be there.
    """
    return let(apart, f"TRY({sql})")


def null_of(type_: Type) -> str:
    """DuckDB SQL of a NULL of `type_`."""
    return f"CAST(NULL AS {duckdb_type(type_)})"
