"""Files from this machine into the inbox of a use case, looked at before they are uploaded."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from genaiops_dagster.data.formats import OBJECT_FORMATS, TEXT_FORMATS, ending, read_rows
from genaiops_dagster.data.sources import missing_columns, required_columns
from genaiops_dagster.use_case import UseCase


class DeliveryError(ValueError):
    """A file that cannot be delivered; the message names file, column and remedy."""


class Inspection(NamedTuple):
    """The content of a file.

    Attributes:
        path: The file.
        rows: All its rows.
        unusable: Numbers of the rows that cannot be read, by reason.
    """

    path: Path
    rows: int
    unusable: dict[str, list[int]]


def inspect(use_case: UseCase, path: Path) -> Inspection:
    """Read a whole file as the use case will.

    Raises:
        DeliveryError: it is missing, of another format, without rows, or lacks a column that the
            use case names.
    """
    if ending(path.name) not in OBJECT_FORMATS:
        formats = ", ".join(sorted(OBJECT_FORMATS))
        raise DeliveryError(f"{path}: the name has to end with its format, one of {formats}")
    try:
        found, columns = (
            _inspect_text(use_case, path)
            if ending(path.name) in TEXT_FORMATS
            else _inspect_parquet(path)
        )
    except OSError as error:
        raise DeliveryError(f"{path}: cannot be read ({error.strerror or error})") from error
    if found.rows == sum(map(len, found.unusable.values())):
        reasons = ", ".join(found.unusable) or "it is empty"
        raise DeliveryError(f"{path}: holds no row that can be used ({reasons})")
    if missing := missing_columns(use_case, columns):
        named = ", ".join(f"{column!r} ({field})" for column, field in missing.items())
        raise DeliveryError(
            f"{path}: no column {named}; it has {', '.join(sorted(columns))}. "
            f"Rename the column in the file, or say in {use_case.name}'s file which one is meant"
        )
    return found


def _inspect_text(use_case: UseCase, path: Path) -> tuple[Inspection, set[str]]:
    output, instruction = use_case.columns.output, use_case.prompt.system_instruction
    required = required_columns(use_case)
    rows, columns = 0, set[str]()
    unusable: dict[str, list[int]] = {}
    with path.open("rb") as content:
        for row in read_rows(path.name, content, output, instruction):
            rows += 1
            if row.fields is None:
                unusable.setdefault(row.error or "", []).append(row.number)
            elif not required.keys() <= columns:
                columns.update(json.loads(row.fields))
    return Inspection(path, rows, unusable), columns


def _inspect_parquet(path: Path) -> tuple[Inspection, set[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return Inspection(path, file.metadata.num_rows, {}), set(file.schema_arrow.names)
    except pa.ArrowInvalid as error:
        raise DeliveryError(f"{path}: is not a Parquet file ({error})") from error


def object_names(use_case: UseCase, files: Sequence[Path], now: dt.datetime) -> list[str]:
    """Name that each file gets in the bucket.

    A file keeps its name, so that a corrected one replaces what it corrects. Where batches wait for
    a marker or names sort by time, each delivery has a folder named after the time instead.

    Raises:
        DeliveryError: two files would get the same name.
    """
    source = use_case.source
    by_time = source.completion_marker is not None or source.names_sort_by_time
    prefix = use_case.inbox + (f"{now:%Y-%m-%dT%H%M%S.%fZ}/" if by_time else "")
    for name, count in Counter(file.name for file in files).items():
        if count > 1:
            raise DeliveryError(f"{count} files are called {name!r}: rename them, or deliver one")
    return [prefix + file.name for file in files]


def marker_name(use_case: UseCase, delivered: str) -> str | None:
    """Name of the object that completes the batch of an object; None where none is waited for."""
    marker = use_case.source.completion_marker
    return f"{delivered.rpartition('/')[0]}/{marker}" if marker else None
