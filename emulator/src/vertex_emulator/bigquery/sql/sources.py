"""FROM: tables, views, subqueries, UNNEST and joins.

https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#from_clause
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from vertex_emulator.bigquery.catalog import Table, TableName
from vertex_emulator.bigquery.sql import expressions, queries
from vertex_emulator.bigquery.sql.casts import coerce
from vertex_emulator.bigquery.sql.operators import compare
from vertex_emulator.bigquery.sql.parsing import (
    check_only,
    invalid_query,
    parse,
    refused,
    shown,
)
from vertex_emulator.bigquery.sql.scope import (
    Column,
    Context,
    Query,
    Relation,
    Scope,
    Typed,
    columns_of,
    member,
    resolve,
)
from vertex_emulator.bigquery.types import BOOL, INT64, Field, quoted


def from_clause(context: Context, scope: Scope, from_: exp.From, joins: Sequence[exp.Join]) -> str:
    """Compile FROM with its joins; the relations go into `scope`.

    Raises:
        ApiError: 400 `invalidQuery`; 404 if a table does not exist.
    """
    sql, relation = _source(context, scope, from_.this)
    scope.relations.append(relation)
    for join in [*(from_.this.args.get("joins") or ()), *joins]:
        sql = f"{sql} {_join(context, scope, join)}"
    return sql


def all_columns(context: Context, scope: Scope) -> list[Column]:
    """What `*` stands for: columns of USING first, once."""
    if not scope.relations:
        raise invalid_query("SELECT * must have a FROM clause")
    columns = list(scope.merged.values())
    for relation in scope.relations:
        for column in relation.columns:
            context.note_use(relation.table, column.name)
            if column.name.lower() not in scope.merged:
                columns.append(column)
    return columns


def _join(context: Context, scope: Scope, join: exp.Join) -> str:
    check_only(join, "this", "side", "kind", "on", "using")
    side = (join.args.get("side") or "").upper()
    kind = (join.args.get("kind") or "").upper()
    if kind not in ("", "INNER", "CROSS", "OUTER") or side not in ("", "LEFT", "RIGHT", "FULL"):
        raise refused(f"{side} {kind} JOIN".strip(), join)
    sql, relation = _source(context, scope, join.this)
    if side in ("LEFT", "FULL"):
        relation = replace(relation, nullable=True)
    if side in ("RIGHT", "FULL"):
        scope.relations[:] = [replace(each, nullable=True) for each in scope.relations]
    if using := join.args.get("using"):
        condition = _using(context, scope, relation, [part.name for part in using], side, join)
        scope.relations.append(relation)
    else:
        scope.relations.append(relation)
        on = join.args.get("on")
        if on is None:
            # An array of the row itself needs no condition.
            is_array = sql.startswith("unnest(")
            if side == "LEFT" and is_array:
                return f"LEFT JOIN {sql} ON TRUE"
            if side or (kind == "INNER" and not is_array):
                raise invalid_query(f"{side or kind} JOIN must have an ON or USING clause", join)
            return f"CROSS JOIN {sql}"
        condition = coerce(expressions.compile_expression(context, scope, on), BOOL, on).sql
    return f"{side or 'INNER'} JOIN {sql} ON {condition}"


def _using(
    context: Context,
    scope: Scope,
    right: Relation,
    names: Sequence[str],
    side: str,
    node: exp.Expr,
) -> str:
    conditions = []
    merged = {}
    for name in names:
        # Only these relations: the enclosing query's columns do not take part in USING.
        left_value = resolve(context, replace(scope, parent=None), [name], node)
        right_value = resolve(context, Scope([right]), [name], node)
        conditions.append(compare("=", left_value, right_value, node).sql)
        if side == "FULL":
            value = Typed(f"coalesce({left_value.sql}, {right_value.sql})", left_value.type)
        else:
            value = right_value if side == "RIGHT" else left_value
        merged[name.lower()] = Column(name, value)
    scope.merged.update(merged)
    return " AND ".join(conditions)


def _source(context: Context, scope: Scope, node: exp.Expr) -> tuple[str, Relation]:
    if isinstance(node, exp.Table):
        return _table(context, scope, node)
    if isinstance(node, exp.Subquery):
        return _subquery(context, scope, node)
    if isinstance(node, exp.Unnest):
        return _unnest(context, scope, node)
    raise refused(f"{shown(node)} in FROM", node)


def _subquery(context: Context, scope: Scope, node: exp.Subquery) -> tuple[str, Relation]:
    check_only(node, "this", "alias", "with_")
    if isinstance(node.this, exp.Table):
        raise refused("joins in parentheses", node)
    if (alias := node.args.get("alias")) is not None:
        check_only(alias, "this")
    query = queries.compile_query(context, node.this, Scope(parent=scope.parent, ctes=scope.ctes))
    name = context.fresh("r")
    return f"({query.sql}) AS {name}", relation_of(query, name, node.alias)


def relation_of(query: Query, name: str, alias: str) -> Relation:
    """The rows of `query`, which the compiled SQL calls `name` and the query text `alias`."""
    values = [
        Typed(f"{name}.{quoted(key)}", field.type)
        for key, field in zip(query.keys, query.fields, strict=True)
    ]
    if query.is_value:
        return _value_relation(alias, values[0])
    columns = [Column(field.name, value) for field, value in zip(query.fields, values, strict=True)]
    return Relation(alias, columns)


def _value_relation(alias: str, value: Typed) -> Relation:
    """Rows that are bare values: a STRUCT offers its members as columns."""
    if value.type.name == "STRUCT":
        columns = [
            Column(field.name, member(value, field.name, exp.Null()) if field.name else value)
            for field in value.type.fields
        ]
        return Relation(alias, columns, value)
    return Relation(alias, [Column(alias, value)], value)


def _table(context: Context, scope: Scope, node: exp.Table) -> tuple[str, Relation]:
    check_only(node, "this", "db", "catalog", "alias", "joins")
    if not isinstance(node.this, exp.Identifier):
        raise refused(f"the table function {shown(node)}", node)
    if (given := node.args.get("alias")) is not None:
        check_only(given, "this")
    parts = [part.name for part in node.parts]
    alias = node.alias or parts[-1]
    name = context.fresh("r")
    if len(parts) == 1 and (cte := scope.ctes.get(parts[0].lower())):
        return f"{cte[0]} AS {name}", relation_of(cte[1], name, alias)
    if len(parts) > 1 and _is_path(scope, parts[0]):
        array = resolve(context, scope, parts, node)
        return _unnested(array, name, alias if node.alias else "", None, node)
    return named_table(context, parts, name, alias, node)


def _is_path(scope: Scope, first: str) -> bool:
    """Whether a dotted name in FROM is an array of an earlier relation."""
    current: Scope | None = scope
    while current is not None:
        if any(relation.alias.lower() == first.lower() for relation in current.relations):
            return True
        current = current.parent
    return False


def named_table(
    context: Context, parts: Sequence[str], name: str, alias: str, node: exp.Expr
) -> tuple[str, Relation]:
    """A stored table, view or system view as a relation that the compiled SQL calls `name`."""
    special = _system_view(context, parts)
    if special is not None:
        sql, fields = special
        return f"({sql}) AS {name}", Relation(alias.rsplit(".", 1)[-1], columns_of(name, fields))
    full = full_name(context, parts, node)
    if "*" in full.table:
        raise refused(f"wildcard tables ({full.table})", node)
    table = context.find(full)
    if table.view_query is not None:
        query = view(context, table, node)
        return f"({query.sql}) AS {name}", relation_of(query, name, alias)
    context.used.setdefault(full, set())
    return f"{table.source} AS {name}", Relation(alias, columns_of(name, table.fields), table=full)


def full_name(context: Context, parts: Sequence[str], node: exp.Expr) -> TableName:
    """The table that a name of one, two or three parts means.

    Raises:
        ApiError: 400 `invalidQuery` if it lacks its dataset and the request gives no default.
    """
    if len(parts) == 1:
        if context.dataset is None:
            raise invalid_query(
                f'Table "{parts[0]}" must be qualified with a dataset (e.g. dataset.table).', node
            )
        return TableName(*context.dataset, parts[0])
    if len(parts) == 2:
        return TableName(context.project, parts[0], parts[1])
    if len(parts) == 3:
        return TableName(*parts)
    raise invalid_query(f"Invalid table name: {'.'.join(parts)}", node)


def _system_view(context: Context, parts: Sequence[str]) -> tuple[str, tuple[Field, ...]] | None:
    last = parts[-1].upper()
    if last == "__TABLES__" or last.startswith("INFORMATION_SCHEMA."):
        project = parts[-3] if len(parts) > 2 else context.project
        dataset = parts[-2] if len(parts) > 1 else (context.dataset or (None, None))[1]
        return context.system_view(project, dataset, last)
    return None


def view(context: Context, table: Table, node: exp.Expr) -> Query:
    """The query of a view, compiled in the surroundings in which it was created.

    Raises:
        ApiError: 400 `invalidQuery` if it is wrong or reads itself.
    """
    if table.name in context.views:
        raise invalid_query(f"View {table.name} reads itself", node)
    statements = parse(str(table.view_query))
    inner = replace(
        context,
        parameters={},
        functions={},
        project=table.name.project,
        dataset=None,
        views=(*context.views, table.name),
    )
    query = queries.compile_query(inner, statements[-1])
    names = [field["name"] for field in table.document["schema"]["fields"]]
    fields = tuple(Field(name, field.type) for name, field in zip(names, query.fields, strict=True))
    return replace(query, fields=fields)


def _unnest(context: Context, scope: Scope, node: exp.Unnest) -> tuple[str, Relation]:
    check_only(node, "expressions", "alias", "offset", "explode_array")
    if len(node.expressions) != 1:
        raise refused("UNNEST of several arrays", node)
    array = expressions.compile_expression(context, scope, node.expressions[0])
    given = node.args.get("alias")
    names = [part.name for part in (given.args.get("columns") or ())] if given else []
    alias = names[0] if names else (given.name if given else "")
    offset = node.args.get("offset")
    offset_name = (
        offset.name if isinstance(offset, exp.Identifier) else "offset" if offset else None
    )
    return _unnested(array, context.fresh("r"), alias, offset_name, node)


def _unnested(
    array: Typed, name: str, alias: str, offset: str | None, node: exp.Expr
) -> tuple[str, Relation]:
    if array.type.element is None:
        raise invalid_query(
            f"Values referenced in UNNEST must be arrays. UNNEST contains expression of type"
            f" {array.type}",
            node,
        )
    relation = _value_relation(alias, Typed(f"{name}.v", array.type.element))
    if offset is None:
        return f"unnest({array.sql}) AS {name}(v)", relation
    column = Column(offset, Typed(f"({name}.o - 1)", INT64))
    relation = replace(relation, columns=[*relation.columns, column])
    return f"unnest({array.sql}) WITH ORDINALITY AS {name}(v, o)", relation
