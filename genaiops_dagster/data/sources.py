"""Source rows: the rows of a query and of the inbox, as Parquet files of one form.

Every row is kept as one JSON object together with where it came from, so that one file holds
rows of different sources; what cannot be read is kept too, with the reason.
"""

# ruff: noqa: S608 - the only text put into SQL is the path of a temporary file

from __future__ import annotations

import io
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from uuid import uuid4

from genaiops_dagster.data.formats import TEXT_FORMATS, ending, read_rows
from genaiops_dagster.data.inbox import unreadable
from genaiops_dagster.data.scratch import GROUP_BYTES, GROUPS, fetch, in_small_groups
from genaiops_dagster.google_cloud.object_store import ObjectStore, StoredObject
from genaiops_dagster.google_cloud.warehouse import QueryEstimate, Warehouse
from genaiops_dagster.prompts.rendering import CONTENTS, template_variables
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.use_case import Prompt, UseCase

if TYPE_CHECKING:
    import duckdb

_GROUP_ROWS = 5_000
_DOWNLOADS = 8
_SMALL_BYTES = 4_000_000


class SourceError(RuntimeError):
    """A source that cannot be read as the use case says; the message names field and remedy."""


class SourceRow(NamedTuple):
    """One row as it was found.

    Attributes:
        source_uri: Address of the object, or `bigquery:` and the query's digest.
        source_generation: Generation of the object; None for a query.
        source_row: Row number in the object, from 1; None for a query or a whole object.
        fields: The row as the text of a JSON object; None when it cannot be used.
        error: Why the row, or the whole object, cannot be used; None when it can.
    """

    source_uri: str
    source_generation: int | None
    source_row: int | None
    fields: str | None
    error: str | None


def all_prompts(use_case: UseCase) -> list[Prompt]:
    """The prompt of the use case, and those of single candidates."""
    return [use_case.prompt, *use_case.prompts.values()]


def prompt_columns(prompt: Prompt) -> list[str]:
    """Variables that a prompt reads from a row."""
    return [*template_variables(prompt.template), *prompt.files]


def required_columns(use_case: UseCase) -> dict[str, str]:
    """Columns that rows must have, each with the field of the use case file that names it."""
    columns = use_case.columns
    named = {
        columns.variables.get(name, name): "prompt"
        for prompt in all_prompts(use_case)
        for name in prompt_columns(prompt)
    }
    named |= dict.fromkeys(columns.slices, "columns.slices")
    if columns.group:
        named[columns.group] = "columns.group"
    return named | {columns.output: "columns.output"}


def missing_columns(use_case: UseCase, found: Collection[str]) -> dict[str, str]:
    """Columns that rows must have and do not, each with the field that names it.

    Rows that bring their own turns need no columns of the prompt.
    """
    return {
        column: field
        for column, field in required_columns(use_case).items()
        if column not in found and not (CONTENTS in found and field == "prompt")
    }


def check_query(use_case: UseCase, warehouse: Warehouse) -> QueryEstimate:
    """Find out what the query would read and return, before it is paid for.

    Raises:
        SourceError: it would read more than the use case allows, or lacks a column.
    """
    source = use_case.source
    estimate = warehouse.estimate(source.sql or "", source.parameters, location=source.location)
    if estimate.bytes > source.maximum_bytes_billed:
        raise SourceError(
            f"{use_case.name}: source.sql would read {estimate.bytes:,} bytes, more than "
            f"source.maximum_bytes_billed = {source.maximum_bytes_billed:,}; "
            "select fewer columns or partitions, or raise the limit"
        )
    if missing := missing_columns(use_case, estimate.columns):
        named = ", ".join(f"{column!r} ({field})" for column, field in missing.items())
        raise SourceError(
            f"{use_case.name}: the result of source.sql has no column {named}; "
            f"it has {', '.join(estimate.columns)}"
        )
    return estimate


def export_query(
    use_case: UseCase,
    store: ObjectStore,
    warehouse: Warehouse,
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
) -> int:
    """Write the query's rows to Parquet files in `folder`; how many bytes were billed.

    BigQuery writes the result to the bucket by itself; it is read from there file by file.
    """
    source = use_case.source
    origin = f"bigquery:{fingerprint(source.sql, _plain(source.parameters))[:16]}"
    prefix = Layout(use_case.name).export(uuid4().hex)
    try:
        billed = warehouse.export(
            source.sql or "",
            source.parameters,
            store.uri(f"{prefix}*.parquet"),
            maximum_bytes_billed=source.maximum_bytes_billed,
            location=source.location,
        )
        for found in store.list(prefix):
            _convert(connection, store, found, folder, origin=origin)
    finally:
        for found in store.list(prefix):
            store.delete(found.name)
    return billed


def _plain(parameters: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items()}


def read_objects(
    use_case: UseCase,
    store: ObjectStore,
    objects: Sequence[StoredObject],
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
) -> None:
    """Write the rows of objects to Parquet files in `folder`; an unreadable one is one bad row."""
    import duckdb

    texts, bad = [], []
    for found in objects:
        if reason := unreadable(found):
            bad.append(SourceRow(found.uri, found.generation, None, None, reason))
        elif ending(found.name) in TEXT_FORMATS:
            texts.append(found)
        else:
            try:
                _convert(connection, store, found, folder)
            except duckdb.OutOfMemoryException:
                raise
            except duckdb.Error:
                bad.append(SourceRow(found.uri, found.generation, None, None, "not_parquet"))
    rows = itertools.chain(bad, _text_rows(use_case, store, texts))
    write_source_rows(rows, folder / "texts.parquet")


def _text_rows(
    use_case: UseCase, store: ObjectStore, objects: Iterable[StoredObject]
) -> Iterator[SourceRow]:
    output, instruction = use_case.columns.output, use_case.prompt.system_instruction
    for found, content in _contents(store, objects):
        with content:
            for row in read_rows(found.name, content, output, instruction):
                yield SourceRow(found.uri, found.generation, row.number, row.fields, row.error)


def _contents(
    store: ObjectStore, objects: Iterable[StoredObject]
) -> Iterator[tuple[StoredObject, BinaryIO]]:
    """Objects with their content, in order; small ones are fetched some at a time."""

    def download(found: StoredObject) -> BinaryIO:
        stream = store.open(found.name, found.generation)
        if found.size > _SMALL_BYTES:
            return stream
        with stream:
            return io.BytesIO(stream.read())

    remaining = iter(objects)
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        while some := list(islice(remaining, 4 * _DOWNLOADS)):
            yield from zip(some, pool.map(download, some), strict=True)


def _convert(
    connection: duckdb.DuckDBPyConnection,
    store: ObjectStore,
    found: StoredObject,
    folder: Path,
    origin: str | None = None,
) -> None:
    """Turn an object in Parquet format into source rows; an export's rows have no number."""
    target = folder / f"{uuid4().hex}.parquet"
    local = folder / "download"
    position = (origin, None, None) if origin else (found.uri, found.generation, 1)
    try:
        local = in_small_groups(fetch(store, found.name, local, found.generation))
        connection.execute(
            f"""
            COPY (
              SELECT $uri::VARCHAR AS source_uri, $generation::BIGINT AS source_generation,
                $first::BIGINT + number AS source_row,
                CASE WHEN json_valid(text) THEN text END AS fields,
                CASE WHEN NOT json_valid(text) THEN 'not_json' END AS error
              FROM (SELECT file_row_number AS number, to_json(record)::VARCHAR AS text
                    FROM read_parquet('{local}') AS record)
            ) TO '{target}' (FORMAT parquet, COMPRESSION zstd, {GROUPS})
            """,
            dict(zip(("uri", "generation", "first"), position, strict=True)),
        )
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        local.unlink(missing_ok=True)


def write_source_rows(rows: Iterable[SourceRow], target: Path) -> None:
    """Write rows to a Parquet file, a batch at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("source_uri", pa.string()),
            ("source_generation", pa.int64()),
            ("source_row", pa.int64()),
            ("fields", pa.string()),
            ("error", pa.string()),
        ]
    )
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in _groups(rows):
            arrays = [
                pa.array(column, field.type)
                for column, field in zip(zip(*batch, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.table(arrays, schema=schema))


def _groups(rows: Iterable[SourceRow]) -> Iterator[list[SourceRow]]:
    """Rows in groups of a few megabytes, and of a few thousand rows at most."""
    group: list[SourceRow] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row.fields or "")
        if size >= GROUP_BYTES or len(group) == _GROUP_ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group
