"""The checks before anything is paid: plain functions that return figures and row ids.

They look at the finished examples and sets, not at what curation says it did.
"""

# ruff: noqa: S608 - SQL is put together from constants and from the path of a temporary file

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from genaiops_dagster.data.overlap import OVERLAP_WORDS, overlapping
from genaiops_dagster.data.profile import DRIFT, Balance, Profile, drift
from genaiops_dagster.data.rules import EXPECTED, comparable_examples, golden_inputs
from genaiops_dagster.data.scratch import insert, number, rows_in
from genaiops_dagster.data.screening import MAXIMUM_EXAMPLE_TOKENS, CountExample, screen, too_long
from genaiops_dagster.data.sources import missing_columns
from genaiops_dagster.data.splits import SplitFile
from genaiops_dagster.prompts.rendering import tuning_line, version
from genaiops_dagster.records.data import DatasetSplit, SplitName, StoredRows
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.data import Curation

if TYPE_CHECKING:
    import duckdb

MINIMUM_TRAINING_ROWS = 16
MAXIMUM_TRAINING_ROWS = 1_000_000
MAXIMUM_VALIDATION_ROWS = 5_000
MAXIMUM_FILE_BYTES = 1_000_000_000
"""Limits of Gemini supervised tuning.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning
"""

SHOWN_ROWS = 20
"""Most rows that a check names; their number is always told."""


class CheckOutcome(NamedTuple):
    """Outcome of a check.

    Attributes:
        passed: Whether the data may be used.
        figures: Counts and limits.
        rows: Offending rows, as many as `SHOWN_ROWS`: where they are and what is wrong.
    """

    passed: bool
    figures: dict[str, Any]
    rows: Sequence[Mapping[str, Any]] = ()


def schema(source_rows: StoredRows, use_case: UseCase) -> CheckOutcome:
    """Whether every column that the use case names is in some row."""
    missing = missing_columns(use_case, source_rows.columns)
    rows = [{"column": column, "named in": field} for column, field in missing.items()]
    return CheckOutcome(not rows, {"columns": ", ".join(sorted(source_rows.columns))}, rows)


def readable(connection: duckdb.DuckDBPyConnection, source: Path) -> CheckOutcome:
    """Whether every row, and every object as a whole, could be read."""
    relation = f"read_parquet('{source}')"
    return _finding(
        connection,
        f"""
        SELECT source_uri AS source, source_generation AS generation, source_row AS "row",
          error AS reason
        FROM {relation} WHERE error IS NOT NULL
        """,
    )


def few_rejected(
    connection: duckdb.DuckDBPyConnection, examples: StoredRows, rejected: Path, maximum: float
) -> CheckOutcome:
    """Whether few enough rows were unusable; duplicates and rows over a limit are not counted."""
    unusable = {
        reason: count for reason, count in examples.rejected.items() if reason not in EXPECTED
    }
    total = examples.rows + sum(examples.rejected.values())
    share = sum(unusable.values()) / total if total else 0.0
    rows = _named(
        connection,
        f"""
        SELECT id, reason, detail, source_uri AS source, source_row AS "row"
        FROM read_parquet('{rejected}')
        WHERE reason NOT IN ({", ".join(f"'{reason}'" for reason in EXPECTED)})
    """,
    )
    figures = {"unusable": sum(unusable.values()), "share": share, "maximum": maximum}
    return CheckOutcome(share <= maximum, figures | unusable, rows)


def key_examples(connection: duckdb.DuckDBPyConnection, examples: Path) -> None:
    """Make the table `keyed` of examples, which the checks of repetitions read in place of texts.

    Args:
        connection: Prepared by `curation.prepare`.
        examples: Parquet file of examples.
    """
    connection.execute(f"""
        CREATE OR REPLACE TABLE keyed AS
        SELECT file_row_number, side, md5_number(id) AS id_key, md5_number("group") AS group_key,
          md5_number(normal(input_text(variables))) AS input_key,
          md5_number(normal(output)) AS output_key
        FROM read_parquet('{examples}', file_row_number = true)
    """)


def _repeated(keys: str) -> str:
    return f"""
        SELECT file_row_number FROM keyed JOIN (
          SELECT {keys}, min(file_row_number) AS first FROM keyed GROUP BY ALL HAVING count(*) > 1
        ) USING ({keys}) WHERE file_row_number > first"""


def _on_two_sides(key: str) -> str:
    return f"""
        SELECT file_row_number FROM keyed SEMI JOIN (
          SELECT {key} FROM keyed GROUP BY ALL HAVING min(side) < max(side)) USING ({key})"""


def no_duplicates(connection: duckdb.DuckDBPyConnection, examples: Path) -> CheckOutcome:
    """Whether ids are unique, and no input occurs twice with the same output.

    Args:
        connection: Has the table of `key_examples`.
        examples: Parquet file of examples.
    """
    return _finding(
        connection,
        f"""
        SELECT id, reason FROM read_parquet('{examples}', file_row_number = true) JOIN (
          SELECT *, 'repeated id' AS reason FROM ({_repeated("id_key")})
          UNION ALL
          SELECT *, 'repeated input and output' FROM ({_repeated("input_key, output_key")})
        ) USING (file_row_number)
        """,
    )


def no_leakage(
    connection: duckdb.DuckDBPyConnection, examples: Path, golden: Path | None
) -> CheckOutcome:
    """Whether sides share no group, no input, and no long run of words of held-out inputs.

    Args:
        connection: Has the table of `key_examples`.
        examples: Parquet file of examples.
        golden: Source rows whose inputs must not be trained on.
    """
    held_out = golden_inputs(str(golden)) if golden else None
    ranks = [
        (rank,)
        for side in overlapping(
            connection, comparable_examples(str(examples)), rows_in(examples), held_out
        )
        for rank in side
    ]
    connection.execute("CREATE OR REPLACE TABLE repeating (file_row_number BIGINT)")
    insert(connection, "repeating", ["file_row_number"], ranks)
    return _finding(
        connection,
        f"""
        SELECT id, side, reason FROM read_parquet('{examples}', file_row_number = true) JOIN (
          SELECT *, 'group on two sides' AS reason FROM ({_on_two_sides("group_key")})
          UNION ALL
          SELECT *, 'input on two sides' FROM ({_on_two_sides("input_key")})
          UNION ALL
          SELECT *, 'repeats {OVERLAP_WORDS} words of a held-out input' FROM repeating
        ) USING (file_row_number)
        """,
    )


def no_sensitive_data(
    connection: duckdb.DuckDBPyConnection, examples: Path, policy: Curation
) -> CheckOutcome:
    """Whether no example holds personal data or secrets that the use case does not allow."""
    query = f"SELECT id AS row, [variables, output] AS texts FROM read_parquet('{examples}')"
    found = list(screen(connection, query, policy))
    rows = [{"id": one.row, "found": one.detail} for one in found[:SHOWN_ROWS]]
    allowed = {"personal data": policy.personal_data, "secrets": policy.secrets}
    return CheckOutcome(not found, {"rows": len(found)} | allowed, rows)


def enough_examples(sets: Mapping[SplitName, DatasetSplit], use_case: UseCase) -> CheckOutcome:
    """Whether there is enough to tune on, and enough held out for the gate to decide."""
    least: dict[SplitName, int] = {
        "training": max(use_case.split.minimum_training_rows, MINIMUM_TRAINING_ROWS),
        "evaluation": use_case.gate.minimum_rows,
    }
    rows = [
        {"set": name, "rows": sets[name].rows, "minimum": minimum}
        for name, minimum in least.items()
        if sets[name].rows < minimum
    ]
    return CheckOutcome(not rows, {f"{name}_rows": one.rows for name, one in sets.items()}, rows)


def within_limits(
    connection: duckdb.DuckDBPyConnection,
    examples: Path,
    files: Mapping[SplitName, SplitFile],
    overhead: int,
    count_tokens: CountExample,
) -> CheckOutcome:
    """Whether examples and files are within the limits of the service."""
    limits = {
        "training rows": (files["training"].rows, MAXIMUM_TRAINING_ROWS),
        "validation rows": (files["validation"].rows, MAXIMUM_VALIDATION_ROWS),
        "training bytes": (files["training"].path.stat().st_size, MAXIMUM_FILE_BYTES),
        "validation bytes": (files["validation"].path.stat().st_size, MAXIMUM_FILE_BYTES),
    }
    query = f"SELECT id AS row, [variables, output] AS texts FROM read_parquet('{examples}')"
    long: list[dict[str, Any]] = [
        {"id": id_, "tokens": tokens, "limit": MAXIMUM_EXAMPLE_TOKENS}
        for id_, tokens in too_long(connection, query, overhead, count_tokens)
    ]
    broken: list[dict[str, Any]] = [
        {"limit of": name, "found": found, "limit": limit}
        for name, (found, limit) in limits.items()
        if found > limit
    ]
    figures = {name: found for name, (found, _) in limits.items()} | {"too long": len(long)}
    return CheckOutcome(not broken and not long, figures, [*broken, *long][:SHOWN_ROWS])


def prompt_parity(
    connection: duckdb.DuckDBPyConnection,
    examples: Path,
    training: Path,
    made_with: PromptVersion,
    use_case: UseCase,
) -> CheckOutcome:
    """Whether the training set holds what the use case's prompt makes of the examples."""
    now = version(use_case.prompt)
    rows = connection.execute(
        f"SELECT id, variables, output FROM read_parquet('{examples}') "
        f"WHERE side = 'training' AND position <= {SHOWN_ROWS} ORDER BY position"
    ).fetchall()
    with training.open(encoding="utf-8") as lines:
        differing = [
            {"id": id_, "line": number}
            for number, ((id_, variables, output), line) in enumerate(
                zip(rows, lines, strict=False), start=1
            )
            if json.loads(line) != tuning_line(now, json.loads(variables), output)
        ]
    figures = {"prompt of the set": made_with.digest, "prompt of the use case": now.digest}
    return CheckOutcome(made_with.digest == now.digest and not differing, figures, differing)


def label_balance(found: Balance) -> CheckOutcome:
    """Whether every label occurs often enough in training, where outputs are labels."""
    figures = {"labels": len(found.labels), "commonest to rarest": found.ratio}
    rows = [{"label": label, "reason": "only in evaluation"} for label in found.unseen]
    return CheckOutcome(found.even, figures, rows[:SHOWN_ROWS])


def no_drift(new: Profile, trained: Profile | None) -> CheckOutcome:
    """Whether the training data looks like the data of the last tuned model."""
    if trained is None:
        return CheckOutcome(True, {"compared with": "nothing: no model was tuned yet"})
    changes = drift(new, trained)
    rows = [
        {
            "feature": one.feature,
            "stability index": one.stability,
            "p value": one.p_value,
            "notable": one.notable,
        }
        for one in changes
    ]
    figures = {"limit": DRIFT, "rows": new.rows, "rows of the last model": trained.rows}
    return CheckOutcome(not any(one.notable for one in changes), figures, rows)


def _finding(connection: duckdb.DuckDBPyConnection, query: str) -> CheckOutcome:
    """Passes if a query for offending rows gives none."""
    found = number(connection, f"SELECT count(*) FROM ({query})")
    return CheckOutcome(not found, {"rows": found}, _named(connection, query) if found else [])


def _named(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """The first rows of a query, by column."""
    found = connection.execute(f"SELECT * FROM ({query}) ORDER BY ALL LIMIT {SHOWN_ROWS}")
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
