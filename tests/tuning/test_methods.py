"""Preference tuning, and tuning on from an earlier model, take the same path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genaiops_dagster.budget.pricing import PriceList
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.tuning.outcome import tuned_model_of
from genaiops_dagster.tuning.recipe import TuningRecipe
from genaiops_dagster.tuning.waiting import tuning_jobs, wait_for
from genaiops_dagster.use_case.tuning import Tuning
from tests.tuning.conftest import Cloud, make_recipe


def tune(cloud: Cloud, recipe: TuningRecipe) -> TunedModel:
    job = cloud.jobs().get_or_create(recipe, before_create=lambda: None)
    job = wait_for(job, tuning_jobs(cloud.vertex.genai), 30, SYSTEM_CLOCK, cloud.jobs()._log)
    return tuned_model_of(job, recipe, prices=PriceList(SYSTEM_CLOCK.now()), emulated=True)


def test_preferences(cloud: Cloud) -> None:
    recipe = make_recipe(cloud.store, method="preference", beta=0.1)
    lines = [
        {
            "contents": [{"role": "user", "parts": [{"text": f"What is {n} plus one?"}]}],
            "completions": [
                {
                    "score": score,
                    "completion": {"role": "model", "parts": [{"text": str(n + score)}]},
                }
                for score in (1, 0)
            ],
        }
        for n in range(20)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    cloud.store.write(cloud.store.name_of(recipe.training_uri), text.encode())
    made = tune(cloud, recipe)
    job = cloud.jobs().find(recipe)
    assert job is not None
    assert job.preference_optimization_spec is not None
    assert made.examples == 20
    assert made.billable_tokens
    assert made.cost_usd


def test_tuning_goes_on_from_an_earlier_model(cloud: Cloud, recipe: TuningRecipe) -> None:
    first = tune(cloud, recipe)
    further = recipe.model_copy(update={"continue_from": first.model})
    assert further.fingerprint != recipe.fingerprint
    second = tune(cloud, further)
    assert second.endpoint != first.endpoint
    job = cloud.jobs().find(further)
    assert job is not None
    assert job.pre_tuned_model is not None
    assert job.pre_tuned_model.tuned_model_name == first.model


def test_a_method_that_the_service_does_not_have_is_refused_by_name(cloud: Cloud) -> None:
    recipe = make_recipe(cloud.store, method="distillation", teacher_model="gemini-3.1-pro-preview")
    with pytest.raises(Exception, match=r"(?i)distillation"):
        cloud.jobs(claim_seconds=60).get_or_create(recipe, before_create=lambda: None)
    assert cloud.count_jobs(recipe) == 0


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"method": "preference"}, "needs data"),
        ({"beta": 0.1}, "preference has a beta"),
        ({"method": "distillation"}, "teacher_model go together"),
        ({"teacher_model": "gemini-3.1-pro-preview"}, "teacher_model go together"),
        ({"data": "training.jsonl"}, "pattern"),
        ({"continue_from": "latest"}, "pattern"),
    ],
)
def test_a_section_that_does_not_fit_together(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tuning(base_model="gemini-3.5-flash", **section)
