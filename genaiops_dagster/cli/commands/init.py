"""`genaiops init`: a first use case file, from a data file or a table, with a few questions."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from genaiops_dagster.cli.commands.schema import use_case_schema
from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.scaffold import (
    Column,
    Guess,
    ScaffoldError,
    describe,
    guess_roles,
    instruction_of_turns,
    literal,
    read_sample,
    use_case_text,
)
from genaiops_dagster.cli.session import SessionError, open_session
from genaiops_dagster.cli.terminal import Terminal, ask, styled
from genaiops_dagster.cli.umask import files_of_the_user
from genaiops_dagster.use_case import EXTRA_FOLDER_VARIABLE, UseCaseError, load_use_case

_TABLE = re.compile(r"[\w-]+\.\w+\.[\w-]+")
_SHOWN = 48


def init(
    data: Annotated[
        str | None,
        typer.Argument(help="A CSV, JSONL or Parquet file, or a BigQuery table (p.dataset.table)."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the use case; default the file's.")] = None,
    output: Annotated[str | None, typer.Option(help="Column of the expected answer.")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="Column for the prompt; may be repeated.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Column whose equal values stay on one side of the split.")
    ] = None,
    instruction: Annotated[str | None, typer.Option(help="What the model is to do.")] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder for the file; default $GENAIOPS_USE_CASES.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take what is guessed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Write a use case file: columns are guessed from the data, shown, and confirmed by you."""
    console = Terminal()
    interactive = not yes
    source = data or typer.prompt("Data: a CSV, JSONL or Parquet file, or a BigQuery table")
    table = source if _TABLE.fullmatch(source) and not Path(source).exists() else None
    try:
        rows = _table_rows(table, folder) if table else read_sample(Path(source))
        columns = describe(rows)
        _show(console, columns)
        turns = None if table else instruction_of_turns(Path(source))
        guess = guess_roles(columns, output=output, inputs=inputs or (), group=group, turns=turns)
        if interactive:
            guess = _confirm(columns, guess)
        chosen = name or _name_of(source)
        if interactive and not name:
            chosen = ask("Name of the use case", chosen)
        task = instruction or _instruction(guess)
        if interactive and not instruction:
            task = ask("What is the model to do?", task)
        path = _path(to, chosen)
        if path.exists() and not force:
            fail(f"{path} exists; choose another --name, or --force replaces it", code=2)
        text = use_case_text(chosen, task, task, guess, source, len(rows), table)
        with files_of_the_user():
            _write(path, text)
    except (ScaffoldError, UseCaseError, SessionError) as error:
        fail(str(error), code=2)
    _tell_next(console, path, chosen, None if table else source)


def _table_rows(table: str, folder: Path) -> list[dict[str, Any]]:
    """The first rows of a BigQuery table, on the cloud or the emulator, whichever is configured."""
    from google.api_core.exceptions import GoogleAPICallError

    from genaiops_dagster.google_cloud.warehouse import Warehouse
    from genaiops_dagster.records.clock import SYSTEM_CLOCK

    with open_session(folder) as session:
        try:
            return Warehouse.connect(session.settings, SYSTEM_CLOCK).head(table, rows=1_000)
        except GoogleAPICallError as error:
            raise ScaffoldError(f"{table}: {error.message}") from error


def _show(console: Terminal, columns: dict[str, Column]) -> None:
    table = Table(box=SIMPLE, title="What the data holds", title_justify="left")
    for heading in ("Column", "Filled", "Different", "Typical length", "Most frequent"):
        table.add_column(heading, overflow="fold")
    for column in columns.values():
        value = max(column.counts, key=lambda v: column.counts[v], default="")
        often = f"{_shorten(value)} ({column.counts[value]})" if value else ""
        table.add_row(
            column.name,
            f"{column.filled:.0%}",
            str(column.distinct),
            f"{column.length:.0f}",
            often if column.labels else "",
        )
    console.print(table)


def _shorten(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _confirm(columns: dict[str, Column], guess: Guess) -> Guess:
    """The guess after a person has looked at it."""
    if guess.turns is not None:
        return guess
    output = ask("Column of the expected answer", guess.output)
    others = guess if output == guess.output else guess_roles(columns, output=output)
    shown = ask("Columns for the prompt", ", ".join(others.inputs))
    group = ask("Column of rows that belong together (- for none)", others.group or "-")
    return guess_roles(
        columns,
        output=output,
        inputs=[name.strip() for name in shown.split(",") if name.strip()],
        group="" if group == "-" else group,
    )


def _name_of(source: str) -> str:
    stem = Path(source).stem if not _TABLE.fullmatch(source) else source.rsplit(".", 1)[-1]
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
    return name if name[:1].isalpha() else f"use_case_{name}".rstrip("_")


def _instruction(guess: Guess) -> str:
    if guess.turns is not None:
        return "Answer as the examples do."
    shown = " and ".join(literal(name.replace("_", " ")) for name in (*guess.inputs, *guess.files))
    wanted = literal(guess.output.replace("_", " "))
    if guess.labels:
        return f"Which {wanted} fits this {shown}?"
    return f"Write the {wanted} for this {shown}."


def _path(to: Path | None, name: str) -> Path:
    return (to or Path(os.environ.get(EXTRA_FOLDER_VARIABLE) or "use_cases")) / f"{name}.yaml"


def _write(path: Path, text: str) -> None:
    """Write the file and the schema for editors next to it; a file that is not valid is not kept.

    Raises:
        UseCaseError: the name is not one a use case may have, or a column not one of a template.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".yaml.new")
    written.write_text(text, encoding="utf-8")
    try:
        load_use_case(written)
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)
    schema = path.parent / "use_case.schema.json"
    schema.write_text(json.dumps(use_case_schema(), indent=2) + "\n", encoding="utf-8")


def _tell_next(console: Terminal, path: Path, name: str, data: str | None) -> None:
    steps = []
    if os.environ.get(EXTRA_FOLDER_VARIABLE) != str(path.parent):
        steps.append(f"export {EXTRA_FOLDER_VARIABLE}={path.parent.resolve()}")
    if data:
        steps.append(f"genaiops deliver {name} {data}")
    steps += [f"genaiops plan {name}", f"genaiops run {name}"]
    console.print(styled("Written", "green"), f"{path}: read it, change it, then")
    for step in steps:
        console.print(f"  {step}", soft_wrap=True)
