"""Which datasets, tables and views exist, and their REST documents; rows are in `data.t<number>`.

Every function works inside the transaction of the cursor it is given.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vertex_emulator.bigquery.database import Cursor, rows
from vertex_emulator.bigquery.types import Field, duckdb_type, fields_of, quoted
from vertex_emulator.errors import ApiError

Document = dict[str, Any]

_PROJECT = re.compile(r"[a-z0-9][a-z0-9.:-]{0,99}")
_DATASET = re.compile(r"[A-Za-z0-9_]{1,1024}")
# https://cloud.google.com/bigquery/docs/tables#table_naming
_TABLE = re.compile(r"[\w\- ]{1,1024}")


@dataclass(frozen=True)
class TableName:
    """A table's full name."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}.{self.table}"

    def reference(self) -> Document:
        """The name as a REST `tableReference`."""
        return {"projectId": self.project, "datasetId": self.dataset, "tableId": self.table}


@dataclass(frozen=True)
class Table:
    """A table or view.

    Attributes:
        name: Its full name.
        document: Its REST resource, without the fields that are computed for each request.
        source: The DuckDB relation that holds its rows; None for a view.
    """

    name: TableName
    document: Document
    source: str | None

    @property
    def fields(self) -> tuple[Field, ...]:
        """Its columns."""
        return fields_of(self.document["schema"]["fields"])

    @property
    def view_query(self) -> str | None:
        """The SQL of a view."""
        view = self.document.get("view")
        return view["query"] if view else None


def now_ms() -> int:
    """Milliseconds since 1970, as REST resources count."""
    return time.time_ns() // 1_000_000


def modified(document: Mapping[str, Any]) -> str:
    """The time of a change now, later than that of every change before."""
    return str(max(now_ms(), int(document["lastModifiedTime"]) + 1))


def etag_of(document: Mapping[str, Any]) -> str:
    """A tag that changes whenever the document does."""
    return hashlib.md5(
        json.dumps(document, sort_keys=True).encode(), usedforsecurity=False
    ).hexdigest()


def check_dataset_name(project: str, dataset: str) -> None:
    """Refuse names that BigQuery does not allow.

    Raises:
        ApiError: 400.
    """
    if not _PROJECT.fullmatch(project):
        raise ApiError(400, f"Invalid project ID {project[:120]!r}.")
    if not _DATASET.fullmatch(dataset):
        raise ApiError(
            400,
            f"Invalid dataset ID {dataset[:120]!r}. Dataset IDs must be alphanumeric"
            " (plus underscores) and must be at most 1024 characters long.",
        )


def check_table_name(name: TableName) -> None:
    """Refuse names that BigQuery does not allow, and partition decorators, which are not served.

    Raises:
        ApiError: 400.
    """
    check_dataset_name(name.project, name.dataset)
    if "$" in name.table:
        raise ApiError(400, f"The emulator has no partition decorators ({name.table[:120]!r}).")
    if not _TABLE.fullmatch(name.table):
        raise ApiError(400, f"Invalid table ID {name.table[:120]!r}.")


def find_dataset(cursor: Cursor, project: str, dataset: str) -> Document | None:
    """The dataset's document, or None."""
    found = rows(
        cursor,
        "SELECT document FROM catalog.datasets WHERE project = ? AND dataset = ?",
        [project, dataset],
    )
    return json.loads(found[0][0]) if found else None


def get_dataset(cursor: Cursor, project: str, dataset: str) -> Document:
    """The dataset's document.

    Raises:
        ApiError: 404 if there is none.
    """
    document = find_dataset(cursor, project, dataset)
    if document is None:
        raise ApiError(404, f"Not found: Dataset {project}:{dataset}")
    return document


def list_datasets(cursor: Cursor, project: str) -> list[Document]:
    """Documents of a project's datasets, by name."""
    found = rows(
        cursor,
        "SELECT document FROM catalog.datasets WHERE project = ? ORDER BY dataset",
        [project],
    )
    return [json.loads(document) for (document,) in found]


def insert_dataset(cursor: Cursor, project: str, dataset: str, document: Document) -> None:
    """Add a dataset.

    Raises:
        ApiError: 409 if it exists; 400 if its name is not allowed.
    """
    check_dataset_name(project, dataset)
    if find_dataset(cursor, project, dataset) is not None:
        raise ApiError(409, f"Already Exists: Dataset {project}:{dataset}", reason="duplicate")
    cursor.execute(
        "INSERT INTO catalog.datasets VALUES (?, ?, ?)", [project, dataset, json.dumps(document)]
    )


def update_dataset(cursor: Cursor, project: str, dataset: str, document: Document) -> None:
    """Replace the document of an existing dataset."""
    cursor.execute(
        "UPDATE catalog.datasets SET document = ? WHERE project = ? AND dataset = ?",
        [json.dumps(document), project, dataset],
    )


def delete_dataset(cursor: Cursor, project: str, dataset: str, *, delete_contents: bool) -> None:
    """Remove a dataset.

    Raises:
        ApiError: 404 if there is none; 400 if it has tables and `delete_contents` is false.
    """
    get_dataset(cursor, project, dataset)
    tables = list_tables(cursor, project, dataset)
    if tables and not delete_contents:
        raise ApiError(400, f"Dataset {project}:{dataset} is still in use", reason="resourceInUse")
    for table in tables:
        delete_table(cursor, table.name)
    cursor.execute(
        "DELETE FROM catalog.datasets WHERE project = ? AND dataset = ?", [project, dataset]
    )


def find_table(cursor: Cursor, name: TableName) -> Table | None:
    """The table or view called `name`, or None."""
    found = rows(
        cursor,
        "SELECT number, document FROM catalog.tables"
        " WHERE project = ? AND dataset = ? AND name = ?",
        [name.project, name.dataset, name.table],
    )
    return _table(name, *found[0]) if found and not _expired(found[0][1]) else None


def get_table(cursor: Cursor, name: TableName) -> Table:
    """The table or view called `name`.

    Raises:
        ApiError: 404 if it or its dataset does not exist.
    """
    table = find_table(cursor, name)
    if table is None:
        get_dataset(cursor, name.project, name.dataset)
        raise ApiError(404, f"Not found: Table {name}")
    return table


def list_tables(cursor: Cursor, project: str, dataset: str) -> list[Table]:
    """A dataset's tables and views, by name.

    Raises:
        ApiError: 404 for no such dataset.
    """
    get_dataset(cursor, project, dataset)
    found = rows(
        cursor,
        "SELECT name, number, document FROM catalog.tables"
        " WHERE project = ? AND dataset = ? ORDER BY name",
        [project, dataset],
    )
    return [
        _table(TableName(project, dataset, name), number, document)
        for name, number, document in found
        if not _expired(document)
    ]


def insert_table(
    cursor: Cursor, name: TableName, document: Document, number: int | None = None
) -> Table:
    """Add a view, or a table whose rows are in `data.t<number>` (a new relation when None).

    Raises:
        ApiError: 404 for no such dataset; 409 if the table exists; 400 for bad name or schema.
    """
    check_table_name(name)
    dataset = get_dataset(cursor, name.project, name.dataset)
    if find_table(cursor, name) is not None:
        raise ApiError(409, f"Already Exists: Table {name}", reason="duplicate")
    _remove(cursor, name)
    lifetime = dataset.get("defaultTableExpirationMs")
    if lifetime and "expirationTime" not in document and "view" not in document:
        document = {**document, "expirationTime": str(now_ms() + int(lifetime))}
    if number is None and "view" not in document:
        number = create_relation(cursor, document)
    cursor.execute(
        "INSERT INTO catalog.tables VALUES (?, ?, ?, ?, ?)",
        [name.project, name.dataset, name.table, number, json.dumps(document)],
    )
    return _table(name, number, json.dumps(document))


def update_table(cursor: Cursor, name: TableName, document: Document) -> None:
    """Replace the document of an existing table; its rows stay."""
    cursor.execute(
        "UPDATE catalog.tables SET document = ? WHERE project = ? AND dataset = ? AND name = ?",
        [json.dumps(document), name.project, name.dataset, name.table],
    )


def touch(cursor: Cursor, table: Table) -> None:
    """Note that a table's rows changed."""
    update_table(
        cursor, table.name, {**table.document, "lastModifiedTime": modified(table.document)}
    )


def note_append(cursor: Cursor, work: str) -> bool:
    """Note that `work` has added its rows; False when it had done so before."""
    if cursor.execute("SELECT 1 FROM catalog.appends WHERE work = ?", [work]).fetchone():
        return False
    cursor.execute("INSERT INTO catalog.appends VALUES (?)", [work])
    return True


def delete_table(cursor: Cursor, name: TableName) -> None:
    """Remove a table with its rows, or a view.

    Raises:
        ApiError: 404 if there is none.
    """
    get_table(cursor, name)
    _remove(cursor, name)


def rename_table(cursor: Cursor, name: TableName, target: TableName) -> None:
    """Give a table another name in its dataset.

    Raises:
        ApiError: 404 if there is none; 409 if the new name is taken; 400 if it is not allowed.
    """
    check_table_name(target)
    table = get_table(cursor, name)
    if find_table(cursor, target) is not None:
        raise ApiError(409, f"Already Exists: Table {target}", reason="duplicate")
    _remove(cursor, target)
    document = {**table.document, "id": str(target), "tableReference": target.reference()}
    cursor.execute(
        "UPDATE catalog.tables SET name = ?, document = ?"
        " WHERE project = ? AND dataset = ? AND name = ?",
        [target.table, json.dumps(document), name.project, name.dataset, name.table],
    )


def _remove(cursor: Cursor, name: TableName) -> None:
    key = [name.project, name.dataset, name.table]
    where = "WHERE project = ? AND dataset = ? AND name = ?"
    for (number,) in rows(cursor, f"SELECT number FROM catalog.tables {where}", key):
        if number is not None:
            cursor.execute(f"DROP TABLE data.t{number}")
    cursor.execute(f"DELETE FROM catalog.tables {where}", key)


def create_relation(cursor: Cursor, document: Document) -> int:
    """Make an empty relation with the columns of a table's document; returns its number.

    Raises:
        ApiError: 400 if two columns have one name.
    """
    fields = fields_of(document["schema"]["fields"])
    names = [field.name.lower() for field in fields]
    if duplicates := {name for name in names if names.count(name) > 1}:
        raise ApiError(400, f"Duplicate column names in the schema: {sorted(duplicates)}")
    number = int(rows(cursor, "SELECT nextval('catalog.numbers')")[0][0])
    required = {
        field["name"] for field in document["schema"]["fields"] if field.get("mode") == "REQUIRED"
    }
    columns = ", ".join(
        f"{quoted(field.name)} {duckdb_type(field.type)}"
        + (" NOT NULL" if field.name in required else "")
        for field in fields
    )
    # A table without columns is legal in BigQuery until rows are loaded; DuckDB wants one.
    cursor.execute(f"CREATE TABLE data.t{number} ({columns or 'no_columns BOOLEAN'})")
    return number


def _table(name: TableName, number: int | None, document: str) -> Table:
    return Table(name, json.loads(document), None if number is None else f"data.t{number}")


def _expired(document: str) -> bool:
    # Parsing every document only for this would cost more than the query it serves.
    if '"expirationTime"' not in document:
        return False
    return int(json.loads(document).get("expirationTime") or 2**62) < now_ms()
