"""What may follow a model that goes."""

from __future__ import annotations

import datetime as dt

import pytest

from genaiops_dagster.planning.estimate import estimate_run
from genaiops_dagster.planning.retirement import closing
from tests.budget.conftest import use_case_with
from tests.planning.test_estimate import VOLUME

DECEMBER = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
JUDGE = {"model": "gemini-3.7-flash", "metrics": {"kind": {"criteria": "Kind."}}}


def test_a_base_is_followed_by_one_that_can_be_tuned_and_is_priced() -> None:
    """Gemini 3.5 Flash may go on 19 May 2027; Gemini 3.8 Flash stays longer, and is not tuned."""
    use_case = use_case_with()
    estimate = estimate_run(use_case, VOLUME, DECEMBER, emulated=False)
    [found] = closing(use_case, 180, DECEMBER, estimate)
    assert (found.model, found.used_as) == (
        "gemini-3.5-flash",
        ["tuning.base_model", "candidates.flash"],
    )
    assert "not before 2027-05-19" in found.sentence
    assert found.successors == ["gemini-3.5-flash-lite"]
    assert found.tuned_in == ["us-central1", "europe-west4"]
    assert found.tuning_usd is None, "no price of tuning it was published"
    own = use_case_with(budget={"prices": {"gemini-3.5-flash-lite": {"tuning": 4.0}}})
    [priced] = closing(own, 180, DECEMBER, estimate)
    assert priced.tuning_usd == pytest.approx(3 * 4.0), "a million tokens, three epochs"


def test_a_judge_is_followed_by_the_one_that_is_recommended() -> None:
    use_case = use_case_with(evaluation={"judge": JUDGE})
    found = {one.model: one for one in closing(use_case, 60, DECEMBER, None)}
    assert found.keys() == {"gemini-3.7-flash"}
    judge = found["gemini-3.7-flash"]
    assert (judge.used_as, judge.successors[0]) == (["evaluation.judge"], "gemini-3.8-flash")
    assert (judge.tuned_in, judge.tuning_usd) == ([], None)


def test_nothing_is_said_of_what_stays_or_is_not_known() -> None:
    assert list(closing(use_case_with(), 30, DECEMBER, None)) == []
    candidates = {"mine": {"model": "gemini-99"}, "tuned": {"model": "tuned"}}
    unknown = use_case_with(tuning={"base_model": "gemini-99"}, candidates=candidates)
    assert list(closing(unknown, 10_000, DECEMBER, None)) == []
