"""A first use case file: which column of a person's data means what, and the YAML that says so."""

from __future__ import annotations

import itertools
import json
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from genaiops_dagster.data.formats import OBJECT_FORMATS, TEXT_FORMATS, ending, read_rows
from genaiops_dagster.orchestration.plain_text import visible
from genaiops_dagster.prompts.rendering import CONTENTS

MODELS = {
    "flash_lite": "gemini-3.1-flash-lite",
    "flash": "gemini-3.5-flash",
    "pro": "gemini-3.1-pro-preview",
    "tuned": "tuned",
}
"""Candidates of a first use case."""

_ROWS = 10_000
_MOST_LABELS = 60
_ROWS_PER_LABEL = 5
_MOST_SLICES = 12
_CHARACTERS_PER_TOKEN = 4  # about; it only sizes the longest answer

_OUTPUTS = (
    *("output", "expected", "target", "label", "answer", "completion", "response", "reference"),
    *("summary", "category", "class", "intent", "reply"),
)
_GROUPS = ("group", "thread", "conversation", "document", "session", "author", "customer", "user")
_SLICES = ("category", "language", "product", "region", "segment", "source", "type", "topic")


class ScaffoldError(ValueError):
    """Data from which no use case can be made; the message says why and what to do."""


@dataclass(frozen=True)
class Column:
    """The content of a column, in the rows that were read.

    Attributes:
        name: As in the data.
        filled: Share of rows with a value, 0 to 1.
        distinct: Number of different values.
        length: Median length of a value, in characters.
        counts: How often each value occurs.
        rows: Rows that were looked at.
    """

    name: str
    filled: float
    distinct: int
    length: float
    counts: Mapping[str, int] = field(repr=False)
    rows: int

    @property
    def is_unique(self) -> bool:
        """Whether no value occurs twice."""
        return self.distinct == self.rows

    @property
    def is_files(self) -> bool:
        """Whether every value is an address in Cloud Storage."""
        return bool(self.counts) and all(value.startswith("gs://") for value in self.counts)

    @property
    def labels(self) -> list[str]:
        """The values, when they are few and each comes often enough to be learned; else none."""
        few = 1 < self.distinct <= _MOST_LABELS
        often = self.rows >= _ROWS_PER_LABEL * max(self.distinct, 1)
        return sorted(self.counts) if few and often else []


@dataclass(frozen=True)
class Guess:
    """Which columns mean what.

    Attributes:
        output: The expected answer.
        inputs: What the prompt shows.
        files: Columns of `gs://` addresses that are attached.
        id: Identifies a row; None lets each row be known by its content.
        group: Rows that stay together in the split; None for none.
        slices: By whose values results are shown.
        labels: The answers, when they are few; else empty.
        output_tokens: Upper bound of an answer.
        turns: System instruction of rows that bring their own turns, in Gemini's tuning form; None
            where the prompt is rendered from columns.
    """

    output: str
    inputs: list[str]
    files: list[str]
    id: str | None
    group: str | None
    slices: list[str]
    labels: list[str]
    output_tokens: int
    turns: str | None = None

    @property
    def variables(self) -> dict[str, str]:
        """Column by template variable, of the columns whose names no template can use."""
        named = {variable_name(column): column for column in (*self.inputs, *self.files)}
        return {variable: column for variable, column in named.items() if variable != column}


def variable_name(column: str) -> str:
    """A name by which a template can speak of a column."""
    name = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_").lower()
    return column if column.isidentifier() else name if name[:1].isalpha() else f"column_{name}"


def read_sample(path: Path) -> list[dict[str, Any]]:
    """The first rows of a data file, at most 10,000.

    Raises:
        ScaffoldError: the file is missing, of another format, or holds no usable row.
    """
    if ending(path.name) not in OBJECT_FORMATS:
        formats = ", ".join(sorted(OBJECT_FORMATS))
        raise ScaffoldError(f"{path}: the name has to end with its format, one of {formats}")
    try:
        rows = _parquet(path) if ending(path.name) not in TEXT_FORMATS else _text(path)
    except OSError as error:
        raise ScaffoldError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not rows:
        raise ScaffoldError(f"{path}: holds no row with columns")
    return rows


def _text(path: Path) -> list[dict[str, Any]]:
    instruction = instruction_of_turns(path) or ""
    with path.open("rb") as content:
        found = read_rows(path.name, content, output="output", system_instruction=instruction)
        return [
            json.loads(row.fields)
            for row in itertools.islice(found, _ROWS)
            if row.fields is not None
        ]


def instruction_of_turns(path: Path) -> str | None:
    """System instruction of the first row in Gemini's tuning form; None in data of another form."""
    if ending(path.name) != ".jsonl":
        return None
    with path.open("rb") as content:
        first = content.readline()
    try:
        fields = json.loads(first)
        if not isinstance(fields[CONTENTS], list):
            return None
    except (ValueError, LookupError, TypeError):
        return None
    try:
        return str(fields["systemInstruction"]["parts"][0]["text"])
    except (LookupError, TypeError):
        return ""


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        batches = pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=_ROWS)
        return next((batch.to_pylist() for batch in batches), [])
    except pyarrow.ArrowInvalid as error:
        raise ScaffoldError(f"{path}: not a Parquet file ({error})") from error


def describe(rows: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    """Every column of `rows`, by name, in the order of the data."""
    names = dict.fromkeys(name for row in rows for name in row if name != CONTENTS)
    return {name: _column(name, [row.get(name) for row in rows]) for name in names}


def _column(name: str, values: Sequence[Any]) -> Column:
    texts = [str(value) for value in values if value not in (None, "")]
    return Column(
        name=name,
        filled=len(texts) / len(values),
        distinct=len(set(texts)),
        length=statistics.median(map(len, texts)) if texts else 0.0,
        counts=Counter(texts),
        rows=len(values),
    )


def guess_roles(
    columns: Mapping[str, Column],
    *,
    output: str | None = None,
    inputs: Sequence[str] = (),
    group: str | None = None,
    slices: Sequence[str] = (),
    turns: str | None = None,
) -> Guess:
    """The use of each column; the person's choice goes before a guess.

    Args:
        columns: What the data holds.
        output: Column of the expected answer; None to guess.
        inputs: Columns for the prompt; empty to guess.
        group: Column of rows that belong together; None to guess, empty for none.
        slices: Columns by whose values results are shown; empty to guess.
        turns: System instruction of rows that bring their own turns; they need no prompt.

    Raises:
        ScaffoldError: a named column does not exist, or too few columns are left for a prompt.
    """
    for name in (*filter(None, (output, group)), *inputs, *slices):
        if name not in columns:
            raise ScaffoldError(f"no column {name!r}; there are: {', '.join(columns)}")
    if not columns:
        raise ScaffoldError("the rows have no column besides their turns")
    identities = [c for c in columns.values() if "id" in _words(c.name) and c.is_unique]
    identity = next((c.name for c in identities if c.name != output), None)
    chosen = output or _likely_output([c for c in columns.values() if c.name != identity])
    rest = [c for c in columns.values() if c.name not in (chosen, identity) and c.filled > 0]
    group = _likely_group(rest) if group is None else group
    slices = list(slices) or [c.name for c in rest if _is_slice(c)]
    rest = [c for c in rest if c.name not in (group, *slices) or c.name in inputs]
    if turns is not None:
        rest = []
    attached = [c.name for c in rest if c.is_files]
    shown = list(inputs) or [c.name for c in rest if not c.is_files and _is_text(c)]
    shown = shown or [c.name for c in rest if not c.is_files]
    if not shown and not attached and turns is None:
        raise ScaffoldError(
            f"no column is left for the prompt besides the output {chosen!r}; name one with --input"
        )
    answer = columns[chosen]
    longest = max(map(len, answer.counts), default=0) / _CHARACTERS_PER_TOKEN
    least = 16 if turns is None else 256  # turns may not ask the base models to be brief
    return Guess(
        output=chosen,
        inputs=shown,
        files=attached,
        id=identity if identity != "id" else None,  # `id` is the default
        group=group or None,
        slices=slices,
        labels=answer.labels,
        output_tokens=_next_power_of_two(max(least, 1.5 * longest)),
        turns=turns,
    )


def _likely_output(columns: Sequence[Column]) -> str:
    named = {word: c.name for c in reversed(columns) for word in _words(c.name)}
    found = next((named[word] for word in _OUTPUTS if word in named), None)
    if found:
        return found
    if not columns:
        raise ScaffoldError("the only column is the id; an expected output is needed, too")
    return columns[-1].name


def _likely_group(columns: Iterable[Column]) -> str | None:
    """The first column that names what rows belong to, when its values really repeat."""
    for column in columns:
        if _words(column.name) & set(_GROUPS) and 1 < column.distinct < column.rows:
            return column.name
    return None


def _is_slice(column: Column) -> bool:
    few = 1 < column.distinct <= _MOST_SLICES
    return few and column.length <= 30 and bool(_words(column.name) & set(_SLICES))


def _is_text(column: Column) -> bool:
    """Whether a column says something: not an identifier, a number or a date."""
    words = _words(column.name)
    if words & {"id", "uuid", "date", "time", "timestamp", "url"} or "at" in words:
        return False
    return not all(re.fullmatch(r"[\d\s.,:+TZ-]*", value) for value in column.counts)


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))


def _next_power_of_two(value: float) -> int:
    return 1 << (max(int(value), 1) - 1).bit_length()


def use_case_text(
    name: str,
    description: str,
    instruction: str,
    guess: Guess,
    origin: str,
    rows: int,
    table: str | None = None,
) -> str:
    """The YAML of a first use case.

    Args:
        name: Of the use case.
        description: One line.
        instruction: What the model is to do, the first line of the prompt.
        guess: What the columns mean.
        origin: File or table that the columns were seen in.
        rows: Number of rows that were seen.
        table: `project.dataset.table` to read, or None for the inbox.
    """
    import jinja2

    environment = jinja2.Environment(  # noqa: S701 - makes YAML; values go through `tojson`
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"variable": variable_name, "literal": literal, "visible": visible}
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    template = files("genaiops_dagster.cli").joinpath("use_case.yaml.jinja").read_text()
    return environment.from_string(template).render(
        name=name,
        title=name.replace("_", " ").capitalize(),
        description=description,
        instruction=instruction,
        guess=guess,
        variable=variable_name,
        origin=origin,
        sql=_query(table, guess) if table else None,
        models=MODELS,
        metric="exact_match" if guess.labels else "rouge_l_sum",
        minimum_rows=max(20, min(100, rows // 10)),
    )


def literal(text: str) -> str:
    """A text of the data, escaped so that it is not code in a line of the prompt's template."""
    return re.sub(r"\{(?=[{%#])", "{{ '{' }}", " ".join(visible(text).split()))


def _query(table: str, guess: Guess) -> str:
    named = (guess.id, *guess.inputs, *guess.files, guess.group, *guess.slices, guess.output)
    columns = ", ".join(f"`{name}`" for name in dict.fromkeys(filter(None, named)))
    return f"SELECT {columns}\nFROM `{table}`\nLIMIT @limit"
