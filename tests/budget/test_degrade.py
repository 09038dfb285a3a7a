"""What is done with less is chosen by rule, the same everywhere, and never silently."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pytest

from genaiops_dagster.budget.degrade import degrade, stratified_sample, with_less
from genaiops_dagster.budget.limits import BudgetExceededError
from genaiops_dagster.records.budget import CostEstimate, Degradation, StageCost, totals
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.use_case import UseCase
from tests.budget.conftest import use_case_with

JUDGE = {"model": "gemini-3.1-pro-preview", "metrics": {"kind": {"criteria": "Kind."}}}
USD_PER_ROW = {"gemini-3.1-pro-preview": 0.10, "gemini-3.5-flash": 0.05}
"""Prices of these tests: what a row costs, by its judge."""


def examples(**topics: int) -> dict[str, Example]:
    """So many examples of each topic, one topic after the other."""
    return {
        f"{topic}-{n}": Example(
            id=f"{topic}-{n}", group="", slices={"topic": topic}, variables={}, output=""
        )
        for topic, count in topics.items()
        for n in range(count)
    }


def split(rows: int = 100, digest: str = "whole") -> DatasetSplit:
    return DatasetSplit(
        name="evaluation",
        uri="gs://bucket/evaluation.jsonl",
        digest=digest,
        dataset_digest="d",
        prompt_digest="p",
        rows=rows,
        characters=100 * rows,
    )


def judged(limit_usd: float, minimum_rows: int = 1, **policy: Any) -> UseCase:
    return use_case_with(
        evaluation={"judge": JUDGE},
        budget={"per_run_usd": limit_usd, "degrade": policy},
        gate={
            "minimum_rows": minimum_rows,
            "rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0.5}],
        },
    )


def price(use_case: UseCase, asked: DatasetSplit) -> CostEstimate:
    assert use_case.evaluation.judge is not None
    model = use_case.evaluation.judge.model
    usd = asked.rows * USD_PER_ROW[model]
    stage = StageCost(
        stage="judging",
        model=model,
        calls=asked.rows,
        input_tokens=0,
        output_tokens=0,
        maximum_output_tokens=0,
        cost_usd=usd,
        maximum_usd=usd,
    )
    return CostEstimate(
        use_case=use_case.name,
        training_digest="",
        evaluation_digest=asked.digest,
        prompt_digest="",
        stages=[stage],
        error_share=0.0,
        emulated=True,
        **totals([stage]),
    )


def decide(use_case: UseCase) -> CostEstimate:
    whole = split()
    return degrade(
        price(use_case, whole), use_case, whole, lambda rows: split(rows, f"sample-{rows}"), price
    )


def test_a_sample_has_every_slice_in_proportion() -> None:
    rows = examples(common=60, rare=30, odd=10)
    chosen = stratified_sample(rows, 20)
    assert Counter(key.partition("-")[0] for key in chosen) == {"common": 12, "rare": 6, "odd": 2}
    assert chosen == [key for key in rows if key in chosen]


def test_a_sample_has_exactly_as_many_rows_as_it_should() -> None:
    """Seven slices of different sizes, so that no share is a whole number."""
    rows = examples(**{name: 3 + 5 * n for n, name in enumerate("abcdefg")})
    for size in range(1, len(rows) + 1):
        assert len(stratified_sample(rows, size)) == size


def test_the_same_rows_are_chosen_whatever_their_order() -> None:
    rows = examples(common=60, rare=30)
    backwards = dict(reversed(rows.items()))
    assert set(stratified_sample(rows, 15)) == set(stratified_sample(backwards, 15))


def test_the_rows_with_the_smallest_hashes_are_chosen() -> None:
    rows = examples(only=50)
    by_hash = sorted(rows, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
    assert set(stratified_sample(rows, 5)) == set(by_hash[:5])
    assert set(stratified_sample(rows, 5)) < set(stratified_sample(rows, 20))


def test_nothing_is_done_with_less_while_the_whole_run_fits() -> None:
    estimate = decide(judged(10.0, judge="gemini-3.5-flash", evaluation_rows=[50]))
    assert estimate.degradation is None
    assert estimate.maximum_usd == pytest.approx(10.0)


def test_a_cheaper_judge_comes_before_a_smaller_sample() -> None:
    estimate = decide(judged(5.0, judge="gemini-3.5-flash", evaluation_rows=[50]))
    assert estimate.degradation is not None
    assert estimate.degradation.judge == "gemini-3.5-flash"
    assert estimate.degradation.sample is None
    judge, why = estimate.degradation.done
    assert judge == "gemini-3.5-flash judges in place of gemini-3.1-pro-preview"
    assert "budget.per_run_usd is 5.00 USD; asked 10.00 USD" in why


def test_the_largest_sample_that_fits_is_taken() -> None:
    estimate = decide(judged(3.0, judge="gemini-3.5-flash", evaluation_rows=[10, 70, 50]))
    assert estimate.degradation is not None
    assert estimate.degradation.sample == split(50, "sample-50")
    assert estimate.evaluation_digest == "sample-50"
    assert estimate.maximum_usd == pytest.approx(2.5)
    assert estimate.degradation.done[0] == (
        "50 of 100 evaluation rows are asked, by slices in proportion"
    )


def test_a_sample_that_the_gate_will_not_decide_on_says_so() -> None:
    estimate = decide(judged(1.0, minimum_rows=80, evaluation_rows=[10]))
    assert estimate.degradation is not None
    assert "the gate asks for 80 and will not decide" in estimate.degradation.done[0]


def test_where_nothing_allowed_is_enough_the_whole_run_is_asked_for_and_refused() -> None:
    estimate = decide(judged(0.1, judge="gemini-3.5-flash", evaluation_rows=[50, 10]))
    assert estimate.degradation is None
    assert estimate.maximum_usd == pytest.approx(10.0)


def test_a_sample_of_another_evaluation_set_is_refused() -> None:
    use_case = judged(1.0, evaluation_rows=[10])
    degradation = Degradation(
        evaluation_digest="older", evaluation_rows=100, sample=split(10), judge=None, done=[]
    )
    with pytest.raises(BudgetExceededError, match="materialize words/cost_estimate again"):
        with_less(use_case, split(), degradation)


@pytest.mark.parametrize(
    ("policy", "said"),
    [({}, "give judge or evaluation_rows"), ({"judge": "gemini-3.5-flash"}, "has no judge")],
)
def test_a_policy_that_allows_nothing_is_refused(policy: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        use_case_with(budget={"degrade": policy})
