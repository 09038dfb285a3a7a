"""`tabledata` of the REST API: rows listed and rows streamed in.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any

from starlette.routing import Route

from vertex_emulator.bigquery import catalog, results, writing
from vertex_emulator.bigquery.catalog import Table, TableName
from vertex_emulator.bigquery.database import Database, rows
from vertex_emulator.bigquery.http import Call, Endpoints
from vertex_emulator.bigquery.jobs import Jobs
from vertex_emulator.bigquery.outcomes import ResultRows
from vertex_emulator.bigquery.tables import name_in
from vertex_emulator.bigquery.types import Field
from vertex_emulator.bigquery.values import InvalidValueError, parse_row
from vertex_emulator.errors import ApiError

_PATH = "/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}"
# Rows with an insert id that came a minute ago or less are the same row.
_REMEMBERED_SECONDS = 60.0
_REMEMBERED_IDS = 100_000


class InsertIds:
    """Insert ids seen lately."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[TableName, str], float] = OrderedDict()

    def is_new(self, table: TableName, insert_id: str | None) -> bool:
        """Whether the row has to be inserted; remembers its id."""
        if insert_id is None:
            return True
        now = time.monotonic()
        with self._lock:
            while self._seen and (
                len(self._seen) > _REMEMBERED_IDS
                or next(iter(self._seen.values())) < now - _REMEMBERED_SECONDS
            ):
                self._seen.popitem(last=False)
            if (table, insert_id) in self._seen:
                return False
            self._seen[table, insert_id] = now
            return True


def routes(database: Database, jobs: Jobs, endpoints: Endpoints) -> list[Route]:
    """Both methods."""
    insert_ids = InsertIds()

    def list_rows(call: Call) -> dict[str, Any]:
        name = name_in(call)
        with database.reading() as cursor:
            source, fields, total = _listed(cursor, jobs, name)
            if selected := call.query.get("selectedFields"):
                wanted = {part.strip().lower() for part in selected.split(",")}
                if any("." in part for part in wanted):
                    raise ApiError(400, "The emulator selects whole columns only.")
                if unknown := wanted - {field.name.lower() for field in fields}:
                    raise ApiError(400, f"no such field: {min(unknown)}")
                fields = tuple(field for field in fields if field.name.lower() in wanted)
            start = results.first_row(call)
            formats = {
                key.removeprefix("formatOptions."): value for key, value in call.query.items()
            }
            shown = results.read_page(
                cursor,
                source,
                fields,
                start,
                call.integer("maxResults"),
                results.timestamp_format(formats),
            )
        answer: dict[str, Any] = {"kind": "bigquery#tableDataList", "totalRows": str(total)}
        if shown:
            answer["rows"] = shown
        if start + len(shown) < total:
            answer["pageToken"] = str(start + len(shown))
        return answer

    def insert_all(call: Call) -> dict[str, Any]:
        name = name_in(call)
        if call.body.get("templateSuffix"):
            raise ApiError(400, "The emulator does not serve template tables (templateSuffix).")
        given = call.body.get("rows")
        if not isinstance(given, list) or not given:
            raise ApiError(400, "No rows present in the request.")
        with database.writing() as cursor:
            table = catalog.get_table(cursor, name)
            if table.source is None:
                raise ApiError(400, f"Cannot add rows to a view: {name}")
            good, errors = _checked(table, given, bool(call.body.get("ignoreUnknownValues")))
            if errors and not call.body.get("skipInvalidRows"):
                stopped = [_error(index, "stopped", "", "") for index in sorted(good)]
                return {
                    "kind": "bigquery#tableDataInsertAllResponse",
                    "insertErrors": [*errors, *stopped],
                }
            new = [
                row
                for index, row in good.items()
                if insert_ids.is_new(name, given[index].get("insertId"))
            ]
            writing.append(cursor, table.source, table.fields, new)
            catalog.touch(cursor, table)
        answer: dict[str, Any] = {"kind": "bigquery#tableDataInsertAllResponse"}
        return {**answer, "insertErrors": errors} if errors else answer

    return [
        endpoints.route("GET", _PATH + "/data", "tabledata.list", list_rows),
        endpoints.route("POST", _PATH + "/insertAll", "tabledata.insertAll", insert_all),
    ]


def _listed(cursor: Any, jobs: Jobs, name: TableName) -> tuple[str, tuple[Field, ...], int]:
    """Relation, columns and number of rows of a table, or of the rows of a query."""
    if name.dataset == "_results":
        job = jobs.get(name.project, name.table.removeprefix("anon_"))
        found: ResultRows | None = job.outcome.rows if job.outcome else None
        if found is None:
            raise ApiError(404, f"Not found: Table {name}")
        return found.relation, found.fields, found.count
    table = catalog.get_table(cursor, name)
    if table.source is None:
        raise ApiError(400, f"Cannot list a table of type VIEW: {name}")
    total = rows(cursor, f"SELECT count(*) FROM {table.source}")[0][0]
    return table.source, table.fields, total


def _checked(
    table: Table, given: list[Any], ignore_unknown: bool
) -> tuple[dict[int, dict[str, Any]], list[dict[str, Any]]]:
    """The rows that fit, by their place in the request, and the errors of the others."""
    required = [
        field["name"]
        for field in table.document["schema"]["fields"]
        if field.get("mode") == "REQUIRED"
    ]
    good: dict[int, dict[str, Any]] = {}
    errors = []
    for index, entry in enumerate(given):
        try:
            if not isinstance(entry, dict) or not isinstance(entry.get("json"), dict):
                raise InvalidValueError("", "Each row needs an object in json.")
            row = parse_row(
                entry["json"], table.fields, ignore_unknown=ignore_unknown, json_text=True
            )
            if missing := [name for name in required if row[name] is None]:
                raise InvalidValueError(missing[0], f"Missing required field: {missing[0]}.")
            good[index] = row
        except InvalidValueError as error:
            errors.append(_error(index, "invalid", error.path, error.message))
    return good, errors


def _error(index: int, reason: str, location: str, message: str) -> dict[str, Any]:
    entry = {"reason": reason, "location": location, "debugInfo": "", "message": message}
    return {"index": index, "errors": [entry]}
