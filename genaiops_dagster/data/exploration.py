"""The tables of a dataset, their columns and a few of their rows, for people who write a query."""

# ruff: noqa: S608 - dataset and table names are checked by the use case file and by BigQuery

from __future__ import annotations

from typing import Any

from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.records.data import SourceTable, SourceTables

_SHOWN_CHARACTERS = 80


def explore(warehouse: Warehouse, dataset: str) -> SourceTables:
    """Tables of a dataset with their columns and sizes.

    Args:
        warehouse: Runs the queries.
        dataset: `project.dataset`.

    Source: https://cloud.google.com/bigquery/docs/information-schema-columns
    """
    columns: dict[str, dict[str, str]] = {}
    for row in warehouse.rows(
        "SELECT table_name, column_name, data_type "
        f"FROM `{dataset}`.INFORMATION_SCHEMA.COLUMNS ORDER BY table_name, ordinal_position"
    ):
        columns.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]
    sizes = {
        row["table_id"]: row
        for row in warehouse.rows(
            f"SELECT table_id, row_count, size_bytes FROM `{dataset}.__TABLES__` WHERE type = 1"
        )
    }
    return SourceTables(
        dataset=dataset,
        tables=[
            SourceTable(
                name=name,
                rows=sizes[name]["row_count"] if name in sizes else None,
                bytes=sizes[name]["size_bytes"] if name in sizes else None,
                columns=kinds,
            )
            for name, kinds in columns.items()
        ],
    )


def sample(warehouse: Warehouse, found: SourceTables, rows: int) -> dict[str, list[dict[str, Any]]]:
    """The first rows of each table, long values cut; nothing of views, which cannot be browsed."""
    return {
        table.name: [
            {column: _short(value) for column, value in row.items()}
            for row in warehouse.head(f"{found.dataset}.{table.name}", rows)
        ]
        for table in found.tables
        if rows and table.rows is not None
    }


def _short(value: object) -> str | None:
    if value is None:
        return None
    text = " ".join(str(value).replace("|", "\\|").split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
