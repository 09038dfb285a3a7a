"""The prompts of a day, and the samples of the use case file."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from genaiops_dagster.data.formats import OBJECT_FORMATS, TEXT_FORMATS, ending
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.google_cloud.warehouse import Warehouse

SAMPLES = "samples"
"""In place of a day: the samples of the use case file."""


class PromptSourceError(RuntimeError):
    """The prompts of a day cannot be read; the message names the field and the remedy."""


class DayPrompt(Record):
    """A prompt to be answered.

    Attributes:
        id: Of the row, or its position.
        source: `gs://` address of its object, `bigquery:` and the query's digest, or `samples`.
        row: Row in the source, from 1; 0 where the whole object cannot be read.
        variables: Values of the template's variables, the use case's defaults included; None where
            they cannot be read.
        error: Why they cannot.
    """

    id: str
    source: str
    row: int
    variables: dict[str, Any] | None
    error: str | None = None


def samples(use_case: UseCase) -> list[DayPrompt]:
    """The samples of the use case file."""
    return [
        _day_prompt(use_case, SAMPLES, number, row)
        for number, row in enumerate(use_case.serving.samples, start=1)
    ]


def day_prefix(use_case: UseCase, day: dt.date) -> str:
    """Object prefix of a day's prompts, with its trailing slash."""
    inbox = use_case.serving.daily.inbox or Layout(use_case.name).prompts
    return f"{inbox.strip('/')}/{day.isoformat()}/"


def prompts_of_day(
    use_case: UseCase, day: dt.date, store: ObjectStore, warehouse: Warehouse
) -> list[DayPrompt]:
    """All prompts of a day: those of objects in order of name, then those of the query.

    Raises:
        PromptSourceError: the query would read more than the use case allows.
    """
    return [
        *_from_inbox(use_case, day, store),
        *(_from_query(use_case, day, warehouse) if use_case.serving.daily.sql else ()),
    ]


def _from_inbox(use_case: UseCase, day: dt.date, store: ObjectStore) -> Iterator[DayPrompt]:
    for found in store.list(day_prefix(use_case, day)):
        if found.name.endswith("/"):
            continue
        if ending(found.name) not in OBJECT_FORMATS:
            known = ", ".join(sorted(OBJECT_FORMATS))
            yield _unreadable(found.uri, 0, f"unknown format; {known} are read")
            continue
        content = io.BytesIO(store.read(found.name) or b"")
        if ending(found.name) == ".parquet":
            yield from _from_parquet(use_case, found.uri, content)
            continue
        for number, row in TEXT_FORMATS[ending(found.name)](content):
            try:
                fields = row()
            except ValueError as error:
                yield _unreadable(found.uri, number, str(error))
            else:
                yield _day_prompt(use_case, found.uri, number, fields)


def _from_parquet(use_case: UseCase, uri: str, content: io.BytesIO) -> Iterator[DayPrompt]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(content).to_pylist()
    except (pa.ArrowException, OSError) as error:
        yield _unreadable(uri, 0, f"not a Parquet file: {error}")
        return
    for number, fields in enumerate(rows, start=1):
        yield _day_prompt(use_case, uri, number, _plain(fields))


def _from_query(use_case: UseCase, day: dt.date, warehouse: Warehouse) -> Iterator[DayPrompt]:
    daily = use_case.serving.daily
    parameters = {**daily.parameters, "day": day}
    sql = daily.sql or ""
    estimate = warehouse.estimate(sql, parameters)
    if estimate.bytes > daily.maximum_bytes_billed:
        raise PromptSourceError(
            f"{use_case.name}: serving.daily.sql would read {estimate.bytes:,} bytes, more than "
            f"serving.daily.maximum_bytes_billed = {daily.maximum_bytes_billed:,}; "
            "select fewer columns or partitions, or raise the limit"
        )
    source = f"bigquery:{fingerprint(sql, _plain(parameters))[:16]}"
    rows = warehouse.query(sql, parameters, maximum_bytes_billed=daily.maximum_bytes_billed)
    for number, row in enumerate(rows, start=1):
        yield _day_prompt(use_case, source, number, _plain(dict(row)))


def _day_prompt(use_case: UseCase, source: str, number: int, fields: dict[str, Any]) -> DayPrompt:
    named = fields.get(use_case.columns.id)
    place = source.rpartition("/")[2]
    return DayPrompt(
        id=f"{place}#{number}" if named is None else str(named),
        source=source,
        row=number,
        variables={**use_case.serving.defaults, **fields},
    )


def _unreadable(source: str, number: int, reason: str) -> DayPrompt:
    place = source.rpartition("/")[2]
    return DayPrompt(
        id=f"{place}#{number}", source=source, row=number, variables=None, error=reason
    )


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """The same values in JSON: dates as text."""
    plain: dict[str, Any] = json.loads(json.dumps(fields, default=str))
    return plain
