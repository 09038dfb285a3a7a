"""INSERT, UPDATE, DELETE, MERGE and TRUNCATE TABLE.

https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from vertex_emulator.bigquery import catalog
from vertex_emulator.bigquery.catalog import Table
from vertex_emulator.bigquery.database import Cursor, rows
from vertex_emulator.bigquery.outcomes import Outcome
from vertex_emulator.bigquery.sql import expressions, output, queries, sources
from vertex_emulator.bigquery.sql.casts import coerce
from vertex_emulator.bigquery.sql.parsing import (
    check_only,
    invalid_query,
    refused,
    shown,
)
from vertex_emulator.bigquery.sql.scope import (
    Column,
    Context,
    Relation,
    Scope,
    Typed,
    columns_of,
)
from vertex_emulator.bigquery.types import BOOL, NULL, Field, quoted
from vertex_emulator.errors import ApiError


def insert(cursor: Cursor, context: Context, node: exp.Insert) -> Outcome:
    """INSERT of VALUES or of a query."""
    check_only(node, "this", "expression", "with_")
    target, columns = _insert_target(context, node.this)
    names = ", ".join(quoted(field.name) for field in columns)
    if isinstance(node.expression, exp.Values):
        lines = [_value_row(context, row, columns) for row in node.expression.expressions]
        source = f"VALUES {', '.join(lines)}"
    else:
        query = node.expression
        if node.args.get("with_"):
            raise refused("WITH before the INSERT's own query", node)
        compiled = queries.compile_query(context, query)
        if len(compiled.fields) != len(columns):
            raise invalid_query(
                f"Inserted row has wrong column count; Has {len(compiled.fields)}, expected"
                f" {len(columns)}",
                node,
            )
        values = [
            _assigned(Typed(quoted(key), field.type), column, node)
            for key, field, column in zip(compiled.keys, compiled.fields, columns, strict=True)
        ]
        source = f"SELECT {', '.join(values)} FROM ({compiled.sql})"
    sql = f"INSERT INTO {target.source} ({names}) {source}"
    context.before_change(context)
    count = rows(cursor, sql, context.bindings)[0][0]
    _fill_arrays(cursor, target, columns)
    return _changed(cursor, target, "INSERT", inserted=count)


def _insert_target(context: Context, node: exp.Expr) -> tuple[Table, list[Field]]:
    if not isinstance(node, exp.Schema):
        table = target_table(context, node)
        return table, list(table.fields)
    table = target_table(context, node.this)
    by_name = {field.name.lower(): field for field in table.fields}
    columns = []
    for part in node.expressions:
        if part.name.lower() not in by_name:
            raise invalid_query(f"Column {part.name} is not present in table {table.name}", part)
        columns.append(by_name[part.name.lower()])
    return table, columns


def _value_row(context: Context, row: exp.Expr, columns: Sequence[Field]) -> str:
    parts = row.expressions if isinstance(row, exp.Tuple) else [row]
    parts = [part.this if isinstance(part, exp.Paren) else part for part in parts]
    if len(parts) != len(columns):
        raise invalid_query(
            f"Inserted row has wrong column count; Has {len(parts)}, expected {len(columns)}", row
        )
    values = [_value(context, Scope(), *pair) for pair in zip(parts, columns, strict=True)]
    return f"({', '.join(values)})"


def _value(context: Context, scope: Scope, node: exp.Expr, column: Field) -> str:
    if isinstance(node, exp.Var | exp.Column) and node.name.upper() == "DEFAULT":
        return _assigned(Typed("NULL", NULL), column, node)
    return _assigned(expressions.compile_expression(context, scope, node), column, node)


def _assigned(value: Typed, column: Field, node: exp.Expr) -> str:
    """A value as the column stores it, by the rules of assignment."""
    try:
        return output.stored(value, column.type)
    except ApiError as error:
        raise invalid_query(
            f"Value of type {value.type} cannot be assigned to {column.name}, which has type"
            f" {column.type}",
            node,
        ) from error


def _fill_arrays(cursor: Cursor, table: Table, given: Sequence[Field]) -> None:
    """Arrays that an INSERT leaves out are empty, not NULL."""
    named = {field.name for field in given}
    for field in table.fields:
        if field.type.element is not None and field.name not in named:
            name = quoted(field.name)
            cursor.execute(f"UPDATE {table.source} SET {name} = [] WHERE {name} IS NULL")


def update(cursor: Cursor, context: Context, node: exp.Update) -> Outcome:
    """UPDATE, also from other tables; a row may match one row of those at most."""
    check_only(node, "this", "expressions", "from_", "where")
    if (where := node.args.get("where")) is None:
        raise invalid_query("UPDATE must have a WHERE clause", node)
    table, name, scope = _target_scope(context, node.this)
    if from_ := node.args.get("from_"):
        source = _packed_source(context, scope, from_)
        condition = _condition(context, scope, where.this)
        assignments = _assignments(context, scope, table, node.expressions)
        # DuckDB's own UPDATE ... FROM takes any of several matches; its MERGE fails on them.
        sql = (
            f"MERGE INTO {table.source} AS {name} USING {source} ON {condition}"
            f" WHEN MATCHED THEN UPDATE SET {assignments} RETURNING merge_action"
        )
        context.before_change(context)
        count = len(rows(cursor, sql, context.bindings))
    else:
        condition = _condition(context, scope, where.this)
        assignments = _assignments(context, scope, table, node.expressions)
        sql = f"UPDATE {table.source} AS {name} SET {assignments} WHERE {condition}"
        context.before_change(context)
        count = rows(cursor, sql, context.bindings)[0][0]
    return _changed(cursor, table, "UPDATE", updated=count)


def _target_scope(context: Context, node: exp.Expr) -> tuple[Table, str, Scope]:
    table = target_table(context, node)
    name = context.fresh("r")
    alias = node.alias or node.name
    relation = Relation(alias, columns_of(name, table.fields), table=table.name)
    return table, name, Scope([relation])


def _packed_source(context: Context, scope: Scope, from_: exp.From) -> str:
    """The FROM of an UPDATE as one relation, added to the scope."""
    inner = Scope()
    joins = from_.args.get("joins") or from_.this.args.get("joins") or ()
    if from_.args.get("joins"):
        sql = sources.from_clause(context, inner, from_, joins)
    else:
        sql = sources.from_clause(context, inner, from_, ())
    name = context.fresh("r")
    listed: list[str] = []
    for relation in inner.relations:
        columns = []
        for column in relation.columns:
            key = f"c{len(listed)}"
            context.note_use(relation.table, column.name)
            listed.append(f"{column.value.sql} AS {key}")
            columns.append(Column(column.name, Typed(f"{name}.{key}", column.value.type)))
        scope.relations.append(Relation(relation.alias, columns))
    return f"(SELECT {', '.join(listed)} FROM {sql}) AS {name}"


def _condition(context: Context, scope: Scope, node: exp.Expr) -> str:
    return coerce(expressions.compile_expression(context, scope, node), BOOL, node).sql


def _assignments(context: Context, scope: Scope, table: Table, nodes: Sequence[exp.Expr]) -> str:
    by_name = {field.name.lower(): field for field in table.fields}
    parts, seen = [], set()
    for node in nodes:
        if not isinstance(node, exp.EQ) or not isinstance(node.this, exp.Column):
            raise refused(f"the assignment {shown(node)}", node)
        path = [part.name for part in node.this.parts]
        if len(path) == 2 and path[0].lower() == scope.relations[0].alias.lower():
            path = path[1:]
        if len(path) != 1:
            raise refused(f"the assignment to a part of a column, {shown(node.this)}", node)
        column = by_name.get(path[0].lower())
        if column is None:
            raise invalid_query(f"Column {path[0]} is not present in table {table.name}", node)
        if column.name in seen:
            raise invalid_query(f"Column {column.name} is assigned more than once", node)
        seen.add(column.name)
        parts.append(f"{quoted(column.name)} = {_value(context, scope, node.expression, column)}")
    return ", ".join(parts)


def delete(cursor: Cursor, context: Context, node: exp.Delete) -> Outcome:
    """DELETE."""
    check_only(node, "this", "tables", "where")
    if (where := node.args.get("where")) is None:
        raise invalid_query("DELETE must have a WHERE clause", node)
    named = node.this if isinstance(node.this, exp.Expr) else node.args["tables"][0]
    table, name, scope = _target_scope(context, named)
    condition = _condition(context, scope, where.this)
    sql = f"DELETE FROM {table.source} AS {name} WHERE {condition}"
    context.before_change(context)
    count = rows(cursor, sql, context.bindings)[0][0]
    return _changed(cursor, table, "DELETE", deleted=count)


def truncate(cursor: Cursor, context: Context, node: exp.TruncateTable) -> Outcome:
    """TRUNCATE TABLE."""
    check_only(node, "expressions")
    table = target_table(context, node.expressions[0])
    count = rows(cursor, f"DELETE FROM {table.source}")[0][0]
    return _changed(cursor, table, "TRUNCATE_TABLE", deleted=count)


def merge(cursor: Cursor, context: Context, node: exp.Merge) -> Outcome:
    """MERGE."""
    check_only(node, "this", "using", "on", "whens")
    table, name, target_scope = _target_scope(context, node.this)
    source_scope = Scope()
    source = sources.from_clause(context, source_scope, exp.From(this=node.args["using"]), ())
    both = Scope([*target_scope.relations, *source_scope.relations])
    clauses = [
        _when(context, when, table, both, target_scope, source_scope)
        for when in node.args["whens"].expressions
    ]
    sql = (
        f"MERGE INTO {table.source} AS {name} USING {source}"
        f" ON {_condition(context, both, node.args['on'])} {' '.join(clauses)}"
        " RETURNING merge_action"
    )
    context.before_change(context)
    actions = Counter(action for (action,) in rows(cursor, sql, context.bindings))
    return _changed(
        cursor,
        table,
        "MERGE",
        inserted=actions["INSERT"],
        updated=actions["UPDATE"],
        deleted=actions["DELETE"],
    )


def _when(
    context: Context,
    when: exp.Expr,
    table: Table,
    both: Scope,
    target_scope: Scope,
    source_scope: Scope,
) -> str:
    check_only(when, "matched", "source", "condition", "then")
    scope = both
    words = "WHEN MATCHED"
    if not when.args.get("matched"):
        by_source = bool(when.args.get("source"))
        words = "WHEN NOT MATCHED BY SOURCE" if by_source else "WHEN NOT MATCHED"
        scope = target_scope if by_source else source_scope
    if condition := when.args.get("condition"):
        words += f" AND {_condition(context, scope, condition)}"
    then = when.args["then"]
    if isinstance(then, exp.Var):
        return f"{words} THEN DELETE"
    if isinstance(then, exp.Update):
        # The target's own name comes first in the scope of its assignments.
        named = replace(scope, relations=[target_scope.relations[0], *scope.relations[1:]])
        named = named if scope is both else target_scope
        return f"{words} THEN UPDATE SET {_assignments(context, named, table, then.expressions)}"
    return f"{words} THEN {_merge_insert(context, then, table, scope)}"


def _merge_insert(context: Context, node: exp.Expr, table: Table, scope: Scope) -> str:
    check_only(node, "this", "expression")
    columns = list(table.fields)
    given_columns, given_values = node.this, node.expression
    if given_values is False and isinstance(given_columns, exp.Tuple):
        # INSERT VALUES (...) without a column list parses as if VALUES were a column.
        (call,) = given_columns.expressions
        given_columns, given_values = None, exp.Tuple(expressions=call.expressions)
    if isinstance(given_columns, exp.Tuple):
        by_name = {field.name.lower(): field for field in columns}
        named = given_columns.expressions
        missing = [part.name for part in named if part.name.lower() not in by_name]
        if missing:
            raise invalid_query(f"Column {missing[0]} is not present in table {table.name}", node)
        columns = [by_name[part.name.lower()] for part in named]
    if isinstance(given_values, exp.Tuple):
        parts = given_values.expressions
        if len(parts) != len(columns):
            raise invalid_query("MERGE inserts another number of values than columns", node)
        values = [_value(context, scope, *pair) for pair in zip(parts, columns, strict=True)]
    else:
        # INSERT ROW: the source's columns, in their order.
        given = sources.all_columns(context, scope)
        if len(given) != len(columns):
            raise invalid_query(
                f"INSERT ROW needs {len(columns)} columns, the source has {len(given)}", node
            )
        values = [
            _assigned(column.value, field, node)
            for column, field in zip(given, columns, strict=True)
        ]
    left_out = [
        field for field in table.fields if field.type.element is not None and field not in columns
    ]
    columns += left_out
    values += [_assigned(Typed("NULL", NULL), field, node) for field in left_out]
    names = ", ".join(quoted(field.name) for field in columns)
    return f"INSERT ({names}) VALUES ({', '.join(values)})"


def target_table(context: Context, node: exp.Expr) -> Table:
    """The table that a statement changes.

    Raises:
        ApiError: 404 if there is none; 400 `invalidQuery` if it is a view.
    """
    if not isinstance(node, exp.Table):
        raise refused(f"{shown(node)} as the table to change", node)
    check_only(node, "this", "db", "catalog", "alias", "joins")
    table = context.find(sources.full_name(context, [part.name for part in node.parts], node))
    if table.source is None:
        raise invalid_query(f"{table.name} is a view and cannot be changed", node)
    return table


def _changed(
    cursor: Cursor,
    table: Table,
    statement: str,
    *,
    inserted: int = 0,
    updated: int = 0,
    deleted: int = 0,
) -> Outcome:
    catalog.touch(cursor, table)
    return Outcome(
        {
            "statementType": statement,
            "numDmlAffectedRows": str(inserted + updated + deleted),
            "dmlStats": {
                "insertedRowCount": str(inserted),
                "updatedRowCount": str(updated),
                "deletedRowCount": str(deleted),
            },
        },
        destination=table.name.reference(),
    )
