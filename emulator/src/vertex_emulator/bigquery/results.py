"""Rows of tables and of query results, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vertex_emulator.bigquery import wire
from vertex_emulator.bigquery.database import Cursor, Database
from vertex_emulator.bigquery.http import Call
from vertex_emulator.bigquery.jobs import Job
from vertex_emulator.bigquery.outcomes import ResultRows
from vertex_emulator.bigquery.shapes import is_number
from vertex_emulator.bigquery.types import Field, schema_of
from vertex_emulator.errors import ApiError

# A page ends at this many rows or characters, whichever comes first; Google's end at 10 MB.
_PAGE_ROWS = 20_000
_PAGE_CHARACTERS = 10_000_000
_FETCHED = 1000


def timestamp_format(options: Mapping[str, Any]) -> wire.Timestamps:
    """The form of TIMESTAMP values that `formatOptions` asks for."""
    if str(options.get("timestampOutputFormat", "")).upper() == "ISO8601_STRING":
        return wire.Timestamps.ISO8601
    wants_int64 = (
        str(options.get("useInt64Timestamp", "")).lower() == "true"
        or str(options.get("timestampOutputFormat", "")).upper() == "INT64"
    )
    return wire.Timestamps.INT64 if wants_int64 else wire.Timestamps.FLOAT64


def first_row(call: Call) -> int:
    """The row that a page begins at, by `pageToken` or `startIndex`.

    Raises:
        ApiError: 400 if one is not a number.
    """
    token = call.query.get("pageToken")
    if token is None:
        return call.integer("startIndex") or 0
    if not is_number(token) or int(token) < 0:
        raise ApiError(400, "Invalid page token.")
    return int(token)


def read_page(
    cursor: Cursor,
    relation: str,
    fields: Sequence[Field],
    start: int,
    limit: int | None,
    timestamps: wire.Timestamps,
) -> list[dict[str, Any]]:
    """Rows in the REST form, from `start` on, as many as a page holds but at most `limit`."""
    wanted = min(_PAGE_ROWS, _PAGE_ROWS if limit is None else limit)
    if not fields or wanted == 0:
        return []
    sql = wire.plain_select(relation, fields, f"LIMIT {wanted} OFFSET {start}")
    result = cursor.execute(sql)
    shown: list[dict[str, Any]] = []
    characters = 0
    while characters < _PAGE_CHARACTERS and (batch := result.fetchmany(_FETCHED)):
        for row in batch:
            characters += sum(len(cell) for cell in row if isinstance(cell, str)) + 20
        shown += wire.rest_rows(batch, fields, timestamps)
    return shown


def answer(
    database: Database, job: Job, *, start: int, limit: int | None, timestamps: wire.Timestamps
) -> dict[str, Any]:
    """The answer of `getQueryResults` and `jobs.query`.

    Raises:
        ApiError: what the query did wrong; 404 if its rows were given up.
    """
    shown: dict[str, Any] = {
        "kind": "bigquery#getQueryResultsResponse",
        "jobReference": job.document["jobReference"],
        "jobComplete": job.done.is_set(),
    }
    if not job.done.is_set():
        return shown
    if job.error is not None:
        raise job.error
    outcome = job.outcome
    part = job.document["statistics"]["query"]
    shown |= {
        "cacheHit": False,
        "totalBytesProcessed": part["totalBytesProcessed"],
        "location": "US",
        "statementType": part.get("statementType"),
    }
    if outcome is None or outcome.rows is None:
        if "schema" in part:
            raise ApiError(404, f"The rows of the job {job.key[1]} are no longer there.")
        shown |= {"totalRows": "0", "schema": {"fields": []}}
        if "numDmlAffectedRows" in part:
            shown |= {key: part[key] for key in ("numDmlAffectedRows", "dmlStats")}
        return {key: value for key, value in shown.items() if value is not None}
    return {**shown, **_rows(database, outcome.rows, start, limit, timestamps)}


def _rows(
    database: Database,
    rows: ResultRows,
    start: int,
    limit: int | None,
    timestamps: wire.Timestamps,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "schema": {"fields": schema_of(rows.fields)},
        "totalRows": str(rows.count),
    }
    if limit == 0:
        return found
    with database.reading() as cursor:
        shown = read_page(cursor, rows.relation, rows.fields, start, limit, timestamps)
    if shown:
        found["rows"] = shown
    if start + len(shown) < rows.count:
        found["pageToken"] = str(start + len(shown))
    return found
