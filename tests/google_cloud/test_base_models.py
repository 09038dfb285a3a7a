"""Models are warned of before they are retired, and refused after.

Days: https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/model-versions
"""

from __future__ import annotations

import datetime as dt

import pytest

from genaiops_dagster.google_cloud.base_models import (
    BASE_MODELS,
    RetiredModelError,
    availability,
    concerns,
    require_available,
)

TODAY = dt.date(2026, 11, 20)


def test_a_retired_model_is_refused_with_its_successor() -> None:
    with pytest.raises(RetiredModelError, match=r"retired on 2026-06-01; move to gemini-3\.5"):
        require_available("gemini-2.0-flash", TODAY)


def test_the_last_day_is_still_a_day() -> None:
    require_available("gemini-2.5-flash-lite", dt.date(2027, 1, 28))
    with pytest.raises(RetiredModelError):
        require_available("gemini-2.5-flash-lite", dt.date(2027, 1, 29))


def test_a_model_that_closes_is_warned_of_and_allowed() -> None:
    require_available("projects/p/locations/l/publishers/google/models/gemini-2.5-pro", TODAY)
    found = availability("gemini-2.5-pro", TODAY)
    assert found.standing == "closing"
    for part in ("2027-03-31", "2026-10-20", "gemini-3.5-flash"):
        assert part in found.sentence


def test_a_model_far_from_its_end_is_not_warned_of() -> None:
    assert availability("gemini-2.5-pro", dt.date(2026, 1, 1)).standing == "available"
    assert availability("gemini-3.5-flash", TODAY).standing == "available"


def test_nothing_is_invented_for_unknown_models() -> None:
    assert availability("gemini-99", TODAY).standing == "unknown"
    require_available("gemini-99", TODAY)


def test_concerns_are_named_once() -> None:
    names = ["gemini-2.5-flash", "gemini-3.5-flash", "gemini-2.5-flash"]
    assert [one.model for one in concerns(names, TODAY)] == ["gemini-2.5-flash"]


def test_every_successor_is_known_and_not_retired() -> None:
    for model in BASE_MODELS.values():
        if model.successor:
            assert availability(model.successor, TODAY).standing == "available"
