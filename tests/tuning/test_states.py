"""Each state of a job has one documented outcome, those that are not known yet included.

States: https://cloud.google.com/vertex-ai/docs/reference/rest/v1/JobState
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from google.genai import types

from genaiops_dagster.budget.pricing import PriceList
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.tuning.outcome import tuned_model_of
from genaiops_dagster.tuning.recipe import TuningRecipe
from genaiops_dagster.tuning.states import Phase, TuningJobError, has_ended, phase, state_name
from genaiops_dagster.use_case.budget import ModelPrice

RECIPE = TuningRecipe(
    use_case="sums",
    base_model="gemini-3.5-flash",
    training_uri="gs://b/t.jsonl",
    training_digest="t",
    validation_uri=None,
    validation_digest=None,
    prompt_digest="p",
    epochs=2,
    learning_rate_multiplier=None,
    adapter_size=4,
)
NAME = "projects/p/locations/us-central1/tuningJobs/7"


def job(state: str | None, **fields: Any) -> types.TuningJob:
    document = {"name": NAME, **({"state": state} if state else {}), **fields}
    return types.TuningJob.model_validate(document)


def succeeded(state: str = "JOB_STATE_SUCCEEDED", **fields: Any) -> types.TuningJob:
    return job(
        state,
        **{
            "tunedModel": {
                "model": "projects/p/locations/us-central1/models/1@1",
                "endpoint": "projects/p/locations/us-central1/endpoints/2",
                "checkpoints": [
                    {"checkpointId": "2", "epoch": "2", "step": "20", "endpoint": "e/2"},
                    {"checkpointId": "1", "epoch": "1", "step": "10", "endpoint": "e/1"},
                ],
            },
            "supervisedTuningSpec": {
                "trainingDatasetUri": "gs://b/t.jsonl",
                "hyperParameters": {"epochCount": "2"},
            },
            "tuningDataStats": {
                "supervisedTuningDataStats": {
                    "tuningDatasetExampleCount": "500",
                    "totalBillableTokenCount": "255243",
                    "tuningStepCount": "20",
                    "totalTruncatedExampleCount": "3",
                    "droppedExampleReasons": ["too long", "too long", "empty"],
                }
            },
            **fields,
        },
    )


def outcome(found: types.TuningJob) -> Any:
    return tuned_model_of(found, RECIPE, prices=PriceList(SYSTEM_CLOCK.now()), emulated=False)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, Phase.ACTIVE),
        ("JOB_STATE_UNSPECIFIED", Phase.ACTIVE),
        ("JOB_STATE_QUEUED", Phase.ACTIVE),
        ("JOB_STATE_PENDING", Phase.ACTIVE),
        ("JOB_STATE_RUNNING", Phase.ACTIVE),
        ("JOB_STATE_UPDATING", Phase.ACTIVE),
        ("JOB_STATE_CANCELLING", Phase.ACTIVE),
        ("JOB_STATE_PAUSED", Phase.PAUSED),
        ("JOB_STATE_SUCCEEDED", Phase.DONE),
        ("JOB_STATE_PARTIALLY_SUCCEEDED", Phase.PARTIAL),
        ("JOB_STATE_FAILED", Phase.FAILED),
        ("JOB_STATE_CANCELLED", Phase.FAILED),
        ("JOB_STATE_EXPIRED", Phase.FAILED),
    ],
)
def test_every_state(state: str | None, expected: Phase) -> None:
    assert phase(job(state)) is expected
    assert has_ended(job(state)) == (expected not in (Phase.ACTIVE, Phase.PAUSED))


def test_every_state_that_the_client_library_knows_is_covered() -> None:
    """A new release of the library with a new state makes this fail, so that it is looked at."""
    from genaiops_dagster.tuning.states import _PHASES

    assert {state.value for state in types.JobState} == set(_PHASES)


@pytest.mark.filterwarnings("ignore:.*is not a valid JobState")
def test_a_state_of_the_future_is_waited_for_until_it_has_an_end() -> None:
    new = job("JOB_STATE_DREAMING")
    assert state_name(new) == "JOB_STATE_DREAMING"
    assert not has_ended(new)
    ended = succeeded("JOB_STATE_DREAMING", endTime=dt.datetime.now(dt.UTC).isoformat())
    assert has_ended(ended)
    with pytest.raises(TuningJobError, match="ended as JOB_STATE_DREAMING: the service gave no"):
        outcome(ended)


@pytest.mark.parametrize("state", ["JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"])
def test_a_failure_has_the_words_of_the_service_and_the_way_on(state: str) -> None:
    failed = job(state, error={"code": 3, "message": "Line 7 is not JSON."})
    with pytest.raises(TuningJobError) as caught:
        outcome(failed)
    for part in (state, "Line 7 is not JSON.", "code 3", NAME, "retry_failed", "console.cloud"):
        assert part in str(caught.value)


def test_a_failure_says_why_we_cancelled_the_job() -> None:
    listed = PriceList(SYSTEM_CLOCK.now())
    with pytest.raises(TuningJobError, match="it was cancelled because it costs too much"):
        tuned_model_of(
            job("JOB_STATE_CANCELLED"),
            RECIPE,
            prices=listed,
            emulated=False,
            cancelled_because="it costs too much",
        )


def test_a_failure_after_the_model_was_made_names_the_model() -> None:
    """Seen on the service: tuning went well, and then no endpoint could be created."""
    model = "projects/p/locations/us-central1/models/9@1"
    failed = job(
        "JOB_STATE_FAILED",
        error={"code": 13, "message": "Failed to create endpoint."},
        tunedModel={"model": model},
    )
    with pytest.raises(TuningJobError, match=model):
        outcome(failed)


@pytest.mark.parametrize("tuned", [None, {}, {"model": "m"}, {"endpoint": "e"}])
def test_none_never_becomes_a_model_name(tuned: dict[str, str] | None) -> None:
    with pytest.raises(TuningJobError, match="names no model and endpoint"):
        outcome(succeeded(tunedModel=tuned))


def test_what_a_good_job_hands_on() -> None:
    """Figures of a real job: its billable tokens count the data once, the price every epoch."""
    made = outcome(succeeded())
    assert made.model.endswith("models/1@1")
    assert made.endpoint.endswith("endpoints/2")
    assert [c.epoch for c in made.checkpoints] == [1, 2]
    assert made.billable_tokens == 2 * 255_243
    assert made.cost_usd == pytest.approx(2 * 255_243 * 10e-6)
    assert (made.examples, made.steps, made.epochs) == (500, 20, 2)
    assert made.dropped_count == 3
    assert made.dropped_examples == {"too long": 2, "empty": 1}


def test_a_partial_success_keeps_its_state_for_the_check() -> None:
    assert outcome(succeeded("JOB_STATE_PARTIALLY_SUCCEEDED")).state.endswith("PARTIALLY_SUCCEEDED")


def test_a_job_without_statistics_has_no_invented_figures() -> None:
    made = outcome(succeeded(tuningDataStats=None))
    assert made.billable_tokens is None
    assert made.cost_usd is None
    assert made.examples is None


def test_the_use_cases_own_price_is_used() -> None:
    prices = {"gemini-3.5-flash": ModelPrice(tuning=10.0)}
    made = tuned_model_of(
        succeeded(), RECIPE, prices=PriceList(SYSTEM_CLOCK.now(), prices), emulated=False
    )
    assert made.cost_usd == pytest.approx(2 * 255_243 * 10e-6)
