"""Differences of candidates on the same rows: every pair, and the challenger slice by slice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from genaiops_dagster.evaluation.scoring.classification import corpus_difference
from genaiops_dagster.evaluation.scoring.metrics import CORPUS_METRICS
from genaiops_dagster.evaluation.scoring.statistics import holm, paired_difference
from genaiops_dagster.records.comparison import Difference
from genaiops_dagster.records.evaluation import RowResult

Rows = Mapping[str, Sequence[RowResult]]
"""Every evaluation row, by candidate."""


def pairwise_differences(
    rows: Rows, metrics: Sequence[str], confidence: float
) -> Iterator[Difference]:
    """Every pair of candidates in every metric, each pair once and in the order of `rows`.

    P values are corrected for all pairs of a metric; `confidence` is the level of the intervals,
    such as 0.95.
    """
    for metric in metrics:
        found = [
            difference(metric, ours, theirs, rows, confidence)
            for ours, theirs in itertools.combinations(rows, 2)
        ]
        adjusted = holm([one.p_value for one in found])
        for one, p in zip(found, adjusted, strict=True):
            yield one.model_copy(update={"p_adjusted": p})


def slice_differences(
    rows: Rows, challenger: str, metric: str, slice_name: str, confidence: float
) -> Iterator[Difference]:
    """The challenger against each other candidate in a metric, for each value of a slice.

    Rows without the slice are one more slice, with an empty value.
    """
    for value in sorted({row.slices.get(slice_name, "") for row in rows[challenger]}):
        inside = {
            name: [row for row in answers if row.slices.get(slice_name, "") == value]
            for name, answers in rows.items()
        }
        for baseline in sorted(inside.keys() - {challenger}):
            found = difference(metric, challenger, baseline, inside, confidence)
            yield found.model_copy(update={"slice_name": slice_name, "slice_value": value})


def difference(
    metric: str, challenger: str, baseline: str, rows: Rows, confidence: float
) -> Difference:
    """How much better one candidate is than another on the rows that both have."""
    ours, theirs = _scores(rows[challenger], metric), _scores(rows[baseline], metric)
    common = ours.keys() & theirs.keys()
    if metric in CORPUS_METRICS:
        found = corpus_difference(rows[challenger], rows[baseline], metric, confidence)
    else:
        groups = {row.id: row.group for row in rows[challenger]}
        found = paired_difference(ours, theirs, groups, confidence)
    return Difference(
        metric=metric,
        challenger=challenger,
        baseline=baseline,
        difference=found.difference,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        p_adjusted=None,
        rows=found.rows,
        method=found.method,
        wins=sum(ours[row] > theirs[row] for row in common),
        losses=sum(ours[row] < theirs[row] for row in common),
        minimum_detectable=found.minimum_detectable,
    )


def _scores(rows: Sequence[RowResult], metric: str) -> dict[str, float]:
    scores = ((row.id, row.scores.get(metric)) for row in rows)
    return {row: score for row, score in scores if score is not None}
