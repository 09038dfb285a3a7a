"""Query parameters, as the REST API sends them.

https://cloud.google.com/bigquery/docs/reference/rest/v2/QueryParameter
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vertex_emulator.bigquery.types import (
    Field,
    Type,
    array_of,
    fields_of,
    struct_of,
)
from vertex_emulator.bigquery.values import InvalidValueError, parse_value
from vertex_emulator.errors import ApiError

Parameters = dict[str | int, tuple[Type, Any]]


def parsed(given: Any) -> Parameters:
    """Type and value of each parameter, by lower-case name or by position from 0.

    Raises:
        ApiError: 400 if one is malformed or of a type that the emulator does not have.
    """
    found: Parameters = {}
    if given is None:
        return found
    if not isinstance(given, list):
        raise ApiError(400, "queryParameters must be a list.")
    for index, parameter in enumerate(given):
        if not isinstance(parameter, Mapping):
            raise ApiError(400, "queryParameters must be objects.")
        name = parameter.get("name")
        key: str | int = str(name).lower() if name else index
        type_ = _type(parameter.get("parameterType"))
        value = parameter.get("parameterValue") or {}
        try:
            found[key] = (type_, parse_value(_plain(value, type_), type_, "", json_text=True))
        except InvalidValueError as error:
            raise ApiError(
                400, f"Invalid value of query parameter {name or index + 1}: {error}"
            ) from error
    return found


def _type(given: Any) -> Type:
    if not isinstance(given, Mapping) or not isinstance(given.get("type"), str):
        raise ApiError(400, "A query parameter needs a parameterType.")
    name = given["type"].upper()
    if name == "ARRAY":
        return array_of(_type(given.get("arrayType")))
    if name == "STRUCT":
        members = given.get("structTypes")
        if not isinstance(members, list) or not members:
            raise ApiError(400, "A query parameter of type STRUCT needs structTypes.")
        names = [str(member.get("name") or "") for member in members]
        if any(set(name) & set("{}") for name in names):
            raise ApiError(400, "Names of structTypes must not have braces.")
        types = [_type(member.get("type")) for member in members]
        return struct_of(Field(*pair) for pair in zip(names, types, strict=True))
    return fields_of([{"name": "parameter", "type": name}])[0].type


def _plain(given: Any, type_: Type) -> Any:
    """The value as JSON of its own kind, without the API's wrapping."""
    if not isinstance(given, Mapping):
        raise ApiError(400, "A parameterValue must be an object.")
    if type_.element is not None:
        values = given.get("arrayValues")
        return [_plain(value, type_.element) for value in values or ()]
    if type_.name == "STRUCT":
        members = given.get("structValues")
        if members is None:
            return None
        if not isinstance(members, Mapping):
            raise ApiError(400, "structValues must be an object.")
        return {
            field.name: _plain(members.get(field.name) or {}, field.type) for field in type_.fields
        }
    return given.get("value")
