"""The three sets as JSONL files, written from the examples."""

# ruff: noqa: S608 - SQL is put together from constants and from the path of a temporary file

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from genaiops_dagster.data.bulk import file_digest, number
from genaiops_dagster.data.records import SplitName
from genaiops_dagster.prompts.records import PromptVersion
from genaiops_dagster.prompts.rendering import CONTENTS, plain_pieces, tuning_line

if TYPE_CHECKING:
    import duckdb

SIDES: tuple[SplitName, ...] = get_args(SplitName)

_BATCH_ROWS = 5_000

_RECORD_LINE = """
  json_object('id', id, 'group', "group", 'slices', slices::JSON, 'variables', variables::JSON,
    'output', output)
"""

_TURN = """'{{"role":"{role}","parts":[{{"text":' || to_json({text})::VARCHAR || '}}]}}'"""


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
    files: dict[SplitName, SplitFile] = {}
    for side in SIDES:
        path = folder / f"{side}.jsonl"
        rows = f"(FROM read_parquet('{examples}') WHERE side = '{side}')"
        if side == "evaluation":
            _write_lines(connection, f"SELECT {_RECORD_LINE} FROM {rows}", path)
        elif line := _plain_line(connection, prompt, rows):
            _write_lines(connection, f"SELECT {line} FROM {rows}", path)
        else:
            _write_rendered_lines(connection, prompt, rows, path)
        files[side] = SplitFile(
            path,
            file_digest(path),
            number(connection, f"SELECT count(*) FROM {rows}"),
            number(connection, f"SELECT sum(length(variables) + length(output)) FROM {rows}"),
        )
    return files


def _plain_line(
    connection: duckdb.DuckDBPyConnection, prompt: PromptVersion, rows: str
) -> str | None:
    """SQL for the tuning lines of rows that need no more than text put together, else None.

    A number or a list is written by Python and by SQL in different ways, so that only texts will
    do; a test holds the result against the renderer's.
    """
    pieces = plain_pieces(prompt.template)
    if pieces is None or prompt.files:
        return None
    variables = [name for name, is_variable in pieces if is_variable]
    kinds = " OR ".join(
        f"json_type(variables, {_path(name)}) NOT IN ('VARCHAR', 'NULL')" for name in variables
    )
    others = f"json_array_length(variables, '/{CONTENTS}') > 0" + (f" OR {kinds}" if kinds else "")
    if number(connection, f"SELECT count(*) FROM {rows} WHERE {others}"):
        return None
    text = ", ".join(
        f"json_extract_string(variables, {_path(piece)})" if is_variable else _literal(piece)
        for piece, is_variable in pieces
    )
    frame = tuning_line(prompt, {CONTENTS: []}, "")
    del frame["contents"]
    rest = json.dumps(frame, ensure_ascii=False, separators=(",", ":")).removeprefix("{")
    user, model = (
        _TURN.format(role=role, text=value)
        for role, value in (("user", f"concat({text})"), ("model", "output"))
    )
    start, end = _literal('{"contents":['), _literal("]," + rest if frame else "]}")
    return f"{start} || {user} || ',' || {model} || {end}"


def _path(name: str) -> str:
    return _literal("/" + name)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _write_lines(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write the one text column of a query, a line each, in the order of its rows."""
    connection.execute("SET preserve_insertion_order = true")
    lines = connection.sql(f"SELECT line::VARCHAR || chr(10) FROM ({query}) AS text (line)")
    with path.open("wb") as file:
        for batch in lines.to_arrow_reader(_BATCH_ROWS):
            texts = batch.column(0)
            _, offsets, content = texts.buffers()
            bounds = memoryview(offsets).cast("i")
            file.write(content[bounds[texts.offset] : bounds[texts.offset + len(texts)]])


def _write_rendered_lines(
    connection: duckdb.DuckDBPyConnection, prompt: PromptVersion, rows: str, path: Path
) -> None:
    """Write tuning lines by the renderer itself, row by row."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        found = connection.execute(f"SELECT variables, output FROM {rows} ORDER BY position")
        while batch := found.fetchmany(_BATCH_ROWS):
            for variables, output in batch:
                line = tuning_line(prompt, json.loads(variables), output)
                json.dump(line, file, ensure_ascii=False, separators=(",", ":"))
                file.write("\n")
