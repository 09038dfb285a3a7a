"""Queries: WITH, set operations, SELECT and its clauses.

https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from vertex_emulator.bigquery.sql import expressions, sources
from vertex_emulator.bigquery.sql.casts import coerce, supertype, unify
from vertex_emulator.bigquery.sql.parsing import (
    check_only,
    invalid_query,
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
    member,
    resolve,
    struct_value,
)
from vertex_emulator.bigquery.types import BOOL, INT64, Field, Type, array_of, quoted

_SET_OPERATIONS: dict[type[exp.Expr], str] = {
    exp.Union: "UNION",
    exp.Intersect: "INTERSECT",
    exp.Except: "EXCEPT",
}
_SELECT_PARTS = (
    *("with_", "kind", "expressions", "distinct", "from_", "joins", "where", "group"),
    *("having", "qualify", "windows", "order", "limit", "offset"),
)


@dataclass(frozen=True)
class _Item:
    """One column of a SELECT list."""

    name: str
    value: Typed


def compile_query(context: Context, node: exp.Expr, outer: Scope | None = None) -> Query:
    """Compile a query whose enclosing query, if any, has the scope `outer`.

    Raises:
        ApiError: 400 `invalidQuery` if it is wrong or beyond what the emulator serves;
            404 if it reads a table that does not exist.
    """
    if isinstance(node, exp.Subquery):
        check_only(node, "this", "with_", "order", "limit", "offset")
        if any(node.args.get(part) for part in ("order", "limit", "offset")):
            return _ordered_whole(context, node, compile_query(context, node.this, outer))
        return compile_query(context, node.this, outer)
    scope = Scope(parent=outer, ctes=dict(outer.ctes) if outer else {})
    prefix = _with(context, node, scope)
    if isinstance(node, exp.Select):
        query = _select(context, node, scope)
    elif type(node) in _SET_OPERATIONS:
        query = _set_operation(context, node, scope)
    else:
        raise refused(shown(node), node)
    return replace(query, sql=prefix + query.sql)


def _with(context: Context, node: exp.Expr, scope: Scope) -> str:
    clause = node.args.get("with_")
    if clause is None:
        return ""
    check_only(clause, "expressions", "recursive")
    parts = []
    for cte in clause.expressions:
        check_only(cte, "this", "alias")
        check_only(cte.args["alias"], "this")
        name = context.fresh("w")
        if clause.args.get("recursive") and isinstance(cte.this, exp.Union):
            query = _recursive(context, cte, scope, name)
        else:
            query = compile_query(context, cte.this, Scope(parent=scope.parent, ctes=scope.ctes))
        scope.ctes[cte.alias.lower()] = (name, query)
        parts.append(f"{name} AS ({query.sql})")
    word = "WITH RECURSIVE" if clause.args.get("recursive") else "WITH"
    return f"{word} {', '.join(parts)} "


def _recursive(context: Context, cte: exp.CTE, scope: Scope, name: str) -> Query:
    """A recursive CTE: its first term gives the types that the recursive one reads."""
    union = cte.this
    outer = Scope(parent=scope.parent, ctes=dict(scope.ctes))
    base = compile_query(context, union.this, outer)
    outer.ctes[cte.alias.lower()] = (name, base)
    step = compile_query(context, union.expression, outer)
    step_sql = _as_types(step, [field.type for field in base.fields], union)
    word = "UNION" if union.args.get("distinct") else "UNION ALL"
    return replace(base, sql=f"({base.sql}) {word} ({step_sql})")


def _set_operation(context: Context, node: exp.Expr, scope: Scope) -> Query:
    check_only(node, "this", "expression", "distinct", "with_", "order", "limit", "offset")
    sides = [
        compile_query(context, side, Scope(parent=scope.parent, ctes=scope.ctes))
        for side in (node.this, node.expression)
    ]
    left, right = sides
    if len(left.fields) != len(right.fields):
        raise invalid_query(
            f"Queries in {_SET_OPERATIONS[type(node)]} have mismatched column count:"
            f" {len(left.fields)} and {len(right.fields)}",
            node,
        )
    types = [
        supertype([Typed("", one.type), Typed("", other.type)], node)
        for one, other in zip(left.fields, right.fields, strict=True)
    ]
    word = _SET_OPERATIONS[type(node)]
    if not node.args.get("distinct"):
        if word != "UNION":
            raise refused(f"{word} ALL", node)
        word += " ALL"
    sql = f"({_as_types(left, types, node)}) {word} ({_as_types(right, types, node)})"
    fields = tuple(
        Field(field.name, type_) for field, type_ in zip(left.fields, types, strict=True)
    )
    return _ordered_whole(context, node, Query(sql, fields, left.keys))


def _as_types(query: Query, types: Sequence[Type], node: exp.Expr) -> str:
    """The SQL of `query` with its columns coerced to `types`."""
    if [field.type for field in query.fields] == list(types):
        return query.sql
    columns = [
        f"{coerce(Typed(quoted(key), field.type), type_, node).sql} AS {quoted(key)}"
        for key, field, type_ in zip(query.keys, query.fields, types, strict=True)
    ]
    return f"SELECT {', '.join(columns)} FROM ({query.sql})"


def _ordered_whole(context: Context, node: exp.Expr, query: Query) -> Query:
    """The query with ORDER BY, LIMIT and OFFSET that apply to its whole result."""
    if not any(node.args.get(part) for part in ("order", "limit", "offset")):
        return query
    columns = [
        Column(field.name, Typed(quoted(key), field.type))
        for key, field in zip(query.keys, query.fields, strict=True)
    ]
    items = [_Item(column.name, column.value) for column in columns]
    clauses = _order_and_limit(context, node, Scope([Relation("", columns)]), items)
    return replace(query, sql=f"SELECT * FROM ({query.sql}){clauses}")


def _select(context: Context, node: exp.Select, scope: Scope) -> Query:
    check_only(node, *_SELECT_PARTS)
    clauses = []
    if from_ := node.args.get("from_"):
        joins = node.args.get("joins") or ()
        clauses.append(f" FROM {sources.from_clause(context, scope, from_, joins)}")
    if where := node.args.get("where"):
        clauses.append(f" WHERE {_condition(context, scope, where.this)}")
    for window in node.args.get("windows") or ():
        scope.windows[window.name.lower()] = window
    items = _select_list(context, scope, node)
    named = replace(
        scope,
        aliases={item.name.lower(): item.value for item in items if item.name},
    )
    if group := node.args.get("group"):
        clauses.append(f" GROUP BY {_group_by(context, scope, group, items)}")
    if having := node.args.get("having"):
        clauses.append(f" HAVING {_condition(context, named, having.this)}")
    if qualify := node.args.get("qualify"):
        clauses.append(f" QUALIFY {_condition(context, named, qualify.this)}")
    query = _output(node, items)
    tail = _order_and_limit(context, node, named, items, as_struct=bool(node.args.get("kind")))
    return replace(query, sql=query.sql + "".join(clauses) + tail)


def _condition(context: Context, scope: Scope, node: exp.Expr) -> str:
    return coerce(expressions.compile_expression(context, scope, node), BOOL, node).sql


def _output(node: exp.Select, items: Sequence[_Item]) -> Query:
    """The SELECT list as SQL, under names that are all different."""
    distinct = ""
    if clause := node.args.get("distinct"):
        check_only(clause)
        distinct = "DISTINCT "
        for item in items:
            if item.value.type.name == "JSON":
                raise invalid_query(
                    f"Column {item.name} of type {item.value.type} cannot be used in SELECT"
                    " DISTINCT",
                    node,
                )
    kind = node.args.get("kind")
    if kind == "STRUCT":
        whole = struct_value([Column(item.name, item.value) for item in items])
        items = [_Item("", whole)]
    elif kind == "VALUE" and len(items) != 1:
        raise invalid_query("SELECT AS VALUE needs exactly one column", node)
    keys: list[str] = []
    taken: set[str] = set()
    for index, item in enumerate(items):
        key = item.name or f"f{index}_"
        while key.lower() in taken:
            key += "_"
        taken.add(key.lower())
        keys.append(key)
    listed = ", ".join(
        f"{item.value.sql} AS {quoted(key)}" for item, key in zip(items, keys, strict=True)
    )
    fields = tuple(Field(item.name, item.value.type) for item in items)
    return Query(f"SELECT {distinct}{listed}", fields, tuple(keys), is_value=bool(kind))


def _select_list(context: Context, scope: Scope, node: exp.Select) -> list[_Item]:
    items: list[_Item] = []
    for part in node.expressions:
        if isinstance(part, exp.Star):
            items += _star(context, scope, part, sources.all_columns(context, scope))
        elif isinstance(part, exp.Column) and isinstance(part.this, exp.Star):
            names = [name.name for name in part.parts[:-1]]
            items += _star(context, scope, part.this, _members(context, scope, names, part))
        elif isinstance(part, exp.Dot) and isinstance(part.expression, exp.Star):
            value = expressions.compile_expression(context, scope, part.this)
            items += _star(context, scope, part.expression, _fields_of(value, part))
        elif isinstance(part, exp.Alias):
            value = expressions.compile_expression(context, scope, part.this)
            items.append(_Item(part.alias, value))
        else:
            value = expressions.compile_expression(context, scope, part)
            items.append(_Item(_implied_name(part), value))
    return items


def _implied_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Column):
        return str(node.name)
    if isinstance(node, exp.Dot):
        return str(node.expression.name)
    return _implied_name(node.this) if isinstance(node, exp.Paren) else ""


def _members(context: Context, scope: Scope, path: list[str], node: exp.Expr) -> list[Column]:
    """The columns that `path.*` stands for."""
    if len(path) == 1:
        for relation in scope.relations:
            if relation.alias.lower() == path[0].lower():
                for column in relation.columns:
                    context.note_use(relation.table, column.name)
                return list(relation.columns)
    return _fields_of(resolve(context, scope, path, node), node)


def _fields_of(value: Typed, node: exp.Expr) -> list[Column]:
    if value.type.name != "STRUCT":
        raise invalid_query(f"Dot-star is not supported for type {value.type}", node)
    return [Column(field.name, member(value, field.name, node)) for field in value.type.fields]


def _star(context: Context, scope: Scope, node: exp.Star, columns: Sequence[Column]) -> list[_Item]:
    """`*` with EXCEPT and REPLACE."""
    check_only(node, "except_", "replace")
    left_out = {part.name.lower() for part in node.args.get("except_") or ()}
    replaced = {part.alias.lower(): part.this for part in node.args.get("replace") or ()}
    known = {column.name.lower() for column in columns}
    if unknown := (left_out | set(replaced)) - known:
        raise invalid_query(f"Column {min(unknown)} in SELECT * EXCEPT or REPLACE not found", node)
    return [
        _Item(
            column.name,
            expressions.compile_expression(context, scope, replaced[column.name.lower()])
            if column.name.lower() in replaced
            else column.value,
        )
        for column in columns
        if column.name.lower() not in left_out
    ]


_GROUPINGS: dict[type[exp.Expr], str] = {
    exp.Rollup: "ROLLUP",
    exp.Cube: "CUBE",
    exp.GroupingSets: "GROUPING SETS",
}


def _group_by(context: Context, scope: Scope, group: exp.Group, items: Sequence[_Item]) -> str:
    check_only(group, "expressions", "all", "rollup", "cube", "grouping_sets")
    if group.args.get("all"):
        return "ALL"
    parts = list(group.expressions)
    for kind in ("rollup", "cube", "grouping_sets"):
        parts += group.args.get(kind) or ()
    return ", ".join(_group_part(context, scope, part, items) for part in parts)


def _group_part(context: Context, scope: Scope, node: exp.Expr, items: Sequence[_Item]) -> str:
    """One grouping key, or ROLLUP, CUBE and GROUPING SETS of several."""
    if type(node) in _GROUPINGS:
        inner = ", ".join(_group_part(context, scope, part, items) for part in node.expressions)
        return f"{_GROUPINGS[type(node)]} ({inner})"
    if isinstance(node, exp.Tuple):
        inner = ", ".join(_group_key(context, scope, part, items) for part in node.expressions)
        return f"({inner})"
    return _group_key(context, scope, node, items)


def _group_key(context: Context, scope: Scope, node: exp.Expr, items: Sequence[_Item]) -> str:
    item = _by_position_or_name(node, items)
    value = item.value if item else expressions.compile_expression(context, scope, node)
    if value.type.name == "JSON":
        raise invalid_query(f"Grouping by expressions of type {value.type} is not allowed", node)
    return value.sql


def _by_position_or_name(node: exp.Expr, items: Sequence[_Item]) -> _Item | None:
    """The SELECT item that GROUP BY or ORDER BY names, by number or by alias."""
    if isinstance(node, exp.Literal) and not node.is_string:
        if not node.this.isdigit() or not 1 <= int(node.this) <= len(items):
            raise invalid_query(f"Column number {node.this} is out of range", node)
        return items[int(node.this) - 1]
    if isinstance(node, exp.Column) and len(node.parts) == 1:
        named = [item for item in items if item.name.lower() == node.name.lower()]
        if len({item.value.sql for item in named}) > 1:
            raise invalid_query(f"Name {node.name} is ambiguous inside the SELECT list", node)
        return named[0] if named else None
    return None


def _order_and_limit(
    context: Context,
    node: exp.Expr,
    scope: Scope,
    items: Sequence[_Item],
    *,
    as_struct: bool = False,
) -> str:
    clauses = ""
    if order := node.args.get("order"):
        check_only(order, "expressions")
        keys = []
        for part in order.expressions:
            item = _by_position_or_name(part.this, items)
            if item is None or as_struct:
                value = item.value if item else None
                keys.append(_sort_key(context, scope, part, value))
            else:
                _check_sortable(item.value, part)
                keys.append(f"{items.index(item) + 1}{_direction(part)}")
        clauses += f" ORDER BY {', '.join(keys)}"
    for name in ("limit", "offset"):
        if clause := node.args.get(name):
            check_only(clause, "expression")
            count = expressions.compile_expression(context, Scope(), clause.expression)
            if not count.literal or count.type != INT64:
                raise invalid_query(f"{name.upper()} needs a whole number", clause)
            clauses += f" {name.upper()} {count.sql}"
    return clauses


def order_by(context: Context, scope: Scope, order: exp.Expr) -> str:
    """ORDER BY of a window or an aggregate call."""
    keys = [_sort_key(context, scope, part) for part in order.expressions]
    return f"ORDER BY {', '.join(keys)}"


def _sort_key(context: Context, scope: Scope, part: exp.Expr, value: Typed | None = None) -> str:
    if not isinstance(part, exp.Ordered):
        raise refused(shown(part), part)
    check_only(part, "this", "desc", "nulls_first")
    value = value or expressions.compile_expression(context, scope, part.this)
    _check_sortable(value, part)
    return f"{value.sql}{_direction(part)}"


def _check_sortable(value: Typed, node: exp.Expr) -> None:
    if value.type.name in ("ARRAY", "STRUCT", "JSON"):
        raise invalid_query(f"ORDER BY does not support expressions of type {value.type}", node)


def _direction(part: exp.Expr) -> str:
    direction = "DESC" if part.args.get("desc") else "ASC"
    return f" {direction} NULLS {'FIRST' if part.args.get('nulls_first') else 'LAST'}"


def scalar_subquery(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """A subquery as a value; NULL without rows, an error with more than one."""
    query = _single_column(compile_query(context, node, scope), node)
    return Typed(f"({query.sql})", query.fields[0].type)


def array_subquery(context: Context, scope: Scope, node: exp.Expr) -> Typed:
    """ARRAY(subquery)."""
    query = _single_column(compile_query(context, node, scope), node)
    if query.fields[0].type.element is not None:
        raise invalid_query("Cannot use array subquery with column of type ARRAY", node)
    type_ = INT64 if query.fields[0].type.name == "NULL" else query.fields[0].type
    return Typed(f"ARRAY({query.sql})", array_of(type_))


def in_subquery(context: Context, scope: Scope, value: Typed, node: exp.Expr) -> Typed:
    """`value IN (subquery)`."""
    query = _single_column(compile_query(context, node, scope), node)
    column = Typed("", query.fields[0].type)
    (converted, _), type_ = unify([value, column], node)
    return Typed(f"({converted.sql} IN ({_as_types(query, [type_], node)}))", BOOL)


def _single_column(query: Query, node: exp.Expr) -> Query:
    if len(query.fields) != 1:
        raise invalid_query(
            f"Subquery with more than one column used as an expression: {shown(node)}", node
        )
    return query
