from __future__ import annotations

import random

import pytest
from sklearn.metrics import f1_score

from genaiops_dagster.comparison.differences import (
    difference,
    pairwise_differences,
    slice_differences,
)
from genaiops_dagster.records.evaluation import RowResult
from tests.comparison.examples import make_rows
from tests.values import present

LABELS = ("csv", "json", "math")


def classified(share: float, seed: int, count: int = 150) -> list[RowResult]:
    """Rows of three classes of which about `share` is answered right."""
    truth, answers = random.Random(0), random.Random(seed)
    rows = []
    for number in range(count):
        expected = truth.choice(LABELS)
        answer = expected if answers.random() < share else answers.choice(LABELS)
        rows.append(
            RowResult(
                id=f"row-{number}",
                group=f"row-{number}",
                slices={},
                reference=expected,
                state="answered",
                answer=answer,
            )
        )
    return rows


def macro_f1(rows: list[RowResult]) -> float:
    return float(
        f1_score([row.reference for row in rows], [row.answer for row in rows], average="macro")
    )


def test_a_figure_of_all_rows_together_is_compared_by_the_paired_bootstrap() -> None:
    rows = {"tuned": classified(0.8, 1), "flash": classified(0.4, 2)}

    found = difference("macro_f1", "tuned", "flash", rows, 0.95)

    expected = macro_f1(rows["tuned"]) - macro_f1(rows["flash"])
    assert found.difference == pytest.approx(expected)
    assert present(found.low) < expected < present(found.high)
    assert present(found.p_value) < 0.01
    assert found.method == "paired bootstrap"


def test_candidates_with_the_same_answers_do_not_differ() -> None:
    rows = {"tuned": classified(0.6, 1), "flash": classified(0.6, 1)}
    found = difference("macro_f1", "tuned", "flash", rows, 0.95)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_the_bootstrap_finds_a_difference_where_there_is_none_about_as_often_as_it_says() -> None:
    wrong = 0
    for seed in range(100):
        rows = {"a": classified(0.6, 2 * seed + 1), "b": classified(0.6, 2 * seed + 2)}
        wrong += present(difference("macro_f1", "a", "b", rows, 0.95).p_value) <= 0.05
    assert wrong <= 11  # 5 are expected; more than 11 happen once in 200 times


def test_rows_that_one_candidate_lacks_are_left_out() -> None:
    rows = {"tuned": classified(0.8, 1), "flash": classified(0.4, 2)[:100]}
    assert difference("macro_f1", "tuned", "flash", rows, 0.95).rows == 100


def test_every_pair_is_compared_once_in_the_order_given() -> None:
    rows = {"c": make_rows(0.3), "a": make_rows(0.5, seed=1), "b": make_rows(0.7, seed=2)}
    found = pairwise_differences(rows, ["exact_match"], 0.95)
    assert [(d.challenger, d.baseline) for d in found] == [("c", "a"), ("c", "b"), ("a", "b")]


def test_slices_are_compared_one_by_one() -> None:
    rows = {"tuned": make_rows(0.9), "flash": make_rows(0.3, seed=1)}
    found = list(slice_differences(rows, "tuned", "exact_match", "half", 0.95))
    assert [(d.slice_name, d.slice_value, d.rows) for d in found] == [
        ("half", "even", 100),
        ("half", "odd", 100),
    ]
