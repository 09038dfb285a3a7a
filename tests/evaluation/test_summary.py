"""Figures of a report, by hand on a few rows."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from genaiops_dagster.evaluation.scoring.statistics import mean_interval
from genaiops_dagster.evaluation.scoring.summary import (
    count_states,
    judge_quality,
    latency_percentiles,
    summarize,
    summarize_slices,
    worst_rows,
)
from genaiops_dagster.records.evaluation import RowResult, RowState
from tests.comparison.examples import make_rows


def make_row(number: int, score: float | None = None, **changes: Any) -> RowResult:
    [row] = make_rows(0.5, 1)
    scores = {} if score is None else {"exact_match": score}
    name = f"row-{number}"
    return row.model_copy(update={"id": name, "group": name, "scores": scores, **changes})


SCORES = [0.1, 0.3, 0.3, 0.9, 0.8, 0.2]


def test_a_metric_is_summarized_over_rows_that_have_it() -> None:
    groups = {f"row-{n}": f"group-{n // 2}" for n in range(6)}
    rows = [make_row(n, score, group=groups[f"row-{n}"]) for n, score in enumerate(SCORES)]
    failed = make_row(6, errors={"exact_match": "outage"})
    found = summarize([*rows, failed], "exact_match")
    expected = mean_interval({f"row-{n}": score for n, score in enumerate(SCORES)}, groups)
    assert (found.rows, found.errors) == (6, 1)
    assert (found.mean, found.low, found.high) == (expected.mean, expected.low, expected.high)
    assert found.detectable == expected.detectable
    assert expected.detectable is not None


def test_a_figure_of_all_rows_together_is_no_mean_of_rows() -> None:
    """Two classes, of which one is never found: recall and precision of 1/2 and 0, F1 of 1/3."""
    rows = [make_row(n, reference=word, answer="json") for n, word in enumerate(["json", "csv"])]
    assert summarize(rows, "macro_f1").mean == pytest.approx((2 / 3 + 0) / 2)


def test_slices_are_in_order() -> None:
    rows = [
        make_row(n, score, slices={"topic": topic, "half": "odd"})
        for n, (score, topic) in enumerate([(1.0, "c"), (0.0, "a"), (0.5, "b"), (1.0, "a")])
    ]
    found = summarize_slices(rows, ["exact_match"])
    assert [*found] == ["half", "topic"]
    means = {value: metrics["exact_match"].mean for value, metrics in found["topic"].items()}
    assert [*means.items()] == [("a", 0.5), ("b", 0.5), ("c", 1.0)]


def test_every_state_is_counted() -> None:
    rows = [make_row(1), make_row(2, state="failed"), make_row(3)]
    assert count_states(rows) == {
        state: {"answered": 2, "failed": 1}.get(state, 0) for state in get_args(RowState)
    }


def test_a_judge_is_asked_as_often_as_it_should_rate() -> None:
    rated = [
        make_row(1, ratings={"helpful": [4.0, 5.0]}).model_copy(
            update={"scores": {"helpful": 4.5}}
        ),
        make_row(2, ratings={"helpful": [3.0, 3.0]}).model_copy(
            update={"scores": {"helpful": 3.0}}
        ),
        make_row(3, ratings={"helpful": [2.0]}).model_copy(update={"scores": {"helpful": 2.0}}),
        make_row(4, errors={"helpful": "outage"}),
        make_row(5),
    ]
    found = judge_quality(rated, "helpful", repeats=2)
    assert (found.ratings, found.errors) == (5, 3)
    assert found.self_agreement == 0.5
    assert found.spread == pytest.approx((0.5 / 2) ** 0.5)


def test_a_judge_that_rates_once_has_no_spread() -> None:
    row = make_row(1, ratings={"helpful": [2.0]}).model_copy(update={"scores": {"helpful": 2.0}})
    found = judge_quality([row], "helpful", repeats=1)
    assert (found.self_agreement, found.spread) == (None, None)


def test_latency_is_of_requests_that_were_made_one_by_one() -> None:
    """A row of a batch job has none."""
    latencies = [0.0] * 50 + [float(n) for n in range(101, 0, -1)]
    rows = [make_row(n, latency_seconds=seconds) for n, seconds in enumerate(latencies)]
    assert latency_percentiles(rows) == (51.0, 96.0)
    assert latency_percentiles(rows[:50]) == (None, None)


def test_the_worst_rows_are_those_without_an_answer_and_with_the_lowest_scores() -> None:
    rows = [make_row(n, 1 - n / 20) for n in range(20)]
    blocked, failed = make_row(20, state="blocked"), make_row(21, state="failed")
    truncated = make_row(22, 0.0, state="truncated")
    found = worst_rows([*rows, blocked, failed, truncated], "exact_match")
    assert [row.id for row in found[:4]] == ["row-20", "row-21", "row-22", "row-19"]
    assert len(found) == 10
