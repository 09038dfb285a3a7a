"""Prices are those that Google publishes, per million tokens in US dollars.

Expected figures: https://cloud.google.com/vertex-ai/generative-ai/pricing and
https://ai.google.dev/gemini-api/docs/pricing, as of November 2026.
"""

from __future__ import annotations

import datetime as dt

import pytest

from genaiops_dagster.budget.pricing import base_model_name, token_cost, tuning_cost
from genaiops_dagster.budget_policy import ModelPrice

NOVEMBER = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("gemini-2.5-flash", 0.30 + 2.50),
        ("gemini-2.5-flash-lite", 0.10 + 0.40),
        ("gemini-3.5-flash", 1.50 + 9.00),
    ],
)
def test_a_million_tokens_in_and_out(model: str, usd: float) -> None:
    assert token_cost(model, 1_000_000, 1_000_000, at=NOVEMBER) == pytest.approx(usd)


@pytest.mark.parametrize(
    "name",
    [
        "gemini-2.5-flash",
        "gemini-2.5-flash-001",
        "gemini-2.5-flash@default",
        "gemini-2.5-flash-emulated",
        "publishers/google/models/gemini-2.5-flash",
        "projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash",
    ],
)
def test_every_name_of_a_model_has_its_price(name: str) -> None:
    assert base_model_name(name) == "gemini-2.5-flash"
    assert token_cost(name, 1000, 0) == token_cost("gemini-2.5-flash", 1000, 0)


def test_a_tuned_endpoint_is_priced_as_its_base_and_unknown_without() -> None:
    endpoint = "projects/p/locations/us-central1/endpoints/123"
    assert token_cost(endpoint, 1000, 1000) is None
    assert token_cost(endpoint, 1000, 1000, base_model="gemini-2.5-flash") == token_cost(
        "gemini-2.5-flash", 1000, 1000
    )


def test_many_short_prompts_are_not_priced_as_one_long_prompt() -> None:
    """Prompts above 200,000 tokens cost twice as much; a thousand short ones together do not."""
    together = token_cost("gemini-2.5-pro", 1_000_000, 100_000, requests=1000)
    assert together == pytest.approx(1.25 + 1.00)
    assert token_cost("gemini-2.5-pro", 1_000_000, 100_000) == pytest.approx(2.50 + 1.50)


def test_the_total_does_not_depend_on_how_tokens_divide_by_requests() -> None:
    assert token_cost("gemini-2.5-flash", 1001, 7, requests=1000) == pytest.approx(
        1001 * 0.30e-6 + 7 * 2.50e-6
    )


def test_cached_and_batch_tokens_cost_less() -> None:
    full = token_cost("gemini-2.5-flash", 10_000, 0)
    assert token_cost("gemini-2.5-flash", 10_000, 0, cached_tokens=10_000) == pytest.approx(
        0.03e-6 * 10_000
    )
    assert full is not None
    assert token_cost("gemini-2.5-flash", 10_000, 0, batch=True) == pytest.approx(full / 2)


def test_prices_are_dated() -> None:
    """The introductory price of this model ends with the year."""
    later = dt.datetime(2027, 2, 1, tzinfo=dt.UTC)
    before = token_cost("gemini-3.8-flash", 1000, 1000, at=NOVEMBER)
    after = token_cost("gemini-3.8-flash", 1000, 1000, at=later)
    assert before is not None
    assert after == pytest.approx(2 * before)


def test_unknown_models_have_no_price() -> None:
    assert token_cost("gemini-99", 1, 1) is None
    assert tuning_cost("gemini-99", 1000) is None


def test_no_request_costs_nothing() -> None:
    assert token_cost("gemini-2.5-flash", 0, 0, requests=0) == 0


def test_tuning_is_priced_by_training_tokens() -> None:
    assert tuning_cost("gemini-2.5-flash", 1_000_000) == pytest.approx(5.0)
    assert tuning_cost("gemini-2.5-pro", 2_000_000) == pytest.approx(50.0)


def test_the_use_case_may_give_its_own_tuning_price() -> None:
    prices = {"gemini-99": ModelPrice(tuning=6.0)}
    assert tuning_cost("gemini-99", 500_000, prices=prices) == pytest.approx(3.0)
    assert token_cost("gemini-99", 1, 1, prices=prices) is None


def test_the_use_case_may_give_its_own_token_price() -> None:
    prices = {"gemini-2.5-flash": ModelPrice(input=1.0, output=2.0)}
    cost = token_cost("gemini-2.5-flash-001", 1_000_000, 1_000_000, prices=prices)
    assert cost == pytest.approx(3.0)
