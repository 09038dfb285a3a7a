"""BigQuery's data types: as the REST schema writes them, as SQL writes them, as DuckDB keeps them.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vertex_emulator.errors import ApiError

Schema = list[dict[str, Any]]


@dataclass(frozen=True)
class Type:
    """One data type.

    Attributes:
        name: SQL name, such as `INT64`, `ARRAY` or `STRUCT`; `NULL` for an untyped NULL.
        fields: Members of a STRUCT, in order.
        element: Element type of an ARRAY.
    """

    name: str
    fields: tuple[Field, ...] = ()
    element: Type | None = None

    def __str__(self) -> str:
        if self.element is not None:
            return f"ARRAY<{self.element}>"
        if self.name == "STRUCT":
            return f"STRUCT<{', '.join(str(field) for field in self.fields)}>"
        return self.name


@dataclass(frozen=True)
class Field:
    """One column of a table or member of a STRUCT; `name` is empty where SQL gives none."""

    name: str
    type: Type

    def __str__(self) -> str:
        return f"{self.name} {self.type}".strip()


INT64 = Type("INT64")
FLOAT64 = Type("FLOAT64")
NUMERIC = Type("NUMERIC")
BOOL = Type("BOOL")
STRING = Type("STRING")
BYTES = Type("BYTES")
DATE = Type("DATE")
TIME = Type("TIME")
DATETIME = Type("DATETIME")
TIMESTAMP = Type("TIMESTAMP")
JSON = Type("JSON")
INTERVAL = Type("INTERVAL")
NULL = Type("NULL")


def array_of(element: Type) -> Type:
    """The type ARRAY<element>."""
    return Type("ARRAY", element=element)


def struct_of(fields: Iterable[Field]) -> Type:
    """The type STRUCT with `fields`."""
    return Type("STRUCT", fields=tuple(fields))


# https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TableFieldSchema
_SCHEMA_NAMES = {
    "STRING": STRING,
    "BYTES": BYTES,
    "INTEGER": INT64,
    "INT64": INT64,
    "FLOAT": FLOAT64,
    "FLOAT64": FLOAT64,
    "BOOLEAN": BOOL,
    "BOOL": BOOL,
    "TIMESTAMP": TIMESTAMP,
    "DATE": DATE,
    "TIME": TIME,
    "DATETIME": DATETIME,
    "NUMERIC": NUMERIC,
    "JSON": JSON,
}
_REST_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}

_DUCKDB_NAMES = {
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "NUMERIC": "DECIMAL(38,9)",
    "BOOL": "BOOLEAN",
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "DATE": "DATE",
    "TIME": "TIME",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMPTZ",
    "JSON": "JSON",
    "INTERVAL": "INTERVAL",
    "NULL": "BIGINT",
}


def quoted(name: str) -> str:
    """`name` as a quoted identifier of DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """`value` as a string literal of DuckDB."""
    return "'" + value.replace("'", "''") + "'"


def member_name(type_: Type, index: int) -> str:
    """Name of a STRUCT's member; BigQuery calls the unnamed ones `_field_1`, `_field_2`, ..."""
    return type_.fields[index].name or f"_field_{index + 1}"


def duckdb_type(type_: Type) -> str:
    """The DuckDB type that holds values of `type_`."""
    if type_.element is not None:
        return f"{duckdb_type(type_.element)}[]"
    if type_.name == "STRUCT":
        members = (
            f"{quoted(member_name(type_, index))} {duckdb_type(field.type)}"
            for index, field in enumerate(type_.fields)
        )
        return f"STRUCT({', '.join(members)})"
    return _DUCKDB_NAMES[type_.name]


def fields_of(schema: Iterable[Mapping[str, Any]]) -> tuple[Field, ...]:
    """The columns that a REST schema's `fields` describe.

    Raises:
        ApiError: 400 if a field lacks its name or type, or the emulator has no such type.
    """
    return tuple(_field_of(entry) for entry in schema)


def _field_of(entry: Mapping[str, Any]) -> Field:
    name, type_name = entry.get("name"), entry.get("type")
    if not isinstance(name, str) or not name or not isinstance(type_name, str):
        raise ApiError(400, "Every field of a schema needs a name and a type.")
    upper = type_name.upper()
    if upper in ("RECORD", "STRUCT"):
        members = fields_of(entry.get("fields") or ())
        if not members:
            raise ApiError(400, f"Field {name} is type RECORD but has no schema")
        type_ = struct_of(members)
    elif upper in _SCHEMA_NAMES:
        type_ = _SCHEMA_NAMES[upper]
    else:
        raise ApiError(400, f"The emulator has no type {type_name} (field {name}).")
    for parameter in ("maxLength", "precision", "scale"):
        if entry.get(parameter) not in (None, "0", 0):
            raise ApiError(
                400, f"The emulator has no parameterized types ({parameter} of field {name})."
            )
    return Field(name, array_of(type_) if entry.get("mode") == "REPEATED" else type_)


def schema_of(fields: Iterable[Field]) -> Schema:
    """The REST schema of `fields`, all of them NULLABLE or REPEATED."""
    schema: Schema = []
    for index, field in enumerate(fields):
        type_, mode = field.type, "NULLABLE"
        if type_.element is not None:
            type_, mode = type_.element, "REPEATED"
        entry: dict[str, Any] = {
            "name": field.name or f"_field_{index + 1}",
            "type": _REST_NAMES.get(type_.name, type_.name),
            "mode": mode,
        }
        if type_.name == "NULL":
            entry["type"] = "INTEGER"
        if type_.name == "STRUCT":
            entry["fields"] = schema_of(type_.fields)
        schema.append(entry)
    return schema


def arrow_type(type_: Type) -> Any:
    """The pyarrow type in which rows of `type_` are handed to DuckDB; JSON travels as text."""
    import pyarrow as pa

    if type_.element is not None:
        return pa.list_(arrow_type(type_.element))
    if type_.name == "STRUCT":
        return pa.struct(
            [
                pa.field(member_name(type_, index), arrow_type(field.type))
                for index, field in enumerate(type_.fields)
            ]
        )
    return {
        "INT64": pa.int64(),
        "FLOAT64": pa.float64(),
        "NUMERIC": pa.decimal128(38, 9),
        "BOOL": pa.bool_(),
        "STRING": pa.string(),
        "BYTES": pa.binary(),
        "DATE": pa.date32(),
        "TIME": pa.time64("us"),
        "DATETIME": pa.timestamp("us"),
        "TIMESTAMP": pa.timestamp("us", tz="UTC"),
        "JSON": pa.string(),
    }[type_.name]
