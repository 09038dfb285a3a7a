"""Prompts are admitted one by one, as far as the budget reaches."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from genaiops_dagster.budget.admission import Requests, refuse_over_budget
from genaiops_dagster.budget.limits import Spent
from genaiops_dagster.budget.pricing import PriceList, token_cost
from genaiops_dagster.use_case.budget import Budget

REQUESTS = Requests(
    use_case="mine",
    stage="generation",
    candidate="flash",
    model="gemini-3.5-flash",
    max_output_tokens=100,
)
PRICES = {"gemini-3.5-flash": {"input": 1.0, "output": 10.0}}  # 100 in and 100 out: 0.0011 USD


def budget(**limits: Any) -> Budget:
    return Budget.model_validate({"prices": PRICES, **limits})


def prices(limits: Budget) -> PriceList:
    return PriceList(dt.datetime(2026, 11, 20, tzinfo=dt.UTC), limits.prices)


def refuse(
    prompts: list[int], requests: Requests, limits: Budget, *taken: Spent, **more: Spent
) -> list[str | None]:
    return refuse_over_budget(prompts, requests, limits, prices(limits), *taken, **more)


def test_all_are_admitted_within_the_limits() -> None:
    assert refuse([100] * 50, REQUESTS, budget()) == [None] * 50


def test_a_limit_on_one_request_refuses_just_the_long_ones() -> None:
    found = refuse([100, 5000, 100], REQUESTS, budget(per_request_tokens=1000))
    assert [reason is None for reason in found] == [True, False, True]
    assert "per_request_tokens is 1,000 tokens; asked 5,100 tokens" in str(found[1])


def test_a_limit_on_the_run_admits_in_order_what_fits_together() -> None:
    found = refuse([100] * 10, REQUESTS, budget(per_run_usd=0.0045))
    assert [reason is None for reason in found] == [True] * 4 + [False] * 6
    assert "per_run_usd" in str(found[4])
    assert "left 0.0001 USD" in str(found[4])


def test_a_shorter_prompt_may_still_fit_after_one_that_does_not() -> None:
    found = refuse([100, 4000, 100], REQUESTS, budget(per_run_usd=0.003))
    assert [reason is None for reason in found] == [True, False, True]


@pytest.mark.parametrize(
    ("limits", "prompts", "admitted"),
    [
        ({"per_run_tokens": 400}, [100, 100, 100], [True, True, False]),
        ({"per_run_usd": 0.0023}, [4000, 100, 100, 100], [False, True, True, False]),
        ({"per_run_usd": 100}, [1_048_476], [True]),
        ({"per_run_usd": 100}, [1_048_477], [False]),
    ],
)
def test_a_limit_may_be_reached(
    limits: dict[str, float], prompts: list[int], admitted: list[bool]
) -> None:
    assert [reason is None for reason in refuse(prompts, REQUESTS, budget(**limits))] == admitted


def test_an_estimate_is_of_all_the_answers_that_are_asked_for() -> None:
    found = replace(REQUESTS, answers=3).estimate([100, 300], prices(budget()))
    assert found.maximum_tokens == 400 + 2 * 3 * 100
    assert found.largest_request_tokens == 300 + 3 * 100


@pytest.mark.parametrize(
    ("model", "how", "priced"),
    [
        ("gemini-3.5-flash", {"tuned": True}, {"tuned": True}),
        ("gemini-2.5-flash", {"batch": True}, {"batch": True}),
        ("gemini-3.5-flash", {"grounded": True}, {"searches": 1}),
    ],
)
def test_an_estimate_is_priced_as_its_requests_are(model: str, how: Any, priced: Any) -> None:
    listed = prices(Budget())
    requests = replace(REQUESTS, model=model, **how)
    expected = token_cost(model, 1000, 100, prices=listed, **priced)
    assert expected != token_cost(model, 1000, 100, prices=listed)
    assert requests.estimate([1000], listed).maximum_usd == pytest.approx(expected)


def test_what_was_spent_counts() -> None:
    limits = budget(per_run_usd=0.0023, per_month_usd=1.0)
    assert refuse([100] * 3, REQUESTS, limits, Spent(0.0012, 0))[1:] != [None, None]
    assert refuse([100], REQUESTS, limits, month=Spent(0.9999, 0)) != [None]


def test_what_was_admitted_can_be_reserved() -> None:
    """The sum over single requests is what they cost together."""
    limits = budget(per_run_usd=0.0045)
    found = refuse([100] * 10, REQUESTS, limits)
    admitted = [100 for reason in found if reason is None]
    assert REQUESTS.estimate(admitted, prices(limits)).maximum_usd <= 0.0045


def test_a_prompt_that_the_model_cannot_take_is_refused() -> None:
    (reason,) = refuse([1_048_550], REQUESTS, budget(per_run_usd=100))
    assert "gemini-3.5-flash takes 1,048,576" in str(reason)


def test_a_price_that_is_not_known_refuses() -> None:
    unknown = Requests("mine", "generation", "x", "my-own-model", 10)
    (reason,) = refuse([10], unknown, Budget())
    assert "no price is known for my-own-model" in str(reason)
