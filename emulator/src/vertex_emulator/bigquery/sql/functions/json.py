"""JSON functions.

https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions
"""

from __future__ import annotations

import re

from vertex_emulator.bigquery.sql.casts import fail
from vertex_emulator.bigquery.sql.parsing import invalid_query, refused
from vertex_emulator.bigquery.sql.scope import Typed
from vertex_emulator.bigquery.sql.signatures import Call, Functions, render, signature
from vertex_emulator.bigquery.types import (
    BOOL,
    FLOAT64,
    INT64,
    JSON,
    NULL,
    STRING,
    Type,
    array_of,
    member_name,
    quoted,
    text,
)
from vertex_emulator.bigquery.wire import plain_expression

_STEP = re.compile(
    r"""\.([A-Za-z_][\w-]*)|\."((?:[^"\\]|\\.)*)"|\['((?:[^'\\]|\\.)*)'\]|\[(\d+)\]"""
)


def _path(call: Call, index: int) -> str:
    """A JSONPath in DuckDB's form.

    Raises:
        ApiError: 400 `invalidQuery` if it is not a literal, or not a path.
    """
    path = call.text_argument(index) if index < len(call.nodes) else "$"
    if not path.startswith("$"):
        raise invalid_query("JSONPath must start with '$'", call.node)
    steps, end = "", 1
    while end < len(path):
        found = _STEP.match(path, end)
        if found is None:
            raise invalid_query(f"Unsupported operator in JSONPath: {path}", call.node)
        end = found.end()
        name = next((part for part in found.groups()[:3] if part is not None), None)
        if name is not None and set(name) & set('"{}'):
            raise refused("a JSONPath with a double quote or a brace in a name", call.node)
        steps += f"[{found[4]}]" if name is None else f'."{name}"'
    return f"${steps}"


def _document(call: Call) -> Typed:
    """The first argument as JSON.

    BigQuery reads malformed text up to where it needs it; here it is an error.
    """
    value = call.argument(0)
    if value.type == JSON:
        return value
    if value.type not in (STRING, NULL):
        raise call.no_signature()
    return Typed(f"json(CAST({value.sql} AS VARCHAR))", JSON)


def _value(call: Call) -> Typed:
    """JSON_VALUE and JSON_EXTRACT_SCALAR: a scalar as text, NULL for all else."""
    call.check_count(1, 2)
    path = text(_path(call, 1))
    sql = (
        f"CASE WHEN json_type({{0}}, {path}) NOT IN ('OBJECT', 'ARRAY')"
        f" THEN json_extract_string({{0}}, {path}) END"
    )
    return Typed(render(sql, [_document(call)]), STRING)


def _query(call: Call) -> Typed:
    """JSON_QUERY and JSON_EXTRACT: JSON for JSON, text for text, where JSON null is NULL."""
    call.check_count(1, 2)
    path = text(_path(call, 1))
    document = _document(call)
    if call.argument(0).type == JSON:
        return Typed(f"json_extract({document.sql}, {path})", JSON)
    sql = (
        f"CASE WHEN json_type({{0}}, {path}) <> 'NULL'"
        f" THEN CAST(json_extract({{0}}, {path}) AS VARCHAR) END"
    )
    return Typed(render(sql, [document]), STRING)


def _all_of(path: str) -> str:
    return f"CAST(json_extract({{0}}, {text(path + '[*]')}) AS JSON[])"


def _elements(call: Call) -> Typed:
    call.check_count(1, 2)
    path = _path(call, 1)
    is_json = call.argument(0).type == JSON
    element = "e" if is_json else "CAST(e AS VARCHAR)"
    sql = (
        f"CASE WHEN json_type({{0}}, {text(path)}) = 'ARRAY' THEN"
        f" list_transform({_all_of(path)}, lambda e: {element}) END"
    )
    return Typed(render(sql, [_document(call)]), array_of(JSON if is_json else STRING))


def _scalars(call: Call) -> Typed:
    """JSON_VALUE_ARRAY: NULL unless every element is a scalar."""
    call.check_count(1, 2)
    path = _path(call, 1)
    listed = _all_of(path)
    nested = f"list_filter({listed}, lambda e: json_type(e) IN ('OBJECT', 'ARRAY'))"
    sql = (
        f"CASE WHEN json_type({{0}}, {text(path)}) = 'ARRAY' AND len({nested}) = 0 THEN"
        f" list_transform({listed}, lambda e: json_extract_string(e, '$')) END"
    )
    return Typed(render(sql, [_document(call)]), array_of(STRING))


def _parse(call: Call) -> Typed:
    call.check_count(1, 1)
    value = call.argument(0)
    if value.type not in (STRING, NULL):
        raise call.no_signature()
    return Typed(f"canonical_json({value.sql})::JSON", JSON)


def _jsonable(expression: str, type_: Type, depth: int = 0) -> str:
    """DuckDB SQL of JSON for a value, in BigQuery's encoding of each type.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#json_encodings
    """
    if type_.element is not None:
        name = f"j{depth}"
        inner = _jsonable(name, type_.element, depth + 1)
        listed = f"list_transform({expression}, lambda {name}: {inner})"
        return f"CASE WHEN {expression} IS NULL THEN json('null') ELSE to_json({listed}) END"
    if type_.name == "STRUCT":
        members = ", ".join(
            f"{quoted(member_name(type_, index))} := "
            + _jsonable(
                f"struct_extract({expression}, {text(member_name(type_, index))})",
                field.type,
                depth,
            )
            for index, field in enumerate(type_.fields)
        )
        packed = f"to_json(struct_pack({members}))"
        return f"CASE WHEN {expression} IS NULL THEN json('null') ELSE {packed} END"
    null = f"CASE WHEN {expression} IS NULL THEN json('null')"
    if type_ == JSON:
        return f"{null} ELSE {expression} END"
    if type_ in (INT64, BOOL, NULL, STRING):
        return f"{null} ELSE to_json({expression}) END"
    if type_ == FLOAT64:
        shown = f"regexp_replace(CAST({expression} AS VARCHAR), '\\.0$', '')"
        words = (
            f"CASE WHEN isnan({expression}) THEN '\"NaN\"' WHEN {expression} > 0"
            " THEN '\"Infinity\"' ELSE '\"-Infinity\"' END"
        )
        return f"{null} WHEN isfinite({expression}) THEN json({shown}) ELSE json({words}) END"
    if type_.name == "NUMERIC":
        return f"{null} ELSE json({plain_expression(expression, type_)}) END"
    if type_.name == "TIMESTAMP":
        moment = f"CAST({expression} AS TIMESTAMP)"
        shown = plain_expression(moment, Type("DATETIME"))
        return f"{null} ELSE to_json(({shown}) || 'Z') END"
    return f"{null} ELSE to_json({plain_expression(expression, type_)}) END"


def _to_json(call: Call) -> Typed:
    call.check_count(1, 1)
    value = call.argument(0)
    return _canonical(_jsonable(value.sql, value.type))


def _canonical(sql: str) -> Typed:
    """JSON in the form in which BigQuery keeps it."""
    return Typed(f"canonical_json(CAST({sql} AS VARCHAR))::JSON", JSON)


def _array(call: Call) -> Typed:
    """JSON_ARRAY(value, ...)."""
    parts = [_jsonable(value.sql, value.type) for value in call.arguments]
    return _canonical(f"json_array({', '.join(parts)})")


def _object(call: Call) -> Typed:
    """JSON_OBJECT(name, value, ...)."""
    if len(call.nodes) % 2:
        raise call.no_signature()
    parts = []
    for index in range(0, len(call.nodes), 2):
        key, value = call.argument(index), call.argument(index + 1)
        if key.type != STRING:
            raise call.no_signature()
        parts += [key.sql, _jsonable(value.sql, value.type)]
    return _canonical(f"json_object({', '.join(parts)})")


def _to_json_string(call: Call) -> Typed:
    call.check_count(1, 1)
    value = call.argument(0)
    return Typed(f"CAST({_jsonable(value.sql, value.type)} AS VARCHAR)", STRING)


_KINDS = {
    "BOOL": ("'BOOLEAN'", "BOOLEAN", BOOL),
    "INT64": ("'BIGINT', 'UBIGINT', 'DOUBLE'", "BIGINT", INT64),
    "FLOAT64": ("'BIGINT', 'UBIGINT', 'DOUBLE'", "DOUBLE", FLOAT64),
    "STRING": ("'VARCHAR'", "VARCHAR", STRING),
}


def scalar_of(call: Call) -> Typed:
    """BOOL, INT64, FLOAT64 and STRING of a JSON value that holds just that."""
    call.check_count(1, 1)
    value = call.argument(0)
    if value.type != JSON:
        raise call.no_signature()
    kinds, duck, type_ = _KINDS[call.name]
    failing = fail(f"'The provided JSON input is not {call.name}'", type_)
    inner = "json_extract_string({0}, '$')"
    fits = f"json_type({{0}}) IN ({kinds})"
    if type_ == INT64:
        # 10.0 is a whole number too.
        fits += f" AND (json_type({{0}}) <> 'DOUBLE' OR TRY_CAST({inner} AS DOUBLE) % 1 = 0)"
        inner = f"CAST({inner} AS DECIMAL(38,9))"
    sql = (
        f"CASE WHEN {{0}} IS NULL THEN NULL WHEN {fits}"
        f" THEN CAST({inner} AS {duck}) ELSE {failing} END"
    )
    return Typed(render(sql, [value]), type_)


_TYPE_NAMES = (
    "CASE json_type({0}) WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array'"
    " WHEN 'VARCHAR' THEN 'string' WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null'"
    " ELSE CASE WHEN {0} IS NOT NULL THEN 'number' END END"
)

FUNCTIONS: Functions = {
    "BOOL": scalar_of,
    "FLOAT64": scalar_of,
    "INT64": scalar_of,
    "JSON_ARRAY": _array,
    "JSON_EXTRACT": _query,
    "JSON_EXTRACT_ARRAY": _elements,
    "JSON_EXTRACT_SCALAR": _value,
    "JSON_EXTRACT_STRING_ARRAY": _scalars,
    "JSON_OBJECT": _object,
    "JSON_QUERY": _query,
    "JSON_QUERY_ARRAY": _elements,
    "JSON_TYPE": [signature("JSON", "STRING", _TYPE_NAMES)],
    "JSON_VALUE": _value,
    "JSON_VALUE_ARRAY": _scalars,
    "PARSE_JSON": _parse,
    "TO_JSON": _to_json,
    "TO_JSON_STRING": _to_json_string,
}
