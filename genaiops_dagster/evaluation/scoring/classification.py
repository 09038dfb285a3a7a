"""Answers as classes: precision, recall and F1 of each class, and their means over classes.

Classes are those of the expected outputs. Any other answer is `(other)`: it misses
its own class and counts against no other.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from genaiops_dagster.evaluation.scoring.metrics import label
from genaiops_dagster.evaluation.scoring.statistics import (
    PairedDifference,
    bootstrap_difference,
    bootstrap_interval,
)
from genaiops_dagster.records.evaluation import (
    Classification,
    ClassQuality,
    MetricSummary,
    RowResult,
)

OTHER = "(other)"
_SCORED = {"answered", "truncated"}


def classify(rows: Iterable[RowResult]) -> Classification:
    """Confusion of all rows with an answer, and the quality of each class."""
    pairs = _pairs(rows)
    classes = sorted({expected for _, expected, _ in pairs})
    confusion: dict[str, Counter[str]] = {name: Counter() for name in classes}
    for _, expected, answered in pairs:
        confusion[expected][answered if answered in confusion else OTHER] += 1
    predicted = Counter(answered for _, _, answered in pairs)
    return Classification(
        classes={
            name: _quality(confusion[name][name], predicted[name], confusion[name].total())
            for name in classes
        },
        confusion={name: dict(sorted(found.items())) for name, found in confusion.items()},
    )


def _quality(hits: int, predicted: int, rows: int) -> ClassQuality:
    return ClassQuality(
        precision=hits / predicted if predicted else None,
        recall=hits / rows if rows else None,
        f1=2 * hits / (predicted + rows) if predicted + rows else None,
        rows=rows,
    )


def summarize_corpus_metric(rows: Iterable[RowResult], metric: str) -> MetricSummary:
    """`macro_precision`, `macro_recall` or `macro_f1` with its interval, clustered by group.

    A class that was never answered has precision 0, as scikit-learn counts it.
    """
    pairs = _pairs(rows)
    classes = sorted({expected for _, expected, _ in pairs})
    if not pairs:
        return MetricSummary(mean=None, low=None, high=None, rows=0, errors=0)
    counts = _counts_by_group(pairs, classes)
    total = [sum(column) for column in zip(*counts.values(), strict=True)]
    statistic = functools.partial(_macro, metric)
    interval = bootstrap_interval(statistic, counts)
    low, high = interval or (None, None)
    return MetricSummary(
        mean=float(statistic([total])[0]), low=low, high=high, rows=len(pairs), errors=0
    )


def corpus_difference(
    ours: Iterable[RowResult], theirs: Iterable[RowResult], metric: str, confidence: float
) -> PairedDifference:
    """How much higher one candidate's macro figure is on the rows that both answered."""
    mine, other = (
        {row.id: row for row in rows if row.state in _SCORED and row.answer is not None}
        for rows in (ours, theirs)
    )
    common = sorted(mine.keys() & other.keys())
    pairs = [_pairs(found[row] for row in common) for found in (mine, other)]
    classes = sorted({expected for _, expected, _ in pairs[0]})
    first, second = (_counts_by_group(found, classes) for found in pairs)
    width = 3 * len(classes)

    def statistic(sums: Any) -> Any:
        return _macro(metric, sums[:, :width]) - _macro(metric, sums[:, width:])

    counts = {group: [*first[group], *second[group]] for group in first}
    return bootstrap_difference(statistic, counts, len(common), confidence)


def _pairs(rows: Iterable[RowResult]) -> list[tuple[str, str, str]]:
    """Group, expected class and answered class of every row with an answer."""
    return [
        (row.group, label(row.reference), label(row.answer))
        for row in rows
        if row.state in _SCORED and row.answer is not None
    ]


def _counts_by_group(
    pairs: Sequence[tuple[str, str, str]], classes: Sequence[str]
) -> dict[str, list[float]]:
    """Hits, answers and rows of each class, in this order, by group."""
    index = {name: number for number, name in enumerate(classes)}
    size = len(classes)
    counts: dict[str, list[float]] = defaultdict(lambda: [0.0] * (3 * size))
    for group, expected, answered in pairs:
        row = counts[group]
        row[2 * size + index[expected]] += 1
        if answered in index:
            row[size + index[answered]] += 1
            row[index[answered]] += answered == expected
    return counts


def _macro(metric: str, sums: Any) -> Any:
    """Mean over the classes that occur, for each resample (resamples x 3 classes' counts)."""
    import numpy as np

    hits, predicted, rows = np.split(np.asarray(sums, dtype=float), 3, axis=1)
    below = {
        "macro_precision": predicted,
        "macro_recall": rows,
        "macro_f1": (predicted + rows) / 2,
    }[metric]
    with np.errstate(invalid="ignore", divide="ignore"):
        quality = np.where(below > 0, hits / below, 0.0)
    occurs = rows > 0
    return np.where(occurs, quality, 0.0).sum(axis=1) / occurs.sum(axis=1)
