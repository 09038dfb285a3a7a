"""The context in which a query is compiled, and the columns of a view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlglot import exp

from vertex_emulator.bigquery import catalog
from vertex_emulator.bigquery.catalog import TableName
from vertex_emulator.bigquery.database import Cursor
from vertex_emulator.bigquery.sql import output, queries, system_views
from vertex_emulator.bigquery.sql.parsing import invalid_query, parse
from vertex_emulator.bigquery.sql.scope import Context
from vertex_emulator.bigquery.types import Schema, Type, schema_of


def compile_context(
    cursor: Cursor,
    project: str,
    dataset: tuple[str, str] | None = None,
    parameters: Mapping[str | int, tuple[Type, Any]] | None = None,
) -> Context:
    """The context of a query that is compiled in the transaction of `cursor`."""
    known: dict[TableName, catalog.Table] = {}

    def find(name: TableName) -> catalog.Table:
        if name not in known:
            known[name] = catalog.get_table(cursor, name)
        return known[name]

    def system_view(project: str, dataset: str | None, name: str) -> Any:
        return system_views.system_view(cursor, project, dataset, name)

    return Context(
        find=find,
        project=project,
        dataset=dataset,
        parameters=parameters or {},
        now=datetime.now(UTC),
        system_view=system_view,
    )


def view_fields(cursor: Cursor, name: TableName, sql: str, document: Mapping[str, Any]) -> Schema:
    """The columns of a view with the query `sql`, with the descriptions of `document`.

    Raises:
        ApiError: 400 `invalidQuery` if it is not a single query, or wrong; 404 if it reads a
            table that does not exist.
    """
    trees = parse(sql)
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise invalid_query("The query of a view must be a single SELECT")
    context = replace(compile_context(cursor, name.project), views=(name,))
    fields = output.finished(queries.compile_query(context, trees[0]), trees[0]).fields
    given: Sequence[Mapping[str, Any]] = (document.get("schema") or {}).get("fields") or ()
    described = {entry["name"].lower(): entry.get("description") for entry in given}
    schema = schema_of(fields)
    for entry in schema:
        if described.get(entry["name"].lower()):
            entry["description"] = described[entry["name"].lower()]
    return schema
