"""The three sets as JSONL files, written from the examples."""

# ruff: noqa: S608 - SQL is put together from constants and from the path of a temporary file

from __future__ import annotations

import contextlib
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from genaiops_dagster.data.scratch import one_ahead, rows_in
from genaiops_dagster.prompts.rendering import CONTENTS, plain_pieces, tuning_line
from genaiops_dagster.records.data import SplitName
from genaiops_dagster.records.prompts import PromptVersion

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

SIDES: tuple[SplitName, ...] = get_args(SplitName)

_BATCH_ROWS = 1_000

_NO_TEXT = ["BIGINT", "UBIGINT", "DOUBLE", "BOOLEAN", "ARRAY", "OBJECT"]
"""Types of JSON values, as DuckDB calls them, that are more than a text or nothing."""

_RECORD_LINE = """
  '{"id":', to_json(id), ',"group":', to_json("group"), ',"slices":', slices, ',"variables":',
  variables, ',"output":', to_json(output), '}'
"""
"""Parts of an `Example` record; slices and variables are JSON already."""


class SplitFile(NamedTuple):
    """One set as a local file.

    Attributes:
        path: JSONL file.
        digest: sha256 of its content.
        rows: Its lines.
        characters: Characters of all inputs and outputs together.
    """

    path: Path
    digest: str
    rows: int
    characters: int


def write_splits(
    connection: duckdb.DuckDBPyConnection, examples: Path, prompt: PromptVersion, folder: Path
) -> dict[SplitName, SplitFile]:
    """Write the three sets to `folder`: tuning lines, and `Example` records for evaluation.

    Raises:
        PromptError: the template cannot be rendered for a row.
    """
    plain = _plain_line(prompt)
    at_once = min(_BATCH_ROWS, rows_in(examples))
    files: dict[SplitName, SplitFile] = {}
    for side in SIDES:
        path = folder / f"{side}.jsonl"
        rows = f"(FROM read_parquet('{examples}') WHERE side = '{side}')"
        if side == "evaluation":
            written = _write_lines(connection, rows, _RECORD_LINE, "true", path, at_once)
        else:
            written = _write_lines(connection, rows, *plain, path, at_once) if plain else None
        files[side] = written or _write_rendered_lines(connection, rows, prompt, path)
    return files


def _plain_line(prompt: PromptVersion) -> tuple[str, str] | None:
    """SQL for the tuning line of a row that needs no more than text put together, if that will do.

    A number or a list is written by Python and by SQL in different ways, so that only texts will
    do; a test compares the result with the renderer's.

    Returns:
        The parts of a line, and whether a row is such a row; None if no row of this prompt is.
    """
    pieces = plain_pieces(prompt.template)
    if pieces is None or prompt.files:
        return None
    variables = [_path(name) for name, is_variable in pieces if is_variable]
    kinds = f"json_type(variables, [{', '.join([_path(CONTENTS), *variables])}])"
    plain = f"NOT list_has_any({kinds}, {_NO_TEXT})"
    text = ", ".join(
        f"json_extract_string(variables, {_path(piece)})" if is_variable else _literal(piece)
        for piece, is_variable in pieces
    )
    frame = tuning_line(prompt, {CONTENTS: []}, "")
    del frame["contents"]
    rest = json.dumps(frame, ensure_ascii=False, separators=(",", ":")).removeprefix("{")
    parts = [
        _literal('{"contents":[{"role":"user","parts":[{"text":'),
        f"to_json(concat({text}))",
        _literal('}]},{"role":"model","parts":[{"text":'),
        "to_json(output)",
        _literal("}]}]," + rest if frame else "}]}]}"),
    ]
    return ", ".join(parts), plain


def _path(name: str) -> str:
    return _literal("/" + name)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _write_lines(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    line: str,
    plain: str,
    path: Path,
    at_once: int,
) -> SplitFile | None:
    """Write a line for each row, in the order of the rows; None if one of them is not plain.

    All is done in one pass over the rows, which takes as long as reading them.

    Args:
        connection: Reads the rows.
        rows: Table expression for the examples of one side.
        line: SQL for the parts of a line.
        plain: SQL for whether a row can be written so.
        path: The file.
        at_once: Rows to hold in memory.
    """
    import pyarrow.compute as pc

    connection.execute("SET preserve_insertion_order = true")
    query = f"""
        SELECT concat({line}, chr(10)), length(variables) + length(output), {plain} FROM {rows}"""
    digest, count, characters = hashlib.sha256(), 0, 0

    def append(batch: pa.RecordBatch) -> tuple[int, int, bool]:
        texts, lengths, fit = batch.columns
        _, offsets, content = texts.buffers()
        bounds = memoryview(offsets).cast("i")
        lines = content[bounds[texts.offset] : bounds[texts.offset + len(texts)]]
        digest.update(lines)
        file.write(lines)
        return len(texts), pc.sum(lengths).as_py(), pc.all(fit).as_py()

    with (
        path.open("wb") as file,
        contextlib.closing(connection.sql(query).to_arrow_reader(at_once)) as batches,
        ThreadPoolExecutor(1) as pool,
    ):
        for some, length, fit in one_ahead(pool, append, batches):
            if not fit:
                return None
            count += some
            characters += length
    return SplitFile(path, digest.hexdigest(), count, characters)


def _write_rendered_lines(
    connection: duckdb.DuckDBPyConnection, rows: str, prompt: PromptVersion, path: Path
) -> SplitFile:
    """Write tuning lines by the renderer itself, row by row."""
    digest, count, characters = hashlib.sha256(), 0, 0
    with path.open("wb") as file:
        found = connection.execute(f"SELECT variables, output FROM {rows} ORDER BY position")
        while batch := found.fetchmany(_BATCH_ROWS):
            for variables, output in batch:
                made = tuning_line(prompt, json.loads(variables), output)
                line = json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n"
                digest.update(line.encode())
                file.write(line.encode())
                characters += len(variables) + len(output)
            count += len(batch)
    return SplitFile(path, digest.hexdigest(), count, characters)
