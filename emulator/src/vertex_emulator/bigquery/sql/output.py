"""The outermost SELECT: the columns that a result or a table gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from vertex_emulator.bigquery.sql.casts import coerce, fail
from vertex_emulator.bigquery.sql.parsing import invalid_query
from vertex_emulator.bigquery.sql.scope import Query, Typed, member
from vertex_emulator.bigquery.sql.signatures import render
from vertex_emulator.bigquery.types import (
    INT64,
    Field,
    Type,
    array_of,
    duckdb_type,
    quoted,
)


@dataclass(frozen=True)
class Output:
    """A query whose columns all have names and types that can be stored."""

    sql: str
    fields: tuple[Field, ...]


def finished(query: Query, node: exp.Expr) -> Output:
    """The query with names for its unnamed columns and arrays that a table can hold.

    Raises:
        ApiError: 400 `invalidQuery` if two columns have one name, or a column has a type that
            cannot be stored.
    """
    values = [
        (field.name, Typed(quoted(key), field.type))
        for key, field in zip(query.keys, query.fields, strict=True)
    ]
    if query.is_value and values[0][1].type.name == "STRUCT":
        whole = values[0][1]
        values = [
            (field.name, member(whole, field.name or f"_field_{index + 1}", node))
            for index, field in enumerate(whole.type.fields)
        ]
    names = _names([name for name, _ in values])
    columns, fields = [], []
    for name, (_, value) in zip(names, values, strict=True):
        type_ = storable(value.type)
        if type_.name == "INTERVAL":
            raise invalid_query("The emulator does not serve results of type INTERVAL", node)
        columns.append(f"{stored(value, type_)} AS {quoted(name)}")
        fields.append(Field(name, type_))
    return Output(f"SELECT {', '.join(columns)} FROM ({query.sql})", tuple(fields))


def _names(given: Sequence[str]) -> list[str]:
    """Names for all columns: `f0_`, `f1_`, ... for those without."""
    names, unnamed = [], 0
    for name in given:
        if not name:
            name = f"f{unnamed}_"
            unnamed += 1
        names.append(name)
    lowered = [name.lower() for name in names]
    if duplicates := sorted({name for name in names if lowered.count(name.lower()) > 1}):
        raise invalid_query(
            "Duplicate column names in the result are not supported when a destination table is"
            f" present. Found duplicate(s): {', '.join(duplicates)}"
        )
    return names


def storable(type_: Type) -> Type:
    """The type in which a value is stored: NULL without a type is INT64."""
    if type_.name == "NULL":
        return INT64
    if type_.element is not None:
        return array_of(storable(type_.element))
    return type_


def stored(value: Typed, type_: Type) -> str:
    """DuckDB SQL of a value as a column of `type_` holds it.

    An array is never NULL in storage, and has no NULL element:
    https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#array_nulls
    """
    duck = duckdb_type(type_)
    value = coerce(value, type_)
    if type_.element is None:
        return f"CAST({value.sql} AS {duck})"
    failing = fail("'Array cannot have a null element; error in writing field'", type_)
    sql = (
        f"CASE WHEN {{0}} IS NULL THEN CAST([] AS {duck})"
        " WHEN len(list_filter({0}, lambda e: e IS NULL)) > 0"
        f" THEN {failing} ELSE CAST({{0}} AS {duck}) END"
    )
    return render(sql, [value])
