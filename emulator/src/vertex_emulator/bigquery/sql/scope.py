"""What names mean inside a query, and the expressions they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from sqlglot import exp

from vertex_emulator.bigquery.catalog import Table, TableName
from vertex_emulator.bigquery.sql.parsing import invalid_query, refused
from vertex_emulator.bigquery.types import (
    JSON,
    Field,
    Type,
    member_name,
    quoted,
    struct_of,
    text,
)


@dataclass(frozen=True)
class Typed:
    """A compiled expression.

    Attributes:
        sql: DuckDB SQL.
        type: Its BigQuery type.
        literal: Whether it is a literal or a parameter, which coerce to more types than
            other expressions do.
        value: What a string literal holds; None for everything else.
    """

    sql: str
    type: Type
    literal: bool = False
    value: str | None = None


@dataclass(frozen=True)
class Column:
    """A named expression that a relation offers; the name is empty where SQL gives none."""

    name: str
    value: Typed


@dataclass
class Relation:
    """One item of a FROM clause.

    Attributes:
        alias: Name by which the query refers to it, or empty.
        columns: What it offers.
        value: The element itself, for the rows of UNNEST.
        table: The stored table it reads, for the accounting of bytes.
        nullable: Whether an outer join may make all of its columns NULL.
    """

    alias: str
    columns: Sequence[Column]
    value: Typed | None = None
    table: TableName | None = None
    nullable: bool = False


@dataclass(frozen=True)
class Query:
    """A compiled query.

    Attributes:
        sql: DuckDB SQL.
        fields: Its columns as BigQuery names them; a name is empty where SQL gives none.
        keys: The names of these columns in `sql`, all different.
        is_value: Whether its rows are bare values (`SELECT AS STRUCT` and `AS VALUE`).
    """

    sql: str
    fields: tuple[Field, ...]
    keys: tuple[str, ...]
    is_value: bool = False


@dataclass
class Scope:
    """The names that an expression may use.

    Attributes:
        relations: Items of the FROM clause.
        parent: Scope of the enclosing query.
        merged: Columns of `JOIN ... USING`, which belong to no single relation.
        aliases: Names of the SELECT list, where the clause sees them.
        windows: Named windows, as the definitions that follow their name.
        ctes: Queries of WITH clauses by lower-case name, and their names in the compiled SQL.
    """

    relations: list[Relation] = field(default_factory=list)
    parent: Scope | None = None
    merged: dict[str, Column] = field(default_factory=dict)
    aliases: dict[str, Typed] = field(default_factory=dict)
    windows: dict[str, exp.Window] = field(default_factory=dict)
    ctes: dict[str, tuple[str, Query]] = field(default_factory=dict)


@dataclass(frozen=True)
class SqlFunction:
    """A temporary function: its body is compiled again in place of each call."""

    parameters: tuple[tuple[str, Type | None], ...]
    body: exp.Expr
    result: Type | None


@dataclass
class Context:
    """The context of a compilation, and what it finds out.

    Attributes:
        find: Looks a table up; raises 404 for an unknown one.
        project: Project of names that give none.
        dataset: Project and dataset of table names that give none.
        parameters: Query parameters by lower-case name, or by position from 0.
        now: Time of the statement, the same for every call of CURRENT_TIMESTAMP.
        system_view: DuckDB SQL and columns of a view such as `INFORMATION_SCHEMA.TABLES`, given
            project, dataset and name; raises 400 for one that is not served.
        functions: Temporary functions by upper-case name.
        used: Columns that were read, by table; views count as what they read.
        bindings: Values of DuckDB's own `$n` parameters.
        before_change: Called by a statement that changes something, once it is compiled and
            before it runs.
        views: Views being expanded, to find cycles.
        names: Numbers for names in the compiled SQL.
    """

    find: Callable[[TableName], Table]
    project: str
    dataset: tuple[str, str] | None
    parameters: Mapping[str | int, tuple[Type, Any]]
    now: datetime
    system_view: Callable[[str, str | None, str], tuple[str, tuple[Field, ...]]]
    functions: dict[str, SqlFunction] = field(default_factory=dict)
    used: dict[TableName, set[str]] = field(default_factory=dict)
    bindings: dict[str, Any] = field(default_factory=dict)
    before_change: Callable[[Context], None] = lambda _: None
    views: tuple[TableName, ...] = ()
    names: Iterator[int] = field(default_factory=lambda: count(1))

    def fresh(self, prefix: str) -> str:
        """A name that nothing else in the compiled SQL has."""
        return f"{prefix}{next(self.names)}"

    def note_use(self, table: TableName | None, column: str) -> None:
        """Record that a column of a stored table is read."""
        if table is not None:
            self.used.setdefault(table, set()).add(column)


def columns_of(alias: str, fields: Iterable[Field]) -> list[Column]:
    """The columns of the DuckDB relation called `alias`."""
    return [
        Column(field.name, Typed(f"{alias}.{quoted(field.name)}", field.type)) for field in fields
    ]


def resolve(context: Context, scope: Scope, path: Sequence[str], node: exp.Expr) -> Typed:
    """What the dotted name `path` means.

    Raises:
        ApiError: 400 `invalidQuery` if it means nothing or more than one thing.
    """
    current: Scope | None = scope
    while current is not None:
        found = _in_scope(context, current, path, node)
        if found is not None:
            value, rest = found
            for name in rest:
                value = member(value, name, node)
            return value
        current = current.parent
    known = f"; did you mean {close}?" if (close := _close_name(scope, path[0])) else ""
    raise invalid_query(f"Unrecognized name: {'.'.join(path)}{known}", node)


def _in_scope(
    context: Context, scope: Scope, path: Sequence[str], node: exp.Expr
) -> tuple[Typed, Sequence[str]] | None:
    first = path[0].lower()
    if first in scope.aliases:
        return scope.aliases[first], path[1:]
    if first in scope.merged:
        return scope.merged[first].value, path[1:]
    if len(path) > 1:
        for relation in scope.relations:
            if relation.alias.lower() == first and (
                column := _column(context, relation, path[1], node)
            ):
                return column, path[2:]
    found = [
        column
        for relation in scope.relations
        if (column := _column(context, relation, path[0], node)) is not None
    ]
    if len(found) > 1:
        raise invalid_query(f"Column name {path[0]} is ambiguous", node)
    if found:
        return found[0], path[1:]
    for relation in scope.relations:
        if relation.alias.lower() == first:
            return row_value(context, relation, node), path[1:]
    return None


def _column(context: Context, relation: Relation, name: str, node: exp.Expr) -> Typed | None:
    found = [column for column in relation.columns if column.name.lower() == name.lower()]
    if len(found) > 1:
        raise invalid_query(f"Column name {name} is ambiguous", node)
    if not found:
        return None
    context.note_use(relation.table, found[0].name)
    return found[0].value


def row_value(context: Context, relation: Relation, node: exp.Expr) -> Typed:
    """A whole row of a relation: the element of UNNEST, else a STRUCT of the columns."""
    if relation.value is not None:
        return relation.value
    if relation.nullable:
        raise refused(f"a whole row of {relation.alias}, which an outer join may leave out", node)
    for column in relation.columns:
        context.note_use(relation.table, column.name)
    return struct_value(relation.columns)


def struct_value(columns: Sequence[Column]) -> Typed:
    """The STRUCT of `columns`."""
    type_ = struct_of(Field(column.name, column.value.type) for column in columns)
    members = (
        f"{quoted(member_name(type_, index))} := {column.value.sql}"
        for index, column in enumerate(columns)
    )
    return Typed(f"struct_pack({', '.join(members)})", type_)


def member(value: Typed, name: str, node: exp.Expr) -> Typed:
    """The member `name` of a STRUCT or of a JSON object.

    Raises:
        ApiError: 400 `invalidQuery` if there is none.
    """
    if value.type == JSON:
        return Typed(f"({value.sql} -> {text('$.' + quoted(name))})", JSON)
    for index, each in enumerate(value.type.fields):
        if each.name.lower() == name.lower():
            key = text(member_name(value.type, index))
            return Typed(f"struct_extract({value.sql}, {key})", each.type)
    if value.type.name == "STRUCT":
        raise invalid_query(f"Field name {name} does not exist in {value.type}", node)
    raise invalid_query(f"Cannot access field {name} on a value with type {value.type}", node)


def _close_name(scope: Scope, name: str) -> str | None:
    from difflib import get_close_matches

    known = [column.name for relation in scope.relations for column in relation.columns]
    return next(iter(get_close_matches(name, known, 1)), None)
