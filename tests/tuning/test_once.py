"""One tuning job for a recipe, in the histories that decide it; on services in memory.

`tests/machines/test_tuning_once.py` looks for others.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
from google.genai import types

from genaiops_dagster.budget.limits import BudgetExceededError
from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import read_object
from genaiops_dagster.tuning.jobs import (
    ATTEMPT_LABEL,
    BUCKET_LABEL,
    FINGERPRINT_LABEL,
    JobRecord,
    TuningJobs,
    bucket_label,
    record_name,
)
from genaiops_dagster.tuning.recipe import TuningRecipe
from genaiops_dagster.tuning.tune import TuningRun
from genaiops_dagster.use_case.budget import Budget
from genaiops_dagster.use_case.tuning import Sweep, Tuning
from tests.machines.cloud import Cloud
from tests.machines.simulation import Worker
from tests.machines.test_tuning_once import ESTIMATE, RECIPE, STAGE

LOG = logging.getLogger(__name__)
TUNING = Tuning(base_model=RECIPE.base_model, claim_seconds=4.0)
CREATE = "create a tuning job"
CLAIM = Layout("u").tuning_claim(RECIPE.fingerprint, 1)
RUNNING = types.JobState.JOB_STATE_RUNNING


def jobs_of(cloud: Cloud, clock: Clock | None = None) -> TuningJobs:
    return TuningJobs(
        cloud.models.genai, cloud.store, clock or cloud.simulation.clock_of(), LOG, 4.0
    )


def get_or_create(jobs: TuningJobs, recipe: TuningRecipe = RECIPE) -> types.TuningJob:
    return jobs.get_or_create(recipe, before_create=lambda: None)


def begin(cloud: Cloud) -> Worker:
    return cloud.simulation.start("tuning", lambda clock: get_or_create(jobs_of(cloud, clock)).name)


def go_on(cloud: Cloud, worker: Worker, call: str, seconds: float = 0.0) -> None:
    """Let a worker go on until it is about to make a call, at `seconds` or later."""
    while not worker.call.startswith(call) or cloud.simulation.seconds < seconds:
        assert not worker.ended, f"there is no call {call}"
        if worker.wakes is not None:
            cloud.simulation.seconds = max(cloud.simulation.seconds, worker.wakes)
        cloud.simulation.step(worker)


def run_of(cloud: Cloud, **changes: Any) -> TuningRun:
    budget = Budget.model_validate({"prices": {RECIPE.base_model: {"tuning": 5.0}}})
    clock = cloud.simulation.clock_of()
    return TuningRun(
        **{
            "recipe": RECIPE,
            "tuning": TUNING,
            "estimate": ESTIMATE,
            "purse": Purse("u", budget, cloud.store, cloud.warehouse, clock, "run"),
            "models": cloud.models,
            "log": LOG,
            "on_progress": lambda _: None,
        }
        | changes
    )


def add_job(cloud: Cloud, **changes: Any) -> types.TuningJob:
    """A job of the recipe that another process created, now."""
    job = cloud.tuning.tune(
        base_model=RECIPE.base_model,
        training_dataset=types.TuningDataset(),
        config=types.CreateTuningJobConfig(
            labels={FINGERPRINT_LABEL: RECIPE.fingerprint[:63], ATTEMPT_LABEL: "1"},
            http_options=types.HttpOptions(timeout=1000),
        ),
    )
    assert job.name is not None
    cloud.tuning.jobs[job.name] = job.model_copy(update=changes)
    return cloud.tuning.jobs[job.name]


def test_who_takes_over_a_claim_looks_for_the_job_after_that() -> None:
    """The former holder was slow: its job appeared just before the claim was taken over."""
    cloud = Cloud()
    slow = begin(cloud)
    go_on(cloud, slow, CREATE)
    waiting = begin(cloud)
    go_on(cloud, waiting, f"read {CLAIM}")
    cloud.simulation.step(waiting)
    seen = cloud.simulation.seconds
    go_on(cloud, waiting, f"read {CLAIM}", seconds=seen + 4.0)
    job = add_job(cloud)
    slow.crashed = True
    cloud.simulation.rest()
    assert (waiting.result, [*cloud.tuning.jobs]) == (job.name, [job.name])


def test_who_was_slow_to_look_does_not_create() -> None:
    cloud = Cloud()
    worker = begin(cloud)
    go_on(cloud, worker, f"write {CLAIM}")
    go_on(cloud, worker, "list tuning jobs")
    cloud.simulation.seconds += 1.0
    cloud.simulation.step(worker)
    assert worker.call.startswith(f"write {CLAIM}"), "it renews its claim first"
    cloud.simulation.seconds += 1.0
    cloud.simulation.step(worker)
    assert worker.wakes is not None, worker.call
    cloud.simulation.rest()
    assert [worker.result] == [*cloud.tuning.jobs]


def test_who_is_slow_to_create_gives_up_before_others_take_over() -> None:
    cloud = Cloud()
    worker = begin(cloud)
    go_on(cloud, worker, CREATE)
    cloud.simulation.seconds += 2.1
    cloud.simulation.step(worker)
    assert cloud.tuning.jobs == {}
    cloud.simulation.rest()
    assert [worker.result] == [*cloud.tuning.jobs]


def test_a_job_is_noted_as_soon_as_it_was_created() -> None:
    """A process may die at any moment, and the service may list a new job late."""
    cloud = Cloud()
    worker = begin(cloud)
    go_on(cloud, worker, CREATE)
    cloud.simulation.step(worker)
    cloud.simulation.step(worker)
    [job] = cloud.tuning.jobs
    assert read_object(cloud.store, record_name(RECIPE), JobRecord).job == job
    cloud.simulation.rest()


def test_each_recipe_has_its_own_job() -> None:
    cloud = Cloud()
    other = RECIPE.model_copy(update={"epochs": 2})
    first = get_or_create(jobs_of(cloud))
    second = get_or_create(jobs_of(cloud), other)
    assert first.name != second.name
    assert get_or_create(jobs_of(cloud)).name == first.name
    assert {job.state for job in cloud.tuning.jobs.values()} == {RUNNING}


@pytest.mark.parametrize("state", [RUNNING, types.JobState.JOB_STATE_PAUSED])
def test_of_two_jobs_the_younger_one_is_cancelled(state: types.JobState) -> None:
    cloud = Cloud()
    older = add_job(cloud)
    cloud.simulation.seconds += 10.0
    younger = add_job(cloud, state=state)
    found = jobs_of(cloud).find(RECIPE)
    assert found is not None
    assert found.name == older.name
    assert cloud.tuning.paid() == [older]
    assert cloud.tuning.jobs[younger.name or ""].state == types.JobState.JOB_STATE_CANCELLED


def test_a_job_of_another_bucket_is_not_ours() -> None:
    cloud = Cloud()
    job = add_job(cloud)
    label = {BUCKET_LABEL: bucket_label("other.bucket")}
    assert label == {BUCKET_LABEL: "other-bucket"}
    cloud.tuning.jobs[job.name or ""] = job.model_copy(update={"labels": job.labels | label})
    assert jobs_of(cloud).find(RECIPE) is None
    made = get_or_create(jobs_of(cloud))
    assert (made.labels or {})[BUCKET_LABEL] == "bucket"


def test_of_two_jobs_the_one_with_a_model_is_kept() -> None:
    cloud = Cloud()
    running = add_job(cloud)
    cloud.simulation.seconds += 10.0
    done = add_job(cloud, state=types.JobState.JOB_STATE_SUCCEEDED)
    found = jobs_of(cloud).find(RECIPE)
    assert found is not None
    assert found.name == done.name
    assert cloud.tuning.jobs[running.name or ""].state == types.JobState.JOB_STATE_CANCELLED


def test_a_job_whose_tokens_are_unknown_is_charged_as_it_was_estimated() -> None:
    cloud = Cloud()
    run = run_of(cloud)
    job = run.wait(run.find_or_create(retry_failed=False))
    model = run.finish(job.model_copy(update={"tuning_data_stats": None}))
    assert model.cost_usd is None
    [entry] = run.purse.ledger().read().entries
    assert (entry.spent_usd, entry.spent_tokens) == (STAGE.cost_usd, STAGE.input_tokens)


SWEEP = Tuning(
    base_model=RECIPE.base_model, sweep=Sweep(epochs=[1, 2], maximum_usd=9.0), claim_seconds=4.0
)
JOBS = [STAGE.model_copy(update={"candidate": name}) for name in ("epochs_1", "epochs_2")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"recipe": RECIPE.model_copy(update={"prompt_digest": "new"})}, "prompt_digest differs"),
        ({"recipe": RECIPE.model_copy(update={"training_digest": "new"})}, "training_digest"),
        (
            {
                "tuning": SWEEP,
                "variant": "epochs_1",
                "estimate": ESTIMATE.model_copy(update={"stages": JOBS}),
            },
            "tuning.sweep.maximum_usd is 9.00 USD; the 2 jobs of the sweep may cost 10.00 USD",
        ),
    ],
)
def test_no_job_is_created_that_may_not_be_paid(changes: dict[str, Any], reason: str) -> None:
    cloud = Cloud()
    with pytest.raises(BudgetExceededError, match=reason):
        run_of(cloud, **changes).find_or_create(retry_failed=False)
    assert cloud.tuning.jobs == {}
