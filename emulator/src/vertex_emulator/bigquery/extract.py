"""Rows to files in Cloud Storage: EXPORT DATA and extract jobs.

https://cloud.google.com/bigquery/docs/exporting-data
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from vertex_emulator.bigquery.database import Cursor
from vertex_emulator.bigquery.sql.options import ExportOptions
from vertex_emulator.bigquery.types import Field, Type, member_name, quoted
from vertex_emulator.bigquery.wire import plain_select
from vertex_emulator.errors import ApiError
from vertex_emulator.storage.service import StorageService

_BATCH_ROWS = 10_000
_CHUNK_BYTES = 1024 * 1024
_NUMBER = "000000000000"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONTENT_TYPES = {"CSV": "text/csv", "JSON": "application/json"}


@dataclass(frozen=True)
class Written:
    """How many files and rows were written."""

    count: int
    rows: int


def write_files(
    cursor: Cursor,
    storage: StorageService,
    sql: str,
    bindings: Mapping[str, Any],
    fields: Sequence[Field],
    options: ExportOptions,
) -> Written:
    """Write the rows of a query to one object, whose name has the number 0 in place of `*`.

    Raises:
        ApiError: 400 if the format or compression is not served, or the file exists and must not
            be replaced; 404 if there is no such bucket.
    """
    writers: dict[str, Callable[..., int]] = {
        "CSV": _write_csv,
        "JSON": _write_json,
        "PARQUET": _write_parquet,
    }
    if options.format not in writers:
        raise ApiError(400, f"The emulator does not export to the format {options.format!r}.")
    uri = options.uri.replace("*", _NUMBER)
    if not uri.startswith("gs://") or "/" not in uri[5:]:
        raise ApiError(400, f"Invalid destination URI {options.uri!r}: gs://bucket/name is needed.")
    prefix = options.uri.partition("*")[0]
    if not options.overwrite and storage.list_uris(prefix):
        raise ApiError(
            400, f"Invalid value: Destination {prefix} is not empty, and overwrite is false."
        )
    with tempfile.TemporaryFile() as file:
        count = writers[options.format](cursor, sql, bindings, fields, options, file)
        file.seek(0)
        content_type = _CONTENT_TYPES.get(options.format, "application/octet-stream")
        storage.write_stream(uri, _chunks(file), content_type)
    return Written(1, count)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _write_parquet(
    cursor: Cursor,
    sql: str,
    bindings: Mapping[str, Any],
    fields: Sequence[Field],
    options: ExportOptions,
    file: BinaryIO,
) -> int:
    import pyarrow.parquet as pq

    columns = ", ".join(
        f"CAST({quoted(field.name)} AS VARCHAR) AS {quoted(field.name)}"
        if field.type.name == "JSON"
        else quoted(field.name)
        for field in fields
    )
    compression = {"NONE": "none", "GZIP": "gzip", "SNAPPY": "snappy", "ZSTD": "zstd"}
    if options.compression not in compression:
        raise ApiError(400, f"Compression {options.compression} is not served for Parquet.")
    reader = cursor.execute(
        f"SELECT {columns} FROM ({sql})",
        dict(bindings),
    ).to_arrow_reader(_BATCH_ROWS)
    count = 0
    with pq.ParquetWriter(
        file, reader.schema, compression=compression[options.compression]
    ) as writer:
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def _plain_rows(
    cursor: Cursor, sql: str, bindings: Mapping[str, Any], fields: Sequence[Field]
) -> Iterator[tuple[Any, ...]]:
    result = cursor.execute(plain_select(f"({sql})", fields), dict(bindings))
    while batch := result.fetchmany(_BATCH_ROWS):
        yield from batch


def _text_file(file: BinaryIO, options: ExportOptions) -> io.TextIOWrapper:
    if options.compression not in ("NONE", "GZIP"):
        raise ApiError(
            400, f"Compression {options.compression} is not served for {options.format}."
        )
    target = gzip.GzipFile(fileobj=file, mode="wb") if options.compression == "GZIP" else file
    return io.TextIOWrapper(target, "utf-8", newline="")


def _finish(text_file: io.TextIOWrapper, file: BinaryIO) -> None:
    text_file.flush()
    target = text_file.detach()
    if target is not file:
        target.close()


def _write_csv(
    cursor: Cursor,
    sql: str,
    bindings: Mapping[str, Any],
    fields: Sequence[Field],
    options: ExportOptions,
    file: BinaryIO,
) -> int:
    for field in fields:
        if field.type.element is not None or field.type.name == "STRUCT":
            raise ApiError(
                400, f"Operation cannot be performed on a nested schema. Field: {field.name}"
            )
    shown = [_csv_cell(field.type) for field in fields]
    text_file = _text_file(file, options)
    writer = csv.writer(text_file, delimiter=options.delimiter, lineterminator="\n")
    if options.header:
        writer.writerow([field.name for field in fields])
    count = 0
    for row in _plain_rows(cursor, sql, bindings, fields):
        writer.writerow([cell(value) for cell, value in zip(shown, row, strict=True)])
        count += 1
    _finish(text_file, file)
    return count


def _csv_cell(type_: Type) -> Callable[[Any], Any]:
    if type_.name == "TIMESTAMP":
        return lambda value: None if value is None else _utc_text(value)
    if type_.name == "BOOL":
        return lambda value: None if value is None else str(value).lower()
    return lambda value: value


def _write_json(
    cursor: Cursor,
    sql: str,
    bindings: Mapping[str, Any],
    fields: Sequence[Field],
    options: ExportOptions,
    file: BinaryIO,
) -> int:
    text_file = _text_file(file, options)
    count = 0
    for row in _plain_rows(cursor, sql, bindings, fields):
        line = {
            field.name: _json_value(value, field.type)
            for field, value in zip(fields, row, strict=True)
            if value is not None
        }
        text_file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        count += 1
    _finish(text_file, file)
    return count


def _json_value(value: Any, type_: Type) -> Any:
    if value is None:
        return None
    if type_.element is not None:
        return [_json_value(item, type_.element) for item in value]
    if type_.name == "STRUCT":
        names = [member_name(type_, index) for index in range(len(type_.fields))]
        return {
            name: _json_value(value[name], field.type)
            for name, field in zip(names, type_.fields, strict=True)
            if value[name] is not None
        }
    if type_.name == "INT64":
        return str(value)
    if type_.name == "TIMESTAMP":
        return _utc_text(value)
    return json.loads(value) if type_.name == "JSON" else value


def _utc_text(microseconds: int) -> str:
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.replace(tzinfo=None).isoformat(" ") + " UTC"
