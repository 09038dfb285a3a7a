"""The DuckDB file that holds every row and the whole catalog, so that both change together.

BigQuery tables are in the schema `data` under numbers (`data.t17`), never under the names that
clients choose: those differ by case only, or are hostile. Query results are in an attached
in-memory database (`results.r17`), which spills to disk when it outgrows the memory limit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import duckdb

from vertex_emulator.bigquery.udfs import register

Cursor: TypeAlias = duckdb.DuckDBPyConnection

_CATALOG = """
CREATE SCHEMA IF NOT EXISTS data;
CREATE SCHEMA IF NOT EXISTS catalog;
CREATE SEQUENCE IF NOT EXISTS catalog.numbers;
CREATE TABLE IF NOT EXISTS catalog.datasets (project VARCHAR, dataset VARCHAR, document VARCHAR);
CREATE TABLE IF NOT EXISTS catalog.tables (
    project VARCHAR, dataset VARCHAR, name VARCHAR, number BIGINT, document VARCHAR);
CREATE TABLE IF NOT EXISTS catalog.jobs (
    project VARCHAR, job VARCHAR, created BIGINT, document VARCHAR);
CREATE TABLE IF NOT EXISTS catalog.appends (work VARCHAR);
"""

MEMORY, SPILL = "2GB", "8GB"
"""What all queries together may take of the memory, and of the disk where that is not enough."""


class Database:
    """One DuckDB instance: many readers on snapshots, one writer at a time.

    BigQuery queues conflicting changes of a table, where DuckDB would fail one of them; a lock
    around all writers gives the same outcome.

    Args:
        path: Database file; created when missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writing = threading.RLock()
        self._root = duckdb.connect(
            path,
            config={
                "python_enable_replacements": False,
                "temp_directory": f"{path}.spill",
                "memory_limit": MEMORY,
                "max_temp_directory_size": SPILL,
            },
        )
        self._root.execute("SET GLOBAL TimeZone = 'UTC'")
        # NULL is the smallest value: https://cloud.google.com/bigquery/docs/reference/
        # standard-sql/query-syntax#order_by_clause
        self._root.execute("SET GLOBAL default_null_order = 'nulls_first_on_asc_last_on_desc'")
        # One thread a query: small ones gain nothing from more, and rows come in one order.
        self._root.execute("SET GLOBAL threads = 1")
        self._root.execute("ATTACH ':memory:' AS results")
        self._root.execute(_CATALOG)
        register(self._root)
        # No SQL reaches files or the network, whatever a translation lets through.
        self._root.execute("SET enable_external_access = false")
        self._root.execute("SET lock_configuration = true")

    @contextmanager
    def reading(self) -> Iterator[Cursor]:
        """A connection whose statements all see one snapshot."""
        cursor = self._root.cursor()
        cursor.execute("BEGIN")
        try:
            yield cursor
            cursor.execute("COMMIT")
        finally:
            cursor.close()

    @contextmanager
    def writing(self) -> Iterator[Cursor]:
        """A connection in a transaction that alone may write; it commits unless an error leaves."""
        with self._writing:
            cursor = self._root.cursor()
            cursor.execute("BEGIN")
            try:
                yield cursor
                cursor.execute("COMMIT")
            finally:
                cursor.close()

    def drop_result(self, relation: str) -> None:
        """Remove the rows of a query (`results.r17`), when nobody will ask for them any more."""
        with self.reading() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {relation}")

    def close(self) -> None:
        """Write everything to the file and close it."""
        self._root.close()


def rows(cursor: Cursor, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """All rows of a statement."""
    result: list[tuple[Any, ...]] = cursor.execute(sql, parameters).fetchall()
    return result
