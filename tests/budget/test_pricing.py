"""Prices are those that Google publishes, per million tokens in US dollars.

Expected figures: https://cloud.google.com/vertex-ai/generative-ai/pricing and
https://ai.google.dev/gemini-api/docs/pricing, as of November 2026.
What tuned models and locations cost more:
https://cloud.google.com/gemini-enterprise-agent-platform/generative-ai/pricing.
"""

from __future__ import annotations

import datetime as dt

import pytest

from genaiops_dagster.budget.pricing import (
    EVALUATION_SERVICE,
    PriceList,
    cache_storage_cost,
    computed_metrics_cost,
    is_tuned,
    token_cost,
    tuning_cost,
)
from genaiops_dagster.google_cloud.base_models import base_model_name
from genaiops_dagster.use_case.budget import ModelPrice

NOVEMBER = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
LISTED = PriceList(NOVEMBER)


def agreed(prices: dict[str, ModelPrice]) -> PriceList:
    return PriceList(NOVEMBER, prices)


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("gemini-2.5-flash", 0.30 + 2.50),
        ("gemini-2.5-flash-lite", 0.10 + 0.40),
        ("gemini-3.5-flash", 1.65 + 9.90),
        ("gemini-3.1-flash-lite", 0.275 + 1.65),
        ("gemini-3.1-pro-preview", 2.00 + 12.00),
    ],
)
def test_a_million_tokens_in_and_out(model: str, usd: float) -> None:
    """Those of a location that is not `global`, where models are tuned."""
    cost = token_cost(model, 1_000_000, 1_000_000, requests=1000, prices=LISTED)
    assert cost == pytest.approx(usd)


def test_other_locations_than_global_cost_the_same_before_july_2026() -> None:
    june = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)
    assert token_cost("gemini-3.5-flash", 1_000_000, 0, prices=PriceList(june)) == pytest.approx(
        1.50
    )


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("gemini-3.5-flash", 1.5 * (1.65 + 9.90)),
        ("gemini-3.1-flash-lite", 1.5 * (0.275 + 1.65)),
        ("gemini-2.5-flash", 0.30 + 2.50),
    ],
)
def test_a_tuned_model_costs_half_as_much_again_from_gemini_3_on(model: str, usd: float) -> None:
    cost = token_cost(model, 1_000_000, 1_000_000, tuned=True, prices=LISTED)
    assert cost == pytest.approx(usd)


def test_the_use_case_may_say_what_a_tuned_model_costs() -> None:
    prices = {
        "gemini-3.5-flash": ModelPrice(tuned_factor=2.0),
        "mine": ModelPrice(input=1.0, output=1.0, tuned_factor=3.0),
    }
    cost = token_cost("gemini-3.5-flash", 1_000_000, 0, tuned=True, prices=agreed(prices))
    assert cost == pytest.approx(2 * 1.65)
    assert token_cost("mine", 1_000_000, 0, tuned=True, prices=agreed(prices)) == pytest.approx(3.0)
    assert token_cost("mine", 1_000_000, 0, prices=agreed(prices)) == pytest.approx(1.0)


def test_searches_of_a_tuned_model_cost_what_searches_cost() -> None:
    with_search = token_cost("gemini-3.5-flash", 1000, 0, tuned=True, searches=1, prices=LISTED)
    without = token_cost("gemini-3.5-flash", 1000, 0, tuned=True, prices=LISTED)
    assert with_search is not None
    assert without is not None
    assert with_search - without == pytest.approx(0.014)


def test_computed_metrics_are_priced_by_characters() -> None:
    """0.00003 USD for a thousand characters in and 0.00009 out."""
    assert computed_metrics_cost(1_000_000, 0, prices=LISTED) == pytest.approx(0.03)
    assert computed_metrics_cost(0, 50_000, prices=LISTED) == pytest.approx(0.09)
    prices = {EVALUATION_SERVICE: ModelPrice(input=1.0, output=0.0)}
    assert computed_metrics_cost(1_000_000, 1000, prices=agreed(prices)) == pytest.approx(1.0)


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
    assert token_cost(name, 1000, 0, prices=LISTED) == token_cost(
        "gemini-2.5-flash", 1000, 0, prices=LISTED
    )


def test_an_endpoint_of_an_unknown_model_has_no_price() -> None:
    endpoint = "projects/p/locations/us-central1/endpoints/123"
    assert is_tuned(endpoint)
    assert not is_tuned(
        "projects/p/locations/us-central1/publishers/google/models/gemini-3.5-flash"
    )
    assert token_cost(endpoint, 1000, 1000, prices=LISTED) is None
    assert token_cost(endpoint, 1000, 1000, tuned=True, prices=LISTED) is None


def test_many_short_prompts_are_not_priced_as_one_long_prompt() -> None:
    """Prompts above 200,000 tokens cost twice as much; a thousand short ones together do not."""
    together = token_cost("gemini-2.5-pro", 1_000_000, 100_000, requests=1000, prices=LISTED)
    assert together == pytest.approx(1.25 + 1.00)
    assert token_cost("gemini-2.5-pro", 1_000_000, 100_000, prices=LISTED) == pytest.approx(
        2.50 + 1.50
    )


def test_prompts_that_are_long_on_the_mean_are_priced_as_long_ones() -> None:
    cost = token_cost("gemini-2.5-pro", 400_001, 0, requests=2, prices=LISTED)
    assert cost == pytest.approx(400_001 * 2.50e-6)


def test_the_total_does_not_depend_on_how_tokens_divide_by_requests() -> None:
    assert token_cost("gemini-2.5-flash", 1001, 7, requests=1000, prices=LISTED) == pytest.approx(
        1001 * 0.30e-6 + 7 * 2.50e-6
    )


def test_cached_and_batch_tokens_cost_less() -> None:
    full = token_cost("gemini-2.5-flash", 10_000, 0, prices=LISTED)
    assert token_cost(
        "gemini-2.5-flash", 10_000, 0, cached_tokens=10_000, prices=LISTED
    ) == pytest.approx(0.03e-6 * 10_000)
    assert full is not None
    assert token_cost("gemini-2.5-flash", 10_000, 0, batch=True, prices=LISTED) == pytest.approx(
        full / 2
    )


def test_prices_are_dated() -> None:
    """The introductory price of this model ends with the year."""
    later = dt.datetime(2027, 2, 1, tzinfo=dt.UTC)
    before = token_cost("gemini-3.8-flash", 1000, 1000, prices=LISTED)
    after = token_cost("gemini-3.8-flash", 1000, 1000, prices=PriceList(later))
    assert before is not None
    assert after == pytest.approx(2 * before)


def test_unknown_models_have_no_price() -> None:
    assert token_cost("gemini-99", 1, 1, prices=LISTED) is None
    assert tuning_cost("gemini-99", 1000, prices=LISTED) is None


def test_no_request_costs_nothing() -> None:
    assert token_cost("gemini-2.5-flash", 0, 0, requests=0, prices=LISTED) == 0
    assert token_cost("gemini-2.5-flash", 10, 0, requests=0, prices=LISTED) == 0


def test_a_search_costs_something_without_any_token() -> None:
    assert token_cost("gemini-3.5-flash", 0, 0, searches=2, prices=LISTED) == pytest.approx(0.028)


@pytest.mark.parametrize(
    ("model", "prices", "usd"),
    [
        ("gemini-2.5-flash", {}, 0.5),
        ("gemini-2.5-pro", {}, 2.25),
        ("gemini-2.5-flash", {"gemini-2.5-flash": ModelPrice(cache_storage=0.2)}, 0.1),
        ("gemini-2.5-flash", {"gemini-2.5-flash": ModelPrice(cache_storage=0.0)}, 0.0),
        ("gemini-2.5-flash", {"gemini-2.5-flash": ModelPrice(tuning=1.0)}, 0.5),
        ("mine", {}, None),
    ],
)
def test_a_context_cache_is_paid_by_the_hour(
    model: str, prices: dict[str, ModelPrice], usd: float | None
) -> None:
    half_an_hour = dt.timedelta(minutes=30)
    cost = cache_storage_cost(model, 1_000_000, half_an_hour, prices=agreed(prices))
    assert cost == (None if usd is None else pytest.approx(usd))


def test_tuning_is_priced_by_training_tokens() -> None:
    assert tuning_cost("gemini-3.1-flash-lite", 2_000_000, prices=LISTED) == pytest.approx(6.0)
    assert tuning_cost("gemini-3.5-flash", 1_000_000, prices=LISTED) == pytest.approx(10.0)
    assert tuning_cost("gemini-3.5-flash-lite", 1_000_000, prices=LISTED) is None


def test_the_use_case_may_give_its_own_tuning_price() -> None:
    prices = {"gemini-99": ModelPrice(tuning=6.0)}
    assert tuning_cost("gemini-99", 500_000, prices=agreed(prices)) == pytest.approx(3.0)
    assert token_cost("gemini-99", 1, 1, prices=agreed(prices)) is None


def test_the_use_case_may_give_its_own_token_price() -> None:
    prices = {"gemini-2.5-flash": ModelPrice(input=1.0, output=2.0)}
    cost = token_cost("gemini-2.5-flash-001", 1_000_000, 1_000_000, prices=agreed(prices))
    assert cost == pytest.approx(3.0)
