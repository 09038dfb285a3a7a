"""A profile of the examples: slices by side, balance of the outputs, drift since the last model.

A profile is a few hundred counts, kept next to the data it describes, so that new data can be
compared with what a model was trained on without reading that data again.
"""

# ruff: noqa: S608 - SQL is put together from constants and from the path of a temporary file

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from genaiops_dagster.records.data import SplitName
from genaiops_dagster.records.record import Record

if TYPE_CHECKING:
    import duckdb

MOST_LABELS = 200
"""More different outputs are free text, not labels."""

DRIFT = 0.2
"""Population stability index from which data is said to have changed.

Source: N. Siddiqi, Credit Risk Scorecards (2006), ch. 9: below 0.1 no change, above 0.25 major.
"""

SIGNIFICANCE = 0.01
"""Chance below which a difference is not put down to small numbers of rows."""

IMBALANCE = 20.0
"""How many times more often than the rarest label the commonest may occur."""

_LABEL = "CASE WHEN strlen(output) > 1000 THEN md5(output) ELSE output END"
"""What outputs are counted by: a document by its digest, for DuckDB holds all there are in memory.
"""

_WORD_BUCKETS = 128
_WORD_SAMPLE = 20_000


class Profile(Record):
    """Counts that describe the training examples.

    Attributes:
        rows: Training examples.
        labels: Rows by output; empty when outputs are free text.
        input_lengths, output_lengths: Rows by the power of two of their characters.
        words: Words of the inputs by hash, in a few buckets; of a sample.
    """

    rows: int
    labels: dict[str, int]
    input_lengths: dict[str, int]
    output_lengths: dict[str, int]
    words: dict[str, int]


class Drift(NamedTuple):
    """How much one feature changed.

    Attributes:
        feature: What is compared.
        stability: Population stability index.
        p_value: Chance of such a difference between samples of the same data.
    """

    feature: str
    stability: float
    p_value: float

    @property
    def notable(self) -> bool:
        """Whether the change is both large and unlikely to be chance."""
        return self.stability > DRIFT and self.p_value < SIGNIFICANCE


def profile(connection: duckdb.DuckDBPyConnection, examples: Path) -> Profile:
    """Profile of the training examples.

    Args:
        connection: Prepared by `curation.prepare`.
        examples: Parquet file of examples.
    """
    rows = f"(FROM read_parquet('{examples}') WHERE side = 'training')"

    def counts(query: str) -> dict[str, int]:
        return {str(key): count for key, count in connection.execute(query).fetchall()}

    def lengths(text: str) -> dict[str, int]:
        return counts(
            f"SELECT floor(log2(greatest(length({text}), 1)))::INTEGER, count(*) FROM {rows} "
            "GROUP BY 1 ORDER BY 1"
        )

    labels = counts(
        f"SELECT {_LABEL}, count(*) FROM {rows} "
        f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MOST_LABELS + 1}"
    )
    count = sum(lengths("output").values())
    few = len(labels) <= MOST_LABELS and 2 * len(labels) <= count
    return Profile(
        rows=count,
        labels=labels if few else {},
        input_lengths=lengths("input_text(variables)"),
        output_lengths=lengths("output"),
        words=counts(f"""
            SELECT word % {_WORD_BUCKETS}, count(*)
            FROM (SELECT unnest(word_hashes(input_text(variables))) AS word
                  FROM {rows} WHERE position <= {_WORD_SAMPLE})
            GROUP BY 1 ORDER BY 1
        """),
    )


def drift(new: Profile, old: Profile) -> list[Drift]:
    """How much each feature of the data changed, the most first."""
    pairs = {
        "outputs": (new.labels, old.labels),
        "length of inputs": (new.input_lengths, old.input_lengths),
        "length of outputs": (new.output_lengths, old.output_lengths),
        "words of inputs": (new.words, old.words),
    }
    found = [
        Drift(feature, stability_index(a, b), _p_value(a, b))
        for feature, (a, b) in pairs.items()
        if a and b
    ]
    return sorted(found, key=lambda one: -one.stability)


def stability_index(new: Mapping[str, int], old: Mapping[str, int]) -> float:
    """Population stability index of two distributions, given as counts.

    The sum over categories of `(p - q) * ln(p / q)`; half a row is added to every category, so
    that one that is new or gone counts, but not without bound.

    Source: N. Siddiqi, Credit Risk Scorecards (2006), ch. 9.
    """
    categories = {*new, *old}

    def shares(counts: Mapping[str, int]) -> dict[str, float]:
        total = sum(counts.values()) + 0.5 * len(categories)
        return {name: (counts.get(name, 0) + 0.5) / total for name in categories}

    p, q = shares(new), shares(old)
    return sum((p[name] - q[name]) * math.log(p[name] / q[name]) for name in categories)


def _p_value(new: Mapping[str, int], old: Mapping[str, int]) -> float:
    """Of a chi-square test that both are samples of the same distribution."""
    from scipy.stats import chi2_contingency

    categories = sorted({*new, *old})
    if len(categories) < 2:
        return 1.0
    table = [[counts.get(name, 0) for name in categories] for counts in (new, old)]
    return float(chi2_contingency(table).pvalue)


class Balance(NamedTuple):
    """How evenly outputs are spread, where they are labels.

    Attributes:
        labels: Rows by label and side, the commonest label first.
        ratio: How many times more often the commonest occurs in training than the rarest.
        unseen: Labels of the evaluation set that training does not have.
    """

    labels: dict[str, dict[SplitName, int]]
    ratio: float
    unseen: list[str]

    @property
    def even(self) -> bool:
        """Whether no label is too rare to learn."""
        return not self.unseen and self.ratio <= IMBALANCE


def balance(connection: duckdb.DuckDBPyConnection, examples: Path, found: Profile) -> Balance:
    """Balance of the outputs of all sides; empty for free text."""
    if not found.labels:
        return Balance({}, 1.0, [])
    labels: dict[str, dict[SplitName, int]] = {}
    for label, side, count in connection.execute(
        f"SELECT {_LABEL} AS label, side, count(*) FROM read_parquet('{examples}') "
        "GROUP BY 1, 2 ORDER BY sum(count(*)) OVER (PARTITION BY label) DESC, 1, 2"
    ).fetchall():
        labels.setdefault(label, {})[side] = count
    unseen = [label for label in labels if label not in found.labels]
    return Balance(labels, max(found.labels.values()) / min(found.labels.values()), unseen)


def slices_by_side(
    connection: duckdb.DuckDBPyConnection, examples: Path, most: int
) -> list[tuple[str, str, int, int, int]]:
    """Rows of each slice on each side: slice, value, training, validation, evaluation.

    Args:
        connection: Runs the query.
        examples: Parquet file of examples.
        most: Values of a slice to tell, the commonest first.
    """
    rows: list[tuple[str, str, int, int, int]] = connection.execute(f"""
        SELECT name, json_extract_string(slices, pointer) AS value,
          count(*) FILTER (side = 'training'), count(*) FILTER (side = 'validation'),
          count(*) FILTER (side = 'evaluation')
        FROM (SELECT slices, side, unnest(getvariable('slices')) AS name,
                unnest(getvariable('slice_columns')) AS pointer
              FROM read_parquet('{examples}'))
        GROUP BY name, value
        QUALIFY row_number() OVER (PARTITION BY name ORDER BY count(*) DESC, value) <= {most}
        ORDER BY name, count(*) DESC, value
    """).fetchall()
    return rows
