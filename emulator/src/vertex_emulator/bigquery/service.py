"""BigQuery: what the other services call, and the routes of its HTTP API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from starlette.routing import BaseRoute

from vertex_emulator.bigquery import (
    catalog,
    datasets,
    job_routes,
    tabledata,
    tables,
    wire,
    writing,
)
from vertex_emulator.bigquery.catalog import TableName
from vertex_emulator.bigquery.database import Database
from vertex_emulator.bigquery.http import Endpoints
from vertex_emulator.bigquery.jobs import Jobs
from vertex_emulator.bigquery.resources import new_dataset, new_table
from vertex_emulator.bigquery.types import Field
from vertex_emulator.bigquery.uploads import Uploads
from vertex_emulator.bigquery.values import InvalidValueError, parse_row
from vertex_emulator.bigquery.work import workers
from vertex_emulator.config import EmulatorConfig
from vertex_emulator.errors import ApiError
from vertex_emulator.stats import Stats
from vertex_emulator.storage.service import StorageService


class BigQueryService:
    """Datasets, tables and jobs on the state folder; every method may be called from any thread."""

    def __init__(self, config: EmulatorConfig, storage: StorageService, stats: Stats) -> None:
        self.config = config
        self.storage = storage
        self.endpoints = Endpoints(stats)
        folder = config.state / "bigquery"
        self.database = Database(folder / "bigquery.duckdb")
        self.jobs = Jobs(self.database, workers(self.database, storage))
        self.uploads = Uploads(folder / "uploads", self.jobs)

    def read_rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Rows of `project.dataset.table` as JSON values by column name.

        TIMESTAMP values are microseconds since 1970, BYTES base64, NUMERIC, dates and times text.

        Raises:
            ApiError: 404 if there is no such table; 400 if the name does not have three parts.
        """
        name = parse_table_name(table)
        with self.database.reading() as cursor:
            found = catalog.get_table(cursor, name)
            if found.source is None:
                raise ApiError(400, f"{name} is a view: its rows can only be queried.")
            fields = found.fields
            names = [field.name for field in fields]
            result = cursor.execute(wire.plain_select(found.source, fields))
            while batch := result.fetchmany(writing.BATCH_ROWS):
                for row in batch:
                    yield dict(zip(names, row, strict=True))

    def append_rows(
        self,
        table: str,
        rows: Iterable[Mapping[str, Any]],
        schema: list[dict[str, Any]] | None = None,
        *,
        once: str | None = None,
    ) -> int:
        """Add JSON rows to `project.dataset.table`, all of them or none.

        Args:
            table: Full name; its dataset is created when missing, and the table when `schema`
                is given.
            rows: JSON-able values by column name.
            schema: REST schema fields of a table to create.
            once: Name of the work that makes the rows; a second call for it adds nothing, so that
                work that a crash interrupted can be done again.

        Returns:
            How many rows were added.

        Raises:
            ApiError: 404 if there is no such table and no schema; 400 that says why a row does
                not fit.
        """
        name = parse_table_name(table)
        with self.database.writing() as cursor:
            if once is not None and not catalog.note_append(cursor, once):
                return 0
            found = catalog.find_table(cursor, name)
            if found is None:
                if schema is None:
                    raise ApiError(404, f"Not found: Table {name}")
                if catalog.find_dataset(cursor, name.project, name.dataset) is None:
                    catalog.insert_dataset(
                        cursor, name.project, name.dataset, new_dataset(name.project, name.dataset)
                    )
                found = catalog.insert_table(cursor, name, new_table(name, {"fields": schema}))
            if found.source is None:
                raise ApiError(400, f"{name} is a view: no rows can be added.")
            fields = found.fields
            count = writing.append(cursor, found.source, fields, _parsed(rows, fields))
            catalog.touch(cursor, found)
        return count

    def routes(self) -> list[BaseRoute]:
        """Every route of the service."""
        return [
            *datasets.routes(self.database, self.endpoints),
            *tabledata.routes(self.database, self.jobs, self.endpoints),
            *tables.routes(self.database, self.endpoints),
            *job_routes.routes(self.database, self.storage, self.jobs, self.endpoints),
            *self.uploads.routes(self.endpoints),
        ]

    def close(self) -> None:
        """Write everything to disk and close the database."""
        self.jobs.close()
        self.endpoints.close()
        self.database.close()


def _parsed(
    rows: Iterable[Mapping[str, Any]], fields: tuple[Field, ...]
) -> Iterator[dict[str, Any]]:
    for index, row in enumerate(rows):
        try:
            yield parse_row(row, fields)
        except InvalidValueError as error:
            raise ApiError(400, f"Row {index}: {error}") from error


def parse_table_name(table: str) -> TableName:
    """The name in `project.dataset.table`; projects may hold dots themselves.

    Raises:
        ApiError: 400 if it has fewer than three parts.
    """
    parts = table.rsplit(".", 2)
    if len(parts) != 3:
        raise ApiError(400, f"{table!r} is not of the form project.dataset.table.")
    return TableName(*parts)
