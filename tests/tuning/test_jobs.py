"""However a run is interrupted, doubled or answered badly, a recipe has one tuning job."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.genai import errors, types

from genaiops_dagster.budget.limits import BudgetExceededError
from genaiops_dagster.records.claims import Claim
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.tuning.jobs import record_name
from genaiops_dagster.tuning.recipe import TuningRecipe
from genaiops_dagster.tuning.states import Phase, TuningJobError, phase
from genaiops_dagster.tuning.waiting import tuning_jobs, wait_for
from tests.tuning.conftest import Cloud, make_recipe


def free() -> None:
    """A budget that allows everything."""


def test_asking_again_finds_the_job_and_asks_no_budget(cloud: Cloud, recipe: TuningRecipe) -> None:
    first = cloud.jobs().get_or_create(recipe, before_create=free)

    def refuse() -> None:
        raise AssertionError("nothing is to be paid")

    assert cloud.jobs().get_or_create(recipe, before_create=refuse).name == first.name
    assert cloud.count_jobs(recipe) == 1


def test_the_job_carries_what_it_was_made_of(cloud: Cloud) -> None:
    recipe = make_recipe(cloud.store, learning_rate_multiplier=0.5)
    job = cloud.jobs().get_or_create(recipe, before_create=free)
    assert job.labels is not None
    assert job.labels["genaiops_use_case"] == "sums"
    assert job.labels["genaiops_training_set"] == recipe.training_digest[:63]
    assert job.supervised_tuning_spec is not None
    hyperparameters = job.supervised_tuning_spec.hyper_parameters
    assert hyperparameters is not None
    assert hyperparameters.epoch_count == 2
    assert hyperparameters.learning_rate_multiplier == 0.5
    assert str(hyperparameters.adapter_size).endswith("FOUR")


def test_a_lost_record_is_found_by_its_label(cloud: Cloud, recipe: TuningRecipe) -> None:
    first = cloud.jobs().get_or_create(recipe, before_create=free)
    cloud.store.write(record_name(recipe), b"")
    cloud.store._client.bucket(cloud.store.bucket).blob(record_name(recipe)).delete()
    assert cloud.jobs().get_or_create(recipe, before_create=free).name == first.name
    assert cloud.count_jobs(recipe) == 1
    assert cloud.store.exists(record_name(recipe))


def test_runs_that_start_at_the_same_moment_share_one_job(
    cloud: Cloud, recipe: TuningRecipe
) -> None:
    before = cloud.created()
    together = threading.Barrier(6)

    def run(_: int) -> str | None:
        together.wait()
        return cloud.jobs().get_or_create(recipe, before_create=free).name

    with ThreadPoolExecutor(6) as pool:
        names = set(pool.map(run, range(6)))
    assert len(names) == 1
    assert cloud.created() - before == 1


def test_a_budget_that_refuses_leaves_no_claim_behind(cloud: Cloud, recipe: TuningRecipe) -> None:
    before = cloud.created()

    def refuse() -> None:
        raise BudgetExceededError("one cent short")

    with pytest.raises(BudgetExceededError, match="one cent short"):
        cloud.jobs().get_or_create(recipe, before_create=refuse)
    assert cloud.created() == before
    started = time.monotonic()
    cloud.jobs(claim_seconds=60).get_or_create(recipe, before_create=free)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_makes_no_second_job(cloud: Cloud, recipe: TuningRecipe, when: str) -> None:
    """The connection breaks while the job is created: only the service knows whether there is one.

    A client that retries the request by itself would create two when the work was done.
    """
    cloud.fault(kind="drop", method="tuningJobs.create", when=when, times=1)
    job = cloud.jobs(claim_seconds=2).get_or_create(recipe, before_create=free)
    assert job.name
    assert cloud.count_jobs(recipe) == 1


def test_a_server_error_after_the_work_makes_no_second_job(
    cloud: Cloud, recipe: TuningRecipe
) -> None:
    cloud.fault(kind="error", status=503, method="tuningJobs.create", work_done=True, times=1)
    cloud.jobs(claim_seconds=60).get_or_create(recipe, before_create=free)
    assert cloud.count_jobs(recipe) == 1


def test_a_service_without_room_is_asked_again(cloud: Cloud, recipe: TuningRecipe) -> None:
    cloud.fault(kind="error", status=429, method="tuningJobs.create", times=2)
    cloud.jobs(claim_seconds=60).get_or_create(recipe, before_create=free)
    assert cloud.count_jobs(recipe) == 1


def test_a_service_that_stays_without_room_ends_in_a_reason(
    cloud: Cloud, recipe: TuningRecipe
) -> None:
    cloud.fault(kind="error", status=429, method="tuningJobs.create", message="Quota is used up.")
    with pytest.raises(TuningJobError, match="had no room for it: Quota is used up"):
        cloud.jobs(claim_seconds=0.4).get_or_create(recipe, before_create=free)
    assert cloud.count_jobs(recipe) == 0


def test_storage_too_slow_to_use_a_claim_ends_in_a_reason(
    cloud: Cloud, recipe: TuningRecipe
) -> None:
    cloud.fault(kind="latency", service="storage", seconds=0.15)
    with pytest.raises(TuningJobError, match="answer too slowly: a claim has to be used within"):
        cloud.jobs(claim_seconds=0.4).get_or_create(recipe, before_create=free)
    assert cloud.count_jobs(recipe) == 0


def test_to_look_through_many_jobs_may_take_long(cloud: Cloud, recipe: TuningRecipe) -> None:
    """A quarter of the claim's time is over before it is known that there is no job yet."""
    cloud.fault(kind="latency", method="tuningJobs.list", seconds=0.8)
    cloud.jobs(claim_seconds=2).get_or_create(recipe, before_create=free)
    assert cloud.count_jobs(recipe) == 1


def test_a_claim_is_not_renewed_that_another_process_took_over(
    cloud: Cloud, recipe: TuningRecipe
) -> None:
    name = f"sums/tuning/{recipe.fingerprint}.slow.json"
    slow, quick = (Claim(cloud.store, name, 0.2, SYSTEM_CLOCK) for _ in range(2))
    assert slow.take()
    assert slow.renew()
    assert not quick.take()
    time.sleep(0.25)
    assert quick.take()
    assert not slow.renew()
    assert not slow.is_fresh()


def test_a_service_that_never_answers_ends_in_an_error(cloud: Cloud, recipe: TuningRecipe) -> None:
    cloud.fault(kind="error", status=503, method="tuningJobs.create")
    with pytest.raises(TuningJobError, match="3 times"):
        cloud.jobs(claim_seconds=0.4).get_or_create(recipe, before_create=free)
    assert cloud.count_jobs(recipe) == 0


def test_a_refusal_says_why_and_gives_the_claim_back(cloud: Cloud) -> None:
    recipe = make_recipe(cloud.store, base_model="gemini-3.1-pro-preview")
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(errors.ClientError, match="not supported for tuning"):
            cloud.jobs(claim_seconds=60).get_or_create(recipe, before_create=free)
        assert time.monotonic() - started < 10


def test_a_claim_whose_owner_died_is_taken_over_once_no_job_appears(
    cloud: Cloud, recipe: TuningRecipe
) -> None:
    dead = Claim(cloud.store, f"sums/tuning/{recipe.fingerprint}.claim-1.json", 3, SYSTEM_CLOCK)
    assert dead.take()
    started = time.monotonic()
    cloud.jobs(claim_seconds=3).get_or_create(recipe, before_create=free)
    assert time.monotonic() - started >= 3
    assert cloud.count_jobs(recipe) == 1


def test_a_claim_that_stood_too_long_creates_nothing(cloud: Cloud, recipe: TuningRecipe) -> None:
    """A process that slept after it took the claim must not create: others may have."""
    claim = Claim(cloud.store, "sums/tuning/slept.json", 0.4, SYSTEM_CLOCK)
    assert claim.take()
    assert claim.is_fresh()
    time.sleep(0.15)
    assert not claim.is_fresh()


def test_only_one_of_many_gets_the_claim(cloud: Cloud, recipe: TuningRecipe) -> None:
    name = f"sums/tuning/{recipe.fingerprint}.race.json"
    together = threading.Barrier(8)

    def race(_: int) -> bool:
        together.wait()
        return Claim(cloud.store, name, 60, SYSTEM_CLOCK).take()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(race, range(8))) == 1


def test_a_failed_job_is_not_paid_again_without_a_word(cloud: Cloud) -> None:
    """A retry is a decision of a person."""
    recipe = make_recipe(cloud.store, rows=3)
    job = cloud.jobs().get_or_create(recipe, before_create=free)
    wait_for(job, tuning_jobs(cloud.vertex.genai), 20, SYSTEM_CLOCK, cloud.jobs()._log)
    for _ in range(2):
        same = cloud.jobs().get_or_create(recipe, before_create=free)
        assert (same.name, phase(same)) == (job.name, Phase.FAILED)
    assert cloud.count_jobs(recipe) == 1
    again = cloud.jobs().get_or_create(recipe, before_create=free, retry_failed=True)
    assert again.name != job.name
    assert cloud.count_jobs(recipe) == 2


def test_two_jobs_of_one_attempt_are_reduced_to_the_older(
    cloud: Cloud, recipe: TuningRecipe
) -> None:
    """What no claim can prevent: a process stopped for minutes between its look and its request."""
    from genaiops_dagster.tuning.jobs import _creation

    made = [
        cloud.vertex.genai.tunings.tune(
            base_model=recipe.base_model,
            training_dataset=types.TuningDataset(gcs_uri=recipe.training_uri),
            config=_creation(recipe, 1, cloud.jobs()._store.bucket, 10),
        ).name
        for _ in range(2)
    ]
    found = cloud.jobs().find(recipe)
    assert found is not None
    assert found.name == made[0]
    other = cloud.vertex.genai.tunings.get(name=made[1] or "")
    wait_for(other, tuning_jobs(cloud.vertex.genai), 20, SYSTEM_CLOCK, cloud.jobs()._log)
    assert "CANCEL" in str(cloud.vertex.genai.tunings.get(name=made[1] or "").state)


def test_the_fingerprint_follows_what_decides_the_model(recipe: TuningRecipe) -> None:
    moved = recipe.model_copy(update={"training_uri": "gs://elsewhere/x.jsonl"})
    assert moved.fingerprint == recipe.fingerprint
    for change in (
        {"training_digest": "other"},
        {"epochs": 3},
        {"base_model": "gemini-3.1-pro-preview"},
        {"learning_rate_multiplier": 2.0},
        {"adapter_size": 8},
        {"validation_digest": "v"},
        {"prompt_digest": "other"},
    ):
        assert recipe.model_copy(update=change).fingerprint != recipe.fingerprint
