"""Statements other than queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from vertex_emulator.bigquery.database import Cursor
from vertex_emulator.bigquery.outcomes import Outcome
from vertex_emulator.bigquery.sql import ddl, dml
from vertex_emulator.bigquery.sql.casts import type_named
from vertex_emulator.bigquery.sql.parsing import (
    check_only,
    invalid_query,
    refused,
    shown,
)
from vertex_emulator.bigquery.sql.scope import Context, SqlFunction

_RUNNERS: dict[type[exp.Expr], Callable[[Cursor, Context, Any], Outcome]] = {
    exp.Insert: dml.insert,
    exp.Update: dml.update,
    exp.Delete: dml.delete,
    exp.Merge: dml.merge,
    exp.TruncateTable: dml.truncate,
    exp.Create: ddl.create,
    exp.Drop: ddl.drop,
    exp.Alter: ddl.alter,
}


def run(cursor: Cursor, context: Context, node: exp.Expr) -> Outcome:
    """Run a statement that changes data or the catalog, inside the transaction of `cursor`.

    Raises:
        ApiError: 400 `invalidQuery` if it is wrong or not served; 404 or 409 if what it names does
            not exist, or does.
    """
    runner = _RUNNERS.get(type(node))
    if runner is None:
        raise refused(f"the statement {shown(node)}", node)
    return runner(cursor, context, node)


def temporary_function(node: exp.Create) -> tuple[str, SqlFunction]:
    """Name and definition of CREATE TEMP FUNCTION.

    Raises:
        ApiError: 400 `invalidQuery` if it is not temporary, or not written in SQL.
    """
    check_only(node, "this", "kind", "replace", "expression", "properties")
    result = None
    temporary = False
    properties = node.args.get("properties")
    for part in properties.expressions if properties else ():
        if isinstance(part, exp.TemporaryProperty):
            temporary = True
        elif isinstance(part, exp.ReturnsProperty):
            result = type_named(part.this)
        else:
            raise refused(f"CREATE FUNCTION with {shown(part)}", node)
    if not temporary:
        raise refused("functions that are not temporary", node)
    if node.expression is None:
        raise invalid_query("CREATE FUNCTION needs a body", node)
    parameters = tuple(
        (
            part.name,
            None if part.args["kind"].this == exp.DType.VARIANT else type_named(part.args["kind"]),
        )
        for part in node.this.expressions
    )
    body = node.expression.this if isinstance(node.expression, exp.Paren) else node.expression
    return node.this.this.name.upper(), SqlFunction(parameters, body, result)
