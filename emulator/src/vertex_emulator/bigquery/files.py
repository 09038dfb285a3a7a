"""Files of load jobs: JSON lines, CSV and Parquet, read a batch at a time.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json, ...-csv and ...-parquet
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, ClassVar, Protocol

from vertex_emulator.bigquery import detection, writing
from vertex_emulator.bigquery.database import Cursor
from vertex_emulator.bigquery.types import Field, Schema, arrow_type, fields_of
from vertex_emulator.bigquery.values import InvalidValueError, parse_row, parse_value
from vertex_emulator.errors import ApiError

_GZIP = b"\x1f\x8b"
_SAMPLE_ROWS = 500


@dataclass(frozen=True)
class LoadOptions:
    """A load job's options for its files."""

    format: str = "CSV"
    autodetect: bool = False
    maximum_bad: int = 0
    ignore_unknown: bool = False
    skip_rows: int | None = None
    delimiter: str = ","
    quote: str | None = '"'
    null_marker: str = ""
    jagged_rows: bool = False
    encoding: str = "UTF-8"

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> LoadOptions:
        """The options in `configuration.load`.

        Raises:
            ApiError: 400 if one is wrong.
        """
        try:
            skip = configuration.get("skipLeadingRows")
            quote = configuration.get("quote", '"')
            return cls(
                format=str(configuration.get("sourceFormat") or "CSV"),
                autodetect=bool(configuration.get("autodetect")),
                maximum_bad=int(configuration.get("maxBadRecords") or 0),
                ignore_unknown=bool(configuration.get("ignoreUnknownValues")),
                skip_rows=None if skip is None else int(skip),
                delimiter=_character(configuration.get("fieldDelimiter") or ","),
                quote=_character(quote) if quote else None,
                null_marker=str(configuration.get("nullMarker") or ""),
                jagged_rows=bool(configuration.get("allowJaggedRows")),
                encoding=_encoding(configuration.get("encoding")),
            )
        except (TypeError, ValueError) as error:
            raise ApiError(400, f"Invalid load configuration: {error}") from error


def _character(value: Any) -> str:
    text = {"\\t": "\t", "tab": "\t"}.get(str(value), str(value))
    if len(text) != 1 or text in "\r\n":
        raise ValueError(f"{value!r} is not one character")
    return text


def _encoding(value: Any) -> str:
    name = str(value or "UTF-8").upper()
    if name not in ("UTF-8", "ISO-8859-1", "UTF-16BE", "UTF-16LE", "UTF-32BE", "UTF-32LE"):
        raise ValueError(f"encoding {name} is not one that BigQuery reads")
    return name


class FileReader(Protocol):
    """One file of a load job."""

    def __init__(self, file: BinaryIO, label: str, options: LoadOptions) -> None: ...

    def schema(self) -> Schema:
        """The REST schema that the file's rows suggest.

        Raises:
            ApiError: 400 if its schema is not known.
        """

    def append(self, cursor: Cursor, source: str, schema: Mapping[str, Any], bad: list[str]) -> int:
        """Add the rows to the relation `source`; how many there were.

        Args:
            cursor: Connection in a writing transaction.
            source: DuckDB relation with the columns of `schema`.
            schema: The table's REST schema.
            bad: Receives a message for each row that does not fit.

        Raises:
            ApiError: 400 if the file is not of its format, or too many rows do not fit.
        """


def _unzipped(file: BinaryIO) -> BinaryIO:
    file.seek(0)
    start = file.read(2)
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if start == _GZIP else file  # type: ignore[return-value]


class _RowReader:
    """What JSON and CSV files share: rows that are converted one by one."""

    kind: ClassVar[str]

    def __init__(self, file: BinaryIO, label: str, options: LoadOptions) -> None:
        self._file = file
        self._label = label
        self._options = options

    def _rows(self, fields: tuple[Field, ...]) -> Iterator[tuple[int, Any]]:
        """Line number and raw row."""
        raise NotImplementedError

    def _parsed(self, raw: Any, fields: tuple[Field, ...]) -> dict[str, Any]:
        raise NotImplementedError

    def append(self, cursor: Cursor, source: str, schema: Mapping[str, Any], bad: list[str]) -> int:
        fields = fields_of(schema["fields"])
        required = [field["name"] for field in schema["fields"] if field.get("mode") == "REQUIRED"]
        good = self._good(fields, required, bad)
        try:
            return writing.append(cursor, source, fields, good)
        except (UnicodeDecodeError, OSError, EOFError, csv.Error) as error:
            raise ApiError(400, f"Error while reading {self._label}: {error}") from error

    def _good(
        self, fields: tuple[Field, ...], required: list[str], bad: list[str]
    ) -> Iterator[dict[str, Any]]:
        for line, raw in self._rows(fields):
            try:
                row = self._parsed(raw, fields)
                if missing := [name for name in required if row[name] is None]:
                    raise InvalidValueError(missing[0], "Required field is missing.")
            except InvalidValueError as error:
                bad.append(
                    f"Error while reading data, error message: {self.kind} parsing error in row"
                    f" starting at line {line} of {self._label}: {error}"
                )
                if len(bad) > self._options.maximum_bad:
                    raise ApiError(400, bad[-1]) from error
                continue
            yield row


class JsonReader(_RowReader):
    """Newline-delimited JSON."""

    kind = "JSON"

    def schema(self) -> Schema:  # noqa: D102
        if not self._options.autodetect:
            raise ApiError(400, "No schema specified on job or table.")
        sample = [row for _, row in islice(self._rows(()), _SAMPLE_ROWS)]
        return detection.schema_of_objects(sample)

    def _rows(self, fields: tuple[Field, ...]) -> Iterator[tuple[int, Any]]:
        del fields
        for number, line in enumerate(_unzipped(self._file), start=1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError):
                    yield number, None

    def _parsed(self, raw: Any, fields: tuple[Field, ...]) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise InvalidValueError("", "The line is not a JSON object.")
        return parse_row(raw, fields, ignore_unknown=self._options.ignore_unknown)


class CsvReader(_RowReader):
    """Comma-separated values."""

    kind = "CSV"

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        text = io.TextIOWrapper(_unzipped(self._file), self._options.encoding, newline="")
        quote = self._options.quote
        reader = csv.reader(
            text,
            delimiter=self._options.delimiter,
            quotechar=quote or '"',
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            strict=True,
        )
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        finally:
            text.detach()

    def _header_rows(self) -> int:
        if self._options.skip_rows is not None:
            return self._options.skip_rows
        if not self._options.autodetect:
            return 0
        sample = [cells for _, cells in islice(self._lines(), _SAMPLE_ROWS)]
        return 1 if detection.has_header(sample) else 0

    def schema(self) -> Schema:  # noqa: D102
        if not self._options.autodetect:
            raise ApiError(400, "No schema specified on job or table.")
        sample = [cells for _, cells in islice(self._lines(), _SAMPLE_ROWS)]
        header = self._header_rows()
        return detection.schema_of_cells(sample, header)

    def _rows(self, fields: tuple[Field, ...]) -> Iterator[tuple[int, Any]]:
        del fields
        yield from islice(self._lines(), self._header_rows(), None)

    def _parsed(self, raw: list[str], fields: tuple[Field, ...]) -> dict[str, Any]:
        if len(raw) > len(fields) and not self._options.ignore_unknown:
            raise InvalidValueError("", f"Too many values in line: {len(raw)} > {len(fields)}.")
        if len(raw) < len(fields) and not self._options.jagged_rows:
            raise InvalidValueError("", f"Too few values in line: {len(raw)} < {len(fields)}.")
        cells = [*raw, *[self._options.null_marker] * (len(fields) - len(raw))]
        return {
            field.name: self._cell(cell, field) for field, cell in zip(fields, cells, strict=False)
        }

    def _cell(self, cell: str, field: Field) -> Any:
        if field.type.element is not None or field.type.name == "STRUCT":
            raise InvalidValueError(field.name, "CSV has no nested or repeated data.")
        is_text = field.type.name in ("STRING", "BYTES")
        if cell == self._options.null_marker and not (cell == "" and is_text):
            return None
        value = cell if is_text else cell.strip()
        return parse_value(value, field.type, field.name, json_text=True)


class ParquetReader:
    """Apache Parquet."""

    def __init__(self, file: BinaryIO, label: str, options: LoadOptions) -> None:
        self._file = file
        self._label = label
        self._options = options

    def _open(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self._file)
        except (pa.ArrowException, OSError) as error:
            raise ApiError(
                400, f"Error while reading {self._label}: it is not a Parquet file ({error})"
            ) from error

    def schema(self) -> Schema:  # noqa: D102
        return detection.schema_of_arrow(self._open().schema_arrow)

    def append(  # noqa: D102
        self, cursor: Cursor, source: str, schema: Mapping[str, Any], bad: list[str]
    ) -> int:
        import pyarrow as pa

        del bad
        fields = fields_of(schema["fields"])
        parquet = self._open()
        by_name = {name.lower(): name for name in parquet.schema_arrow.names}
        known = {field.name.lower() for field in fields}
        if not self._options.ignore_unknown and (unknown := set(by_name) - known):
            raise ApiError(
                400,
                f"Error while reading {self._label}: no such field: {by_name[min(unknown)]}",
            )
        target = pa.schema([pa.field(field.name, arrow_type(field.type)) for field in fields])
        count = 0
        for batch in parquet.iter_batches(writing.BATCH_ROWS):
            try:
                columns = [
                    _converted(batch.column(by_name[field.name.lower()]), field)
                    if field.name.lower() in by_name
                    else pa.nulls(batch.num_rows, arrow_type(field.type))
                    for field in fields
                ]
            except pa.ArrowException as error:
                raise ApiError(400, f"Error while reading {self._label}: {error}") from error
            writing.append_arrow(
                cursor, source, fields, pa.Table.from_arrays(columns, schema=target)
            )
            count += batch.num_rows
        return count


def _converted(column: Any, field: Field) -> Any:
    import pyarrow as pa

    wanted = arrow_type(field.type)
    if pa.types.is_timestamp(column.type) and pa.types.is_timestamp(wanted):
        # A time zone only says how to show a moment: instants are kept.
        unit = pa.timestamp("us", column.type.tz)
        column = column.cast(unit, safe=False)
    try:
        return column.cast(wanted)
    except pa.ArrowException as error:
        raise pa.ArrowInvalid(f"Field {field.name}: {error}") from error


READERS: dict[str, type[FileReader]] = {
    "NEWLINE_DELIMITED_JSON": JsonReader,
    "CSV": CsvReader,
    "PARQUET": ParquetReader,
}
