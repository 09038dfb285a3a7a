"""INFORMATION_SCHEMA and `__TABLES__`, as queries over the catalog.

https://cloud.google.com/bigquery/docs/information-schema-intro
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from vertex_emulator.bigquery import catalog, sizes
from vertex_emulator.bigquery.catalog import Table
from vertex_emulator.bigquery.database import Cursor, rows
from vertex_emulator.bigquery.sql.casts import literal
from vertex_emulator.bigquery.sql.parsing import invalid_query, refused
from vertex_emulator.bigquery.types import (
    INT64,
    STRING,
    TIMESTAMP,
    Field,
    Type,
    duckdb_type,
    fields_of,
    quoted,
)
from vertex_emulator.bigquery.values import parse_value

Row = dict[str, Any]
View = tuple[str, tuple[Field, ...]]


def system_view(cursor: Cursor, project: str, dataset: str | None, name: str) -> View:
    """DuckDB SQL and columns of a view of the catalog.

    Args:
        cursor: Connection whose transaction sees the catalog.
        project: Project that the view is asked for.
        dataset: Dataset, or a region such as `region-us` for the whole project.
        name: `__TABLES__` or `INFORMATION_SCHEMA.<VIEW>`, upper case.

    Raises:
        ApiError: 400 `invalidQuery` if the view is not served; 404 for no such dataset.
    """
    view = _VIEWS.get(name)
    if view is None:
        raise refused(f"the view {name}")
    columns, make_rows = view
    fields = tuple(Field(column, type_) for column, type_ in columns)
    if dataset is not None and dataset.lower().startswith("region-"):
        dataset = None
    if dataset is None and name == "__TABLES__":
        raise invalid_query("__TABLES__ needs a dataset")
    found = [] if name.endswith(".SCHEMATA") else _tables(cursor, project, dataset)
    made = make_rows(cursor, project, found)
    return _values(fields, made), fields


def _tables(cursor: Cursor, project: str, dataset: str | None) -> list[Table]:
    datasets = (
        [dataset]
        if dataset is not None
        else [
            each["datasetReference"]["datasetId"] for each in catalog.list_datasets(cursor, project)
        ]
    )
    return [table for each in datasets for table in catalog.list_tables(cursor, project, each)]


def _values(fields: tuple[Field, ...], made: list[Row]) -> str:
    if not made:
        columns = ", ".join(
            f"CAST(NULL AS {duckdb_type(field.type)}) AS {quoted(field.name)}" for field in fields
        )
        return f"SELECT {columns} WHERE FALSE"
    listed = ", ".join(
        f"({', '.join(_literal(row.get(field.name), field.type) for field in fields)})"
        for row in made
    )
    names = ", ".join(quoted(field.name) for field in fields)
    return f"SELECT * FROM (VALUES {listed}) AS v({names})"


def _literal(value: Any, type_: Type) -> str:
    if value is None:
        return f"CAST(NULL AS {duckdb_type(type_)})"
    return literal(parse_value(value, type_, ""), type_).sql


def _schemata(cursor: Cursor, project: str, _: list[Table]) -> list[Row]:
    return [
        {
            "catalog_name": project,
            "schema_name": each["datasetReference"]["datasetId"],
            "creation_time": int(each["creationTime"]) / 1000,
            "last_modified_time": int(each["lastModifiedTime"]) / 1000,
            "location": each["location"],
        }
        for each in catalog.list_datasets(cursor, project)
    ]


def _identity(table: Table) -> Row:
    return {
        "table_catalog": table.name.project,
        "table_schema": table.name.dataset,
        "table_name": table.name.table,
    }


def _table_rows(_: Cursor, __: str, tables: list[Table]) -> list[Row]:
    return [
        {
            **_identity(table),
            "table_type": "VIEW" if table.source is None else "BASE TABLE",
            "is_insertable_into": "NO" if table.source is None else "YES",
            "is_typed": "NO",
            "creation_time": int(table.document["creationTime"]) / 1000,
        }
        for table in tables
    ]


def _column_rows(_: Cursor, __: str, tables: list[Table]) -> list[Row]:
    found = []
    for table in tables:
        partitioned = _partition_field(table)
        clustering = [
            name.lower() for name in (table.document.get("clustering") or {}).get("fields", ())
        ]
        for position, entry in enumerate(table.document["schema"]["fields"], start=1):
            name = entry["name"].lower()
            found.append(
                {
                    **_identity(table),
                    "column_name": entry["name"],
                    "ordinal_position": position,
                    "is_nullable": "NO" if entry.get("mode") == "REQUIRED" else "YES",
                    "data_type": str(fields_of([entry])[0].type),
                    "is_hidden": "NO",
                    "is_system_defined": "NO",
                    "is_partitioning_column": "YES" if name == partitioned else "NO",
                    "clustering_ordinal_position": clustering.index(name) + 1
                    if name in clustering
                    else None,
                }
            )
    return found


def _partition_field(table: Table) -> str | None:
    layout = table.document.get("timePartitioning") or table.document.get("rangePartitioning")
    field = (layout or {}).get("field")
    return field.lower() if field else None


_PARTITION_FORMATS = {"HOUR": "%Y%m%d%H", "DAY": "%Y%m%d", "MONTH": "%Y%m", "YEAR": "%Y"}


def _partition_rows(cursor: Cursor, _: str, tables: list[Table]) -> list[Row]:
    found = []
    for table in tables:
        if table.source is None:
            continue
        layout = table.document.get("timePartitioning")
        identifier = "NULL"
        field = _partition_field(table)
        if layout and field:
            identifier = f"strftime({quoted(field)}, '{_PARTITION_FORMATS[layout['type']]}')"
        elif field:
            bounds = table.document["rangePartitioning"]["range"]
            start, step = int(bounds["start"]), int(bounds["interval"])
            column = quoted(field)
            identifier = f"CAST({start} + ({column} - {start}) // {step} * {step} AS VARCHAR)"
        groups = rows(
            cursor,
            f"SELECT {identifier} AS partition, count(*) FROM {table.source} GROUP BY 1 ORDER BY 1",
        )
        found += [
            {
                **_identity(table),
                "partition_id": partition or ("__NULL__" if field else None),
                "total_rows": total,
                "last_modified_time": int(table.document["lastModifiedTime"]) / 1000,
                "storage_tier": "ACTIVE",
            }
            for partition, total in groups
        ]
    return found


def _option_rows(_: Cursor, __: str, tables: list[Table]) -> list[Row]:
    found = []
    for table in tables:
        options = []
        if "description" in table.document:
            description = json.dumps(table.document["description"], ensure_ascii=False)
            options.append(("description", "STRING", description))
        if table.document.get("labels"):
            pairs = ", ".join(
                f'STRUCT("{key}", "{value}")' for key, value in table.document["labels"].items()
            )
            options.append(("labels", "ARRAY<STRUCT<STRING, STRING>>", f"[{pairs}]"))
        found += [
            {**_identity(table), "option_name": name, "option_type": type_, "option_value": value}
            for name, type_, value in options
        ]
    return found


def _size_rows(cursor: Cursor, _: str, tables: list[Table]) -> list[Row]:
    return [
        {
            "project_id": table.name.project,
            "dataset_id": table.name.dataset,
            "table_id": table.name.table,
            "creation_time": int(table.document["creationTime"]),
            "last_modified_time": int(table.document["lastModifiedTime"]),
            "row_count": rows(cursor, f"SELECT count(*) FROM {table.source}")[0][0]
            if table.source
            else 0,
            "size_bytes": sizes.table_bytes(cursor, table) if table.source else 0,
            "type": 1 if table.source else 2,
        }
        for table in tables
    ]


_IDENTITY = [("table_catalog", STRING), ("table_schema", STRING), ("table_name", STRING)]
_VIEWS: dict[
    str, tuple[list[tuple[str, Type]], Callable[[Cursor, str, list[Table]], list[Row]]]
] = {
    "__TABLES__": (
        [
            *(("project_id", STRING), ("dataset_id", STRING), ("table_id", STRING)),
            *(("creation_time", INT64), ("last_modified_time", INT64), ("row_count", INT64)),
            *(("size_bytes", INT64), ("type", INT64)),
        ],
        _size_rows,
    ),
    "INFORMATION_SCHEMA.SCHEMATA": (
        [
            *(("catalog_name", STRING), ("schema_name", STRING), ("schema_owner", STRING)),
            *(("creation_time", TIMESTAMP), ("last_modified_time", TIMESTAMP)),
            ("location", STRING),
        ],
        _schemata,
    ),
    "INFORMATION_SCHEMA.TABLES": (
        [
            *_IDENTITY,
            *(("table_type", STRING), ("is_insertable_into", STRING), ("is_typed", STRING)),
            ("creation_time", TIMESTAMP),
        ],
        _table_rows,
    ),
    "INFORMATION_SCHEMA.COLUMNS": (
        [
            *_IDENTITY,
            *(("column_name", STRING), ("ordinal_position", INT64), ("is_nullable", STRING)),
            *(("data_type", STRING), ("is_hidden", STRING), ("is_system_defined", STRING)),
            *(("is_partitioning_column", STRING), ("clustering_ordinal_position", INT64)),
        ],
        _column_rows,
    ),
    "INFORMATION_SCHEMA.PARTITIONS": (
        [
            *_IDENTITY,
            *(("partition_id", STRING), ("total_rows", INT64)),
            *(("last_modified_time", TIMESTAMP), ("storage_tier", STRING)),
        ],
        _partition_rows,
    ),
    "INFORMATION_SCHEMA.TABLE_OPTIONS": (
        [
            *_IDENTITY,
            *(("option_name", STRING), ("option_type", STRING), ("option_value", STRING)),
        ],
        _option_rows,
    ),
}
