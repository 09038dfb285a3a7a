"""A model where the service does not have it is refused by name, before anything is paid."""

from __future__ import annotations

from typing import Any

import pytest

from genaiops_dagster.google_cloud.base_models import (
    location_in,
    multi_region,
    serving_location,
    tuning_location,
)
from genaiops_dagster.planning.places import MisplacedModelError, misplaced, require_in_place
from genaiops_dagster.use_case import UseCaseError, load_use_cases
from tests.budget.conftest import use_case_with


def test_the_shipped_use_cases_are_in_place() -> None:
    for use_case in load_use_cases().values():
        require_in_place(use_case, "us-central1")
        require_in_place(use_case, "europe-west4")


@pytest.mark.parametrize(
    ("sections", "location", "said"),
    [
        (
            {
                "candidates": {
                    "pro": {"model": "gemini-3.1-pro-preview", "location": "eu"},
                    "tuned": {"model": "tuned"},
                }
            },
            None,
            "candidates.pro.location is eu, and gemini-3.1-pro-preview is served in: global",
        ),
        (
            {
                "evaluation": {
                    "judge": {
                        "model": "gemini-3.8-flash",
                        "location": "us-central1",
                        "metrics": {"kind": {"criteria": "Kind."}},
                    }
                }
            },
            None,
            "evaluation.judge.location is us-central1, and gemini-3.8-flash is served in: global, "
            "us, eu",
        ),
        (
            {
                "evaluation": {
                    "judge": {
                        "model": "gemini-3.8-flash",
                        "metrics": {
                            "match": {"predefined": "final_response_match_v2"},
                            "safe": {"predefined": "safety_v3"},
                        },
                    }
                }
            },
            "us-central1",
            "evaluation.judge.metrics.safe.predefined is safety_v3, which gemini-3.5-flash "
            "computes; us-central1 has safety_v1",
        ),
        (
            {
                "candidates": {
                    "flash": {
                        "model": "gemini-3.8-flash",
                        "generation": {"thinking_level": "MINIMAL"},
                    },
                    "tuned": {"model": "tuned"},
                }
            },
            None,
            "candidates.flash.generation.thinking_level is MINIMAL, and gemini-3.8-flash takes: "
            "LOW, MEDIUM, HIGH",
        ),
        (
            {"candidates": {"tuned": {"model": "tuned", "generation": {"thinking_budget": 0}}}},
            None,
            "candidates.tuned.generation.thinking_budget: gemini-3.5-flash takes thinking_level: "
            "MINIMAL, LOW, MEDIUM, HIGH",
        ),
        (
            {
                "candidates": {
                    "calm": {"model": "gemini-3.8-flash", "generation": "deterministic"},
                    "wild": {"model": "gemini-3.8-flash", "generation": "random"},
                    "tuned": {"model": "tuned"},
                }
            },
            None,
            "candidates calm and wild differ only in temperature, top_p or top_k, which "
            "gemini-3.8-flash ignores; let them differ in thinking_level",
        ),
        (
            {"tuning": {"base_model": "gemini-3.8-flash"}},
            None,
            "tuning.base_model is gemini-3.8-flash, which the service does not tune",
        ),
        (
            {"tuning": {"base_model": "gemini-3.5-flash", "location": "asia-east1"}},
            None,
            "gemini-3.5-flash is tuned in us-central1 or europe-west4; tuning.location is "
            "asia-east1",
        ),
        (
            {},
            "global",
            "gemini-3.5-flash is tuned in us-central1 or europe-west4; GOOGLE_CLOUD_LOCATION is "
            "global",
        ),
    ],
    ids=["candidate", "judge", "metric", "level", "budget", "presets", "base", "region", "default"],
)
def test_what_is_not_there_is_named(
    sections: dict[str, Any], location: str | None, said: str
) -> None:
    use_case = use_case_with(**sections)
    assert misplaced(use_case, location) == [said]
    with pytest.raises(MisplacedModelError, match="words: ") as caught:
        require_in_place(use_case, location or "us-central1")
    assert said in str(caught.value)


def test_nothing_is_said_of_models_that_are_not_known() -> None:
    candidates = {"other": {"model": "gemini-99", "location": "moon"}, "tuned": {"model": "tuned"}}
    use_case = use_case_with(candidates=candidates, tuning={"base_model": "gemini-99"})
    assert misplaced(use_case, "global") == []


@pytest.mark.parametrize(
    ("model", "default", "place"),
    [
        ("gemini-3.5-flash", "europe-west4", "europe-west4"),
        ("gemini-3.5-flash", "europe-west1", "europe-west4"),
        ("gemini-3.5-flash", "us-east5", "us-central1"),
        ("gemini-3.5-flash", "global", "us-central1"),
        ("gemini-99", "moon", "moon"),
    ],
)
def test_a_model_is_tuned_in_the_nearest_region(model: str, default: str, place: str) -> None:
    assert tuning_location(model, default) == place


def test_a_tuned_model_has_the_location_of_its_endpoint() -> None:
    with pytest.raises((UseCaseError, ValueError), match="which its endpoint says"):
        use_case_with(candidates={"tuned": {"model": "tuned", "location": "us"}})


@pytest.mark.parametrize(
    ("model", "default", "place"),
    [
        ("gemini-3.5-flash", "us-central1", "us"),
        ("gemini-3.5-flash", "europe-west4", "eu"),
        ("gemini-3.5-flash", "asia-east1", "global"),
        ("gemini-3.5-flash", "global", "global"),
        ("gemini-3.1-pro-preview", "us-central1", "global"),
        ("gemini-99", "us-central1", "us-central1"),
    ],
)
def test_a_model_is_asked_where_it_is_served_nearest(model: str, default: str, place: str) -> None:
    assert serving_location(model, default) == place


def test_the_location_is_read_from_the_name_of_a_resource() -> None:
    assert location_in("projects/p/locations/eu/endpoints/1") == "eu"
    assert location_in("gemini-3.5-flash") is None
    assert multi_region("northamerica-northeast1") == "global"
