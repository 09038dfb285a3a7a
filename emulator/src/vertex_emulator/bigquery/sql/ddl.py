"""CREATE, DROP and ALTER of tables, views and schemas.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from vertex_emulator.bigquery import catalog, resources, schemas
from vertex_emulator.bigquery.catalog import Document, TableName
from vertex_emulator.bigquery.database import Cursor
from vertex_emulator.bigquery.outcomes import Outcome
from vertex_emulator.bigquery.sql import options, output, queries, sources
from vertex_emulator.bigquery.sql.casts import type_named
from vertex_emulator.bigquery.sql.dml import target_table
from vertex_emulator.bigquery.sql.parsing import (
    check_only,
    invalid_query,
    query_text,
    refused,
    shown,
)
from vertex_emulator.bigquery.sql.scope import Context
from vertex_emulator.bigquery.sql.views import view_fields
from vertex_emulator.bigquery.types import Field, Schema, fields_of, quoted, schema_of

_CREATE_PARTS = ("this", "kind", "replace", "exists", "properties", "expression")


def create(cursor: Cursor, context: Context, node: exp.Create) -> Outcome:
    """CREATE TABLE, VIEW or SCHEMA."""
    check_only(node, *_CREATE_PARTS, "clone")
    makers: dict[str, Callable[[Cursor, Context, exp.Create], Outcome]] = {
        "TABLE": _create_table,
        "VIEW": _create_view,
        "SCHEMA": _create_schema,
    }
    if node.kind not in makers:
        raise refused(f"CREATE {node.kind}", node)
    return makers[node.kind](cursor, context, node)


def _create_table(cursor: Cursor, context: Context, node: exp.Create) -> Outcome:
    changes = options.table_properties(context, node)
    name = _name(context, node.this)
    statement = "CREATE_TABLE_AS_SELECT" if node.expression else "CREATE_TABLE"
    existing = catalog.find_table(cursor, name)
    if existing is not None and node.args.get("exists"):
        return _performed(statement, "SKIP", name)
    compiled = None
    schema: Schema = []
    if isinstance(node.this, exp.Schema):
        schema = _declared(node.this)
    if node.expression is not None:
        compiled = output.finished(queries.compile_query(context, node.expression), node)
        schema = _checked_columns(schema, compiled.fields, node) or schema_of(compiled.fields)
    if model := changes.pop("like", None):
        schema = model.document["schema"]["fields"]
    source = None
    if clone := node.args.get("clone"):
        if not clone.args.get("copy"):
            raise refused("table clones", node)
        source = target_table(context, clone.this)
        schema = source.document["schema"]["fields"]
    document = resources.changed_table(resources.new_table(name, {"fields": schema}), changes)
    context.before_change(context)
    number = catalog.create_relation(cursor, document)
    if compiled is not None:
        cursor.execute(f"INSERT INTO data.t{number} {compiled.sql}", context.bindings)
    elif source is not None:
        cursor.execute(f"INSERT INTO data.t{number} SELECT * FROM {source.source}")
    if existing is not None and node.args.get("replace"):
        catalog.delete_table(cursor, name)
    catalog.insert_table(cursor, name, document, number)
    replaced = existing is not None
    outcome = _performed(statement, "REPLACE" if replaced else "CREATE", name)
    outcome.destination = name.reference()
    return outcome


def _declared(node: exp.Schema) -> Schema:
    """The columns that CREATE TABLE lists."""
    return [column_definition(part) for part in node.expressions]


def column_definition(node: exp.Expr) -> Document:
    """A column definition as a REST schema field.

    Raises:
        ApiError: 400 `invalidQuery` if a constraint is not served.
    """
    if not isinstance(node, exp.ColumnDef):
        raise refused(f"{shown(node)} in a column list", node)
    check_only(node, "this", "kind", "constraints", "exists")
    entry = _described(schema_of([Field(node.name, type_named(node.args["kind"]))])[0], node)
    for constraint in node.args.get("constraints") or ():
        kind = constraint.args["kind"]
        if isinstance(kind, exp.NotNullColumnConstraint) and not kind.args.get("allow_null"):
            entry["mode"] = "REQUIRED"
        elif isinstance(kind, exp.Properties):
            entry |= options.column_options(kind)
        else:
            raise refused(f"the column constraint {shown(constraint)}", node)
    return entry


def _described(entry: Document, node: exp.Expr) -> Document:
    """The descriptions of the members of a STRUCT, added to its schema field."""
    kind = node.args.get("kind")
    while isinstance(kind, exp.DataType) and kind.this == exp.DType.ARRAY:
        kind = kind.expressions[0]
    if isinstance(kind, exp.DataType) and kind.this == exp.DType.STRUCT:
        entry["fields"] = [
            column_definition(part) if isinstance(part, exp.ColumnDef) else given
            for part, given in zip(kind.expressions, entry["fields"], strict=True)
        ]
    return entry


def _checked_columns(declared: Schema, fields: tuple[Field, ...], node: exp.Expr) -> Schema:
    if not declared:
        return []
    if [field.type for field in fields_of(declared)] != [field.type for field in fields]:
        raise invalid_query("The columns of the query are not those of the column list", node)
    return declared


def _create_view(cursor: Cursor, context: Context, node: exp.Create) -> Outcome:
    name = _name(context, node.this)
    existing = catalog.find_table(cursor, name)
    if existing is not None and node.args.get("exists"):
        return _performed("CREATE_VIEW", "SKIP", name)
    if isinstance(node.this, exp.Schema):
        raise refused("a view with a column list", node)
    query = query_text(node)
    changes = options.table_properties(context, node)
    document = resources.changed_table(
        resources.new_table(name, {}), {**changes, "view": {"query": query, "useLegacySql": False}}
    )
    document["schema"] = {"fields": view_fields(cursor, name, query, document)}
    if existing is not None and node.args.get("replace"):
        if existing.source is not None:
            raise invalid_query(f"{name} is not a view", node)
        catalog.delete_table(cursor, name)
    catalog.insert_table(cursor, name, document)
    return _performed("CREATE_VIEW", "REPLACE" if existing else "CREATE", name)


def _create_schema(cursor: Cursor, context: Context, node: exp.Create) -> Outcome:
    project, dataset = _schema_name(context, node.this)
    if catalog.find_dataset(cursor, project, dataset) is not None and node.args.get("exists"):
        return Outcome({"statementType": "CREATE_SCHEMA", "ddlOperationPerformed": "SKIP"})
    document = resources.changed_dataset(
        resources.new_dataset(project, dataset), options.schema_properties(node)
    )
    catalog.insert_dataset(cursor, project, dataset, document)
    return Outcome({"statementType": "CREATE_SCHEMA", "ddlOperationPerformed": "CREATE"})


def drop(cursor: Cursor, context: Context, node: exp.Drop) -> Outcome:
    """DROP TABLE, VIEW or SCHEMA."""
    check_only(node, "exists", "tables", "kind", "cascade", "restrict")
    named = node.args["tables"][0]
    if node.kind == "SCHEMA":
        project, dataset = _schema_name(context, named)
        if node.args.get("exists") and catalog.find_dataset(cursor, project, dataset) is None:
            return Outcome({"statementType": "DROP_SCHEMA", "ddlOperationPerformed": "SKIP"})
        catalog.delete_dataset(
            cursor, project, dataset, delete_contents=bool(node.args.get("cascade"))
        )
        return Outcome({"statementType": "DROP_SCHEMA", "ddlOperationPerformed": "DROP"})
    if node.kind not in ("TABLE", "VIEW"):
        raise refused(f"DROP {node.kind}", node)
    statement = f"DROP_{node.kind}"
    name = _name(context, named)
    existing = catalog.find_table(cursor, name)
    if existing is None and node.args.get("exists"):
        return _performed(statement, "SKIP", name)
    if existing is not None and (existing.source is None) != (node.kind == "VIEW"):
        raise invalid_query(f"{name} is not a {node.kind}", node)
    catalog.delete_table(cursor, name)
    return _performed(statement, "DROP", name)


def alter(cursor: Cursor, context: Context, node: exp.Alter) -> Outcome:
    """ALTER TABLE: ADD, DROP and RENAME COLUMN, RENAME TO, SET OPTIONS."""
    check_only(node, "this", "kind", "exists", "actions")
    if node.kind != "TABLE":
        raise refused(f"ALTER {node.kind}", node)
    name = _name(context, node.this)
    if node.args.get("exists") and catalog.find_table(cursor, name) is None:
        return _performed("ALTER_TABLE", "SKIP", name)
    for action in node.args["actions"]:
        name = _altered(cursor, context, name, action)
    return _performed("ALTER_TABLE", "ALTER", name)


def _altered(cursor: Cursor, context: Context, name: TableName, action: exp.Expr) -> TableName:
    table = catalog.get_table(cursor, name)
    fields: Schema = table.document["schema"]["fields"]
    known = {field["name"].lower() for field in fields}
    if isinstance(action, exp.ColumnDef):
        if action.name.lower() in known:
            if action.args.get("exists"):
                return name
            raise invalid_query(f"Column already exists: {action.name}", action)
        wanted = resources.checked_schema([*fields, column_definition(action)])
        schemas.change_columns(cursor, table, wanted)
    elif isinstance(action, exp.Drop) and action.kind == "COLUMN":
        column = action.args["tables"][0].name.lower()
        if column not in known:
            if action.args.get("exists"):
                return name
            raise invalid_query(f"Column not found: {column}", action)
        cursor.execute(f"ALTER TABLE {table.source} DROP COLUMN {quoted(column)}")
        wanted = [field for field in fields if field["name"].lower() != column]
    elif isinstance(action, exp.RenameColumn):
        old, new = action.this.name, action.args["to"].name
        if old.lower() not in known or new.lower() in known:
            raise invalid_query(f"Cannot rename column {old} to {new}", action)
        cursor.execute(f"ALTER TABLE {table.source} RENAME {quoted(old)} TO {quoted(new)}")
        wanted = [
            {**field, "name": new} if field["name"].lower() == old.lower() else field
            for field in fields
        ]
    elif isinstance(action, exp.AlterRename):
        target = TableName(name.project, name.dataset, action.this.name)
        catalog.rename_table(cursor, name, target)
        return target
    elif isinstance(action, exp.AlterSet):
        changes: dict[str, Any] = {}
        for properties in action.expressions:
            changes |= options.table_options(context, properties.expressions, keep_null=True)
        catalog.update_table(cursor, name, resources.changed_table(table.document, changes))
        return name
    else:
        raise refused(f"ALTER TABLE {shown(action)}", action)
    document = resources.changed_table(table.document, {"schema": {"fields": wanted}})
    catalog.update_table(cursor, name, document)
    return name


def _name(context: Context, node: exp.Expr) -> TableName:
    named = node.this if isinstance(node, exp.Schema) else node
    if not isinstance(named, exp.Table):
        raise refused(shown(node), node)
    return sources.full_name(context, [part.name for part in named.parts], node)


def _schema_name(context: Context, node: exp.Expr) -> tuple[str, str]:
    parts = [part.name for part in node.parts if part] if isinstance(node, exp.Table) else []
    if len(parts) == 1:
        return context.project, parts[0]
    if len(parts) == 2:
        return parts[0], parts[1]
    raise invalid_query(f"Invalid schema name: {shown(node)}", node)


def _performed(statement: str, operation: str, name: TableName) -> Outcome:
    return Outcome(
        {
            "statementType": statement,
            "ddlOperationPerformed": operation,
            "ddlTargetTable": name.reference(),
        }
    )
