"""Readers of the file formats that an inbox takes; each row comes out, good or bad.

A row is a JSON object. One that cannot be used comes out with the reason instead, so that nothing
that was delivered can disappear.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from genaiops_dagster.prompts.rendering import CONTENTS

LARGEST_CELL = 10_000_000
"""Characters of a CSV cell; a longer one is most likely a quote that was never closed."""


class Row(NamedTuple):
    """One row of a file.

    Attributes:
        number: From 1; of the line in JSONL, of the record after the header, which is 0, in CSV.
        fields: The row as the text of a JSON object; None when it cannot be used.
        error: Why it cannot be used; None when it can.
    """

    number: int
    fields: str | None
    error: str | None


class _BadRowError(ValueError):
    """A row that cannot be used; the message is the reason."""


def read_rows(name: str, content: BinaryIO, output: str, system_instruction: str) -> Iterator[Row]:
    """Rows of a text file, by the ending of its name.

    Args:
        name: File or object name.
        content: The file.
        output: Field that the last turn of a row in Gemini's tuning form becomes.
        system_instruction: What such a row's own system instruction must be, if it has one.

    Raises:
        KeyError: the ending is not in `TEXT_FORMATS`.
    """

    def shaped(fields: dict[str, Any]) -> dict[str, Any]:
        is_tuning_form = isinstance(fields.get(CONTENTS), list) and output not in fields
        return _from_tuning_form(fields, output, system_instruction) if is_tuning_form else fields

    for number, found in TEXT_FORMATS[ending(name)](content):
        try:
            yield Row(number, _text_of(shaped(found())), None)
        except _BadRowError as error:
            yield Row(number, None, str(error))


def ending(name: str) -> str:
    """Ending of a file name, such as `.jsonl`."""
    return PurePosixPath(name).suffix.lower()


def _text_of(fields: Mapping[str, Any]) -> str:
    """Canonical text of a JSON object."""
    try:
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        text.encode()
    except UnicodeError:
        raise _BadRowError("wrong_encoding") from None
    except ValueError:
        raise _BadRowError("not_json") from None
    if "\\u0000" in text:
        raise _BadRowError("wrong_encoding")
    return text


_Found = Iterator[tuple[int, Callable[[], dict[str, Any]]]]


def _json_lines(content: BinaryIO) -> _Found:
    for number, line in enumerate(content, start=1):
        if line.strip():
            yield number, partial(_json_object, line)


def _json_object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeError:
        raise _BadRowError("wrong_encoding") from None
    except (ValueError, RecursionError):
        raise _BadRowError("not_json") from None
    if not isinstance(value, dict):
        raise _BadRowError("not_an_object")
    return value


def _csv(content: BinaryIO) -> _Found:
    """Records of a CSV file (RFC 4180) with a header line."""
    lines = io.TextIOWrapper(content, encoding="utf-8-sig", errors="surrogateescape", newline="")
    earlier = csv.field_size_limit(LARGEST_CELL)
    try:
        records = csv.reader(lines, strict=True)
        header: list[str] | None = None
        number = 0
        while True:
            try:
                cells = next(records)
            except StopIteration:
                return
            except csv.Error:
                yield number, _broken_record
                header, cells = header or [], []
            if header is None:
                header = cells
            elif cells:
                yield number, partial(_record, header, cells)
            number += 1
    finally:
        csv.field_size_limit(earlier)
        lines.detach()


def _broken_record() -> dict[str, Any]:
    raise _BadRowError("not_csv")


def _record(header: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(header) or len(set(header)) != len(header):
        raise _BadRowError("wrong_columns")
    return dict(zip(header, cells, strict=True))


TEXT_FORMATS: dict[str, Callable[[BinaryIO], _Found]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _csv,
}
"""Readers of text files, by ending."""

OBJECT_FORMATS = {*TEXT_FORMATS, ".parquet"}
"""Endings of the objects that an inbox takes."""


def _from_tuning_form(
    fields: Mapping[str, Any], output: str, system_instruction: str
) -> dict[str, Any]:
    """Fields of a row in Gemini's supervised tuning form: its turns, and the last one as output.

    Source: https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning-prepare
    """
    rest = {key: value for key, value in fields.items() if key != "systemInstruction"}
    own = fields.get("systemInstruction")
    if own is not None and _texts(_parts(own)) != [system_instruction]:
        raise _BadRowError("other_system_instruction")
    turns = fields[CONTENTS]
    roles = [turn.get("role") if isinstance(turn, dict) else None for turn in turns]
    expected = ["user", "model"] * (len(turns) // 2)
    if not turns or roles != expected:
        raise _BadRowError("wrong_roles")
    for turn in turns:
        _parts(turn)
    answer = _texts(_parts(turns[-1]))
    if len(answer) != len(_parts(turns[-1])):
        raise _BadRowError("wrong_parts")
    return {**rest, CONTENTS: turns[:-1], output: "".join(answer)}


def _parts(turn: Any) -> list[dict[str, Any]]:
    """Parts of a turn: texts, and files by their `gs://` address and type."""
    parts = turn.get("parts") if isinstance(turn, dict) else None
    if not isinstance(parts, list) or not parts or not all(map(_is_part, parts)):
        raise _BadRowError("wrong_parts")
    return parts


def _is_part(part: Any) -> bool:
    match part:
        case {"text": str(), **rest}:
            return not rest
        case {"fileData": {"fileUri": str(uri), "mimeType": str(kind), **others}, **rest}:
            return uri.startswith("gs://") and "/" in kind and not others and not rest
    return False


def _texts(parts: Iterable[Mapping[str, Any]]) -> list[str]:
    return [part["text"] for part in parts if "text" in part]
