"""From source rows to examples: every row is either an example or rejected with one reason.

Rules run one after the other in DuckDB, each over the rows that earlier rules left. Only keys and
hashes are held in tables; the text stays in the Parquet file, so memory does not grow with it.
"""

# ruff: noqa: S608 - SQL is put together from constants of this package alone

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from genaiops_dagster.data import rules
from genaiops_dagster.data.near_duplicates import near_duplicates, write_words
from genaiops_dagster.data.overlap import overlapping
from genaiops_dagster.data.scratch import (
    GROUPS,
    insert,
    number,
    rows_in,
    spare_memory,
    write_in_order,
)
from genaiops_dagster.data.screening import CountExample, screen, too_long
from genaiops_dagster.data.sources import all_prompts, prompt_columns
from genaiops_dagster.data.words import MACROS
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    import duckdb


class Curated(NamedTuple):
    """Two Parquet files that together hold every source row exactly once.

    Attributes:
        examples: Columns of `Example` (slices and variables as JSON), `side` of the split,
            `position` within it, and where the row came from; ordered by side and position.
        rejected: Id, reason, detail and origin of each row left out, without its content.
        counts: Rejected rows by reason.
        sides: Examples by side.
        redacted: Rows of which something was redacted.
    """

    examples: Path
    rejected: Path
    counts: dict[str, int]
    sides: dict[str, int]
    redacted: int


def curate(
    connection: duckdb.DuckDBPyConnection,
    source: Path,
    folder: Path,
    use_case: UseCase,
    count_tokens: CountExample,
    golden: Path | None = None,
) -> Curated:
    """Apply all rules to the source rows of a Parquet file and write two files to `folder`.

    The side of a row depends on its group and the seed alone, so that it keeps its side when data
    grows; of rows that must not be on two sides, the held-out one stays.

    Args:
        connection: A database of its own.
        source: Source rows.
        folder: Where files are put.
        use_case: Says what is an example.
        count_tokens: Asks the service how long an example is.
        golden: Source rows whose inputs must not be trained on.
    """
    policy = use_case.curation
    prepare(connection, use_case)
    spare_memory(connection, source)
    extracted = folder / "extracted.parquet"
    connection.execute(rules.EXTRACTED.format(source=source, target=extracted, groups=GROUPS))
    connection.execute("SET VARIABLE extracted = $path", {"path": str(extracted)})
    connection.execute(rules.TEXTS)
    _screen(connection, use_case)
    connection.execute(rules.ROWS)
    _apply(connection, rules.UNUSABLE)
    _reject(connection, "too_long", _too_long(connection, use_case, count_tokens))
    _apply(connection, rules.REPEATED)
    if policy.conflicting_outputs == "reject":
        _apply(connection, rules.CONFLICTING)
    words, at_once = folder / "words.parquet", rows_in(extracted)
    signatures = folder / "signatures" if policy.near_duplicates != "allow" else None
    write_words(connection, rules.WORDS, words, signatures, at_once)
    connection.execute(rules.COMPARABLE.format(words=words))
    if signatures is not None:
        pairs = near_duplicates(connection, words, signatures, policy.similarity, at_once)
        connection.execute(rules.NEAR)
        insert(connection, "near", ["rank", "first"], pairs)
        _apply(connection, rules.NEAR_DUPLICATE[policy.near_duplicates])
    _apply(connection, rules.LIMITED | rules.SAME_INPUT)
    _reject_overlapping(connection, golden, at_once)
    return _write(connection, folder, extracted)


def prepare(connection: duckdb.DuckDBPyConnection, use_case: UseCase) -> None:
    """Give a new database the functions and variables that the queries of this room use."""
    for name, value in _variables(use_case).items():
        connection.execute(f'SET VARIABLE "{name}" = $value', {"value": value})
    connection.execute(MACROS + rules.FUNCTIONS)


def _variables(use_case: UseCase) -> dict[str, Any]:
    """The variables that the queries read with `getvariable`."""
    columns, split, prompt = use_case.columns, use_case.split, use_case.prompt
    names = list(
        dict.fromkeys(name for each in all_prompts(use_case) for name in prompt_columns(each))
    )
    fixed = [columns.id, columns.group or columns.id, columns.output]
    return {
        "texts": [_pointer(name) for name in [*fixed, *columns.slices]],
        "names": names,
        "columns": [_pointer(columns.variables.get(name, name)) for name in names],
        "pointers": [_pointer(name) for name in prompt_columns(prompt)],
        "files": [_pointer(name) for name in prompt.files],
        "slices": columns.slices,
        "slice_columns": [_pointer(name) for name in columns.slices],
        "salt": f"{split.seed}:",
        "training": split.training,
        "validation": split.validation,
        "training_limit": split.maximum_training_rows,
        "validation_limit": split.maximum_validation_rows,
        "evaluation_limit": split.maximum_evaluation_rows,
    }


def _pointer(column: str) -> str:
    """JSON Pointer (RFC 6901) of a field of a row."""
    return "/" + column.replace("~", "~0").replace("/", "~1")


def _apply(connection: duckdb.DuckDBPyConnection, queries: Mapping[str, str]) -> None:
    for reason, query in queries.items():
        connection.execute(
            f"INSERT INTO rejections SELECT row, '{reason}', detail "
            f"FROM ({query}) AS rule (row, detail)"
        )


def _reject(
    connection: duckdb.DuckDBPyConnection, reason: str, rows: Iterable[tuple[int, str]]
) -> None:
    insert(
        connection,
        "rejections",
        ["row", "reason", "detail"],
        ((row, reason, detail) for row, detail in rows),
    )


def _screen(connection: duckdb.DuckDBPyConnection, use_case: UseCase) -> None:
    """Reject rows with personal data or secrets, or keep them redacted."""
    connection.execute(
        "CREATE TABLE screened (row BIGINT, reason VARCHAR, detail VARCHAR, "
        "variables VARCHAR, output VARCHAR)"
    )
    found = screen(connection, "SELECT * FROM texts WHERE error IS NULL", use_case.curation)
    insert(connection, "screened", ["row", "reason", "detail", "variables", "output"], found)
    connection.execute("""
        INSERT INTO redacted SELECT row, [variables, output] FROM screened WHERE reason IS NULL;
        INSERT INTO rejections SELECT row, reason, detail FROM screened WHERE reason IS NOT NULL;
        DROP TABLE screened;
    """)


def _too_long(
    connection: duckdb.DuckDBPyConnection, use_case: UseCase, count_tokens: CountExample
) -> Iterator[tuple[int, str]]:
    query = "FROM texts SEMI JOIN live USING (row)"
    for row, tokens in too_long(connection, query, prompt_bytes(use_case), count_tokens):
        yield row, f"{tokens} tokens"


def prompt_bytes(use_case: UseCase) -> int:
    """Bytes that the prompt adds to every example, at most."""
    prompt = use_case.prompt
    return len(prompt.template.encode()) + len(prompt.system_instruction.encode())


def _reject_overlapping(
    connection: duckdb.DuckDBPyConnection, golden: Path | None, at_once: int
) -> None:
    """Reject what repeats a long run of words of evaluation rows, golden or validation rows."""
    held_out = rules.golden_inputs(str(golden)) if golden else None
    for ranks in overlapping(connection, "FROM comparable", at_once, held_out):
        connection.execute("CREATE OR REPLACE TABLE overlapping (rank BIGINT)")
        insert(connection, "overlapping", ["rank"], ((rank,) for rank in ranks))
        _apply(connection, rules.OVERLAPPING)


def _write(connection: duckdb.DuckDBPyConnection, folder: Path, extracted: Path) -> Curated:
    examples, rejected = folder / "examples.parquet", folder / "rejected.parquet"
    connection.execute(rules.PLACES)
    write_in_order(connection, rules.EXAMPLES, "place", examples, like=extracted)
    connection.execute(rules.REJECTED.format(target=rejected, groups=GROUPS))
    redacted = number(connection, "SELECT count(*) FROM live SEMI JOIN redacted USING (row)")
    return Curated(
        examples,
        rejected,
        _counts(connection, "SELECT reason, count(*) FROM rejections GROUP BY 1 ORDER BY 1"),
        _counts(connection, "SELECT side, count(*) FROM live GROUP BY 1 ORDER BY 1"),
        redacted,
    )


def _counts(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, int]:
    return dict(connection.execute(query).fetchall())
