"""Facts of models: each has its source, both copies are the same, and what has ended is refused."""

from __future__ import annotations

import datetime as dt
import importlib.resources

import pytest

from genaiops_dagster.google_cloud.base_models import (
    Published,
    RetiredModelError,
    ThinkingTokens,
    availability,
    base_model_name,
    concerns,
    facts_of,
    model_facts,
    require_available,
    stale_facts,
)
from tests.values import present

TODAY = dt.date(2026, 11, 20)


def test_the_emulator_has_the_same_facts() -> None:
    ours = importlib.resources.files("genaiops_dagster.google_cloud") / "models.toml"
    its = importlib.resources.files("vertex_emulator.models") / "models.toml"
    assert ours.read_bytes() == its.read_bytes()


def test_every_fact_has_a_source() -> None:
    facts = model_facts()
    published: list[Published | ThinkingTokens] = [
        facts.tuned_factor,
        facts.regional_factor,
        facts.batch_factor,
        facts.thinking_tokens,
    ]
    published += [model.tuning_usd for model in facts.models.values() if model.tuning_usd]
    for model in facts.models.values():
        assert model.sources
        assert facts.sources.keys() >= set(model.sources)
    assert facts.sources.keys() >= {price.source for price in published}


def test_every_source_is_used() -> None:
    facts = model_facts()
    used = {source for model in facts.models.values() for source in model.sources}
    used |= {model.tuning_usd.source for model in facts.models.values() if model.tuning_usd}
    factors = (facts.tuned_factor, facts.regional_factor, facts.batch_factor)
    used |= {factor.source for factor in (*factors, facts.thinking_tokens)}
    assert used == facts.sources.keys()


def test_what_is_said_of_a_model_fits_together() -> None:
    for model in model_facts().models.values():
        assert bool(model.tuned_in) == bool(model.tuning_methods)
        assert not (model.ended and model.tuned_in), "nothing is tuned any more"
        if model.thinking_default:
            assert model.thinking_default in model.thinking_levels


def test_a_retired_model_is_refused_with_its_successor() -> None:
    with pytest.raises(RetiredModelError, match=r"retired on 2026-06-01; move to gemini-3\.5"):
        require_available("gemini-2.0-flash-001", TODAY)


def test_the_last_day_is_still_a_day() -> None:
    require_available("gemini-3.6-flash", dt.date(2026, 11, 19))
    with pytest.raises(RetiredModelError):
        require_available("gemini-3.6-flash", dt.date(2026, 11, 20))


def test_a_model_that_may_go_soon_is_warned_of_and_allowed() -> None:
    require_available("projects/p/locations/l/publishers/google/models/gemini-3.7-flash", TODAY)
    found = availability("gemini-3.7-flash", TODAY)
    assert found.standing == "closing"
    for part in ("not before 2027-01-28", "gemini-3.8-flash"):
        assert part in found.sentence


def test_a_model_is_allowed_after_the_first_day_on_which_it_may_go() -> None:
    later = dt.date(2027, 6, 1)
    require_available("gemini-3.5-flash", later)
    assert availability("gemini-3.5-flash", later).standing == "closing"


def test_a_model_far_from_its_end_is_not_warned_of() -> None:
    assert availability("gemini-2.5-pro", dt.date(2026, 1, 1)).standing == "available"
    assert availability("gemini-3.5-flash", TODAY).standing == "available"
    assert availability("gemini-3.1-pro-preview", TODAY).standing == "available"


def test_nothing_is_invented_for_unknown_models() -> None:
    assert availability("gemini-99", TODAY).standing == "unknown"
    assert facts_of("gemini-99") is None
    require_available("gemini-99", TODAY)


def test_concerns_are_named_once() -> None:
    names = ["gemini-3.7-flash", "gemini-3.5-flash", "gemini-3.7-flash"]
    assert [one.model for one in concerns(names, TODAY)] == ["gemini-3.7-flash"]


def test_every_successor_is_known_and_not_retired() -> None:
    for model in model_facts().models.values():
        if model.successor:
            assert availability(model.successor, TODAY).standing == "available"


def test_old_facts_are_pointed_out() -> None:
    collected = model_facts().as_of
    assert stale_facts(collected + dt.timedelta(days=90)) == ""
    assert str(collected) in stale_facts(collected + dt.timedelta(days=91))


@pytest.mark.parametrize(
    "name",
    [
        "gemini-3.5-flash",
        "gemini-3.5-flash-001",
        "gemini-3.5-flash@default",
        "gemini-3.5-flash-emulated",
        "publishers/google/models/gemini-3.5-flash",
        "projects/p/locations/us-central1/publishers/google/models/gemini-3.5-flash",
    ],
)
def test_every_name_of_a_model_leads_to_its_facts(name: str) -> None:
    assert base_model_name(name) == "gemini-3.5-flash"
    assert present(facts_of(name)).name == "gemini-3.5-flash"
