"""From rows to figures: means with intervals, slices, states, judge, cost and latency."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, get_args

from genaiops_dagster.evaluation.scoring.classification import summarize_corpus_metric
from genaiops_dagster.evaluation.scoring.metrics import CORPUS_METRICS
from genaiops_dagster.evaluation.scoring.statistics import mean_interval
from genaiops_dagster.records.evaluation import (
    JudgeQuality,
    MetricSummary,
    RowResult,
    RowState,
)


def row_figures(rows: Sequence[RowResult], metrics: Sequence[str]) -> dict[str, Any]:
    """The figures of a report that its rows decide, by the report's fields."""
    median, slow = latency_percentiles(rows)
    return {
        "rows": len(rows),
        "states": count_states(rows),
        "metrics": summarize_all(rows, metrics),
        "slices": summarize_slices(rows, metrics),
        "input_tokens": sum(row.input_tokens for row in rows),
        "output_tokens": sum(row.output_tokens for row in rows),
        "latency_p50_seconds": median,
        "latency_p95_seconds": slow,
    }


def summarize(rows: Sequence[RowResult], metric: str) -> MetricSummary:
    """`metric` over the rows that have it, with its interval, clustered by group."""
    if metric in CORPUS_METRICS:
        return summarize_corpus_metric(rows, metric)
    scores = {row.id: score for row in rows if (score := row.scores.get(metric)) is not None}
    estimate = mean_interval(scores, {row.id: row.group for row in rows})
    return MetricSummary(
        mean=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        rows=estimate.rows,
        errors=sum(metric in row.errors for row in rows),
        detectable=estimate.detectable,
    )


def summarize_all(rows: Sequence[RowResult], metrics: Iterable[str]) -> dict[str, MetricSummary]:
    """Summary by metric."""
    return {metric: summarize(rows, metric) for metric in metrics}


def summarize_slices(
    rows: Iterable[RowResult], metrics: Sequence[str]
) -> dict[str, dict[str, dict[str, MetricSummary]]]:
    """Summary by slice name, slice value and metric, values in order."""
    found: dict[str, dict[str, list[RowResult]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for name, value in row.slices.items():
            found[name][value].append(row)
    return {
        name: {value: summarize_all(found[name][value], metrics) for value in sorted(found[name])}
        for name in sorted(found)
    }


def count_states(rows: Iterable[RowResult]) -> dict[RowState, int]:
    """Rows by final state; states that no row ended in are 0."""
    found = Counter(row.state for row in rows)
    states: tuple[RowState, ...] = get_args(RowState)
    return {state: found[state] for state in states}


def judge_quality(rows: Iterable[RowResult], metric: str, repeats: int) -> JudgeQuality:
    """Errors of the judge in a metric, and how far its repeated ratings of an answer agree."""
    ratings = [
        row.ratings.get(metric, []) for row in rows if metric in row.scores or metric in row.errors
    ]
    given = sum(len(found) for found in ratings)
    pairs = [a == b for found in ratings for a, b in combinations(found, 2)]
    squares = [
        (rating - sum(found) / len(found)) ** 2
        for found in ratings
        if len(found) > 1
        for rating in found
    ]
    freedom = sum(len(found) - 1 for found in ratings if len(found) > 1)
    return JudgeQuality(
        ratings=given,
        errors=len(ratings) * repeats - given,
        self_agreement=sum(pairs) / len(pairs) if pairs else None,
        spread=math.sqrt(math.fsum(squares) / freedom) if freedom else None,
    )


def latency_percentiles(rows: Iterable[RowResult]) -> tuple[float | None, float | None]:
    """Median and 95th percentile of the latency of single requests, in seconds."""
    latencies = sorted(row.latency_seconds for row in rows if row.latency_seconds > 0)
    if not latencies:
        return None, None
    last = len(latencies) - 1
    return latencies[round(0.5 * last)], latencies[round(0.95 * last)]


def worst_rows(rows: Iterable[RowResult], metric: str) -> list[RowResult]:
    """Rows without an answer, then those with the lowest scores; at most ten."""
    unanswered = [row for row in rows if row.state in {"blocked", "failed"}]
    scored = [(score, row) for row in rows if (score := row.scores.get(metric)) is not None]
    scored.sort(key=lambda found: (found[0], found[1].id))
    return [*unanswered, *(row for _, row in scored)][:10]
