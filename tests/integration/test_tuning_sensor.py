"""A tuning job that outlasts its run is left alone, and the pipeline goes on by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.orchestration.assembly import build_definitions, lifecycle_job_name
from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.orchestration.workspace import RESOURCES
from genaiops_dagster.planning.assets import build_assets as budget_assets
from genaiops_dagster.tuning import pending
from genaiops_dagster.tuning.assets import build_assets as tuning_assets
from genaiops_dagster.tuning.pending import pending_jobs
from genaiops_dagster.tuning.sensor import build_sensor, rest_of_run
from genaiops_dagster.tuning.states import has_ended
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import (
    UPSTREAM,
    colours_use_case,
    error_text,
    open_store,
    record_of,
    store_data,
)
from vertex_emulator.testing import RunningEmulator

FLASH = {"base_model": "gemini-3.5-flash", "epochs": 2}


class Pipeline:
    """Budget and tuning of one use case, an asset that follows, the job and the sensor."""

    def __init__(self, use_case: UseCase) -> None:
        @dg.asset(key=asset_key(use_case, "follower"), deps=[asset_key(use_case, "tuned_model")])
        def follower() -> None:
            """Stands for evaluation."""

        job = dg.define_asset_job(
            "lifecycle", selection=dg.AssetSelection.groups(use_case.name, "default")
        )
        self.use_case = use_case
        self.sensor = build_sensor(use_case, "lifecycle")
        self.definitions = dg.Definitions(
            assets=[
                *(dg.AssetSpec(asset_key(use_case, name)) for name in UPSTREAM),
                *budget_assets(use_case),
                *tuning_assets(use_case),
                follower.with_attributes(group_names_by_key={follower.key: use_case.name}),
            ],
            jobs=[job],
            sensors=[self.sensor],
            resources=build_resources(),
        )
        self.instance = dg.DagsterInstance.ephemeral()

    def run(self, keys: list[dg.AssetKey] | None = None) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def("lifecycle").execute_in_process(
            instance=self.instance, raise_on_error=False, asset_selection=keys
        )

    def tick(self) -> dg.SensorResult | dg.SkipReason:
        resources = {name: build_resources()[name] for name in RESOURCES}
        with dg.build_sensor_context(
            instance=self.instance,
            definitions=self.definitions,
            resources=resources,
        ) as context:
            result = self.sensor.evaluate_tick(context)
        if not result.run_requests:
            return dg.SkipReason(result.skip_message)
        return dg.SensorResult(run_requests=[*result.run_requests])

    def made(self, result: dg.ExecuteInProcessResult) -> set[str]:
        events = result.get_asset_materialization_events()
        return {event.asset_key.path[-1] for event in events if event.asset_key}


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


@pytest.fixture
def hold(emulator: RunningEmulator) -> Iterator[Callable[[str | None], None]]:
    """Make jobs stay as they are, until told to go on."""

    def send(outcome: str | None) -> None:
        if outcome is None:
            emulator.clear_faults()
        else:
            emulator.add_fault(kind="job", method="tuningJobs.run", outcome=outcome)

    yield send
    send(None)


def job_of(emulator: RunningEmulator, store: ObjectStore, use_case: UseCase) -> Any:
    client = VertexAI(GoogleCloudSettings.from_environment(emulator.variables)).genai
    (waiting,) = pending_jobs(store, use_case.name)
    return client.tunings.get(name=waiting.job)


def wait_for_end(emulator: RunningEmulator, store: ObjectStore, use_case: UseCase) -> Any:
    deadline = time.monotonic() + 20
    while not has_ended(job := job_of(emulator, store, use_case)):
        assert time.monotonic() < deadline, job.state
        time.sleep(0.1)
    return job


@pytest.mark.parametrize("outcome", ["pending", "pause"])
def test_a_long_job_is_left_and_the_sensor_goes_on(
    emulator: RunningEmulator, store: ObjectStore, hold: Callable[[str | None], None], outcome: str
) -> None:
    use_case = colours_use_case(tuning={**FLASH, "wait_seconds": 1})
    store_data(store, use_case)
    pipeline = Pipeline(use_case)
    hold(outcome)
    created = emulator.stats()["requests"].get("vertex", {}).get("tuningJobs.create", 0)
    first = pipeline.run()
    assert first.success, error_text(first)
    assert pipeline.made(first) == {"cost_estimate"}
    waiting = pipeline.tick()
    assert isinstance(waiting, dg.SkipReason)
    assert "JOB_STATE_PA" in (waiting.skip_message or "") or "PENDING" in str(waiting)
    hold(None)
    job = wait_for_end(emulator, store, use_case)
    found = pipeline.tick()
    assert isinstance(found, dg.SensorResult)
    (request,) = found.run_requests or []
    assert request.run_key == f"{job.name}:JOB_STATE_SUCCEEDED"
    second = pipeline.run(list(request.asset_selection or []))
    assert second.success, error_text(second)
    assert pipeline.made(second) == {"tuned_model", "follower"}
    assert emulator.stats()["requests"]["vertex"]["tuningJobs.create"] == created + 1
    assert isinstance(pipeline.tick(), dg.SkipReason)
    model = record_of(store, use_case, "tuned_model")
    assert model is not None
    assert model["endpoint"] == job.tuned_model.endpoint


def test_a_job_whose_run_was_killed_is_found_by_the_sensor(
    emulator: RunningEmulator,
    store: ObjectStore,
    hold: Callable[[str | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A killed run is silent; a live one is left alone."""
    use_case = colours_use_case(tuning={**FLASH, "wait_seconds": 1})
    store_data(store, use_case)
    pipeline = Pipeline(use_case)
    hold("pending")
    assert pipeline.run().success
    (left,) = pending_jobs(store, use_case.name)
    alive = left.model_copy(update={"left": False, "seen": time.time()})
    name = f"{use_case.name}/tuning/pending/{left.fingerprint}.json"
    store.write(name, alive.model_dump_json().encode())
    hold(None)
    wait_for_end(emulator, store, use_case)
    waiting = pipeline.tick()
    assert isinstance(waiting, dg.SkipReason)
    assert "waits for it" in (waiting.skip_message or "")
    monkeypatch.setattr(pending, "SILENT_SECONDS", 0.0)
    assert isinstance(pipeline.tick(), dg.SensorResult)


def test_a_job_past_its_deadline_is_cancelled(
    emulator: RunningEmulator, store: ObjectStore, hold: Callable[[str | None], None]
) -> None:
    use_case = colours_use_case(tuning={**FLASH, "wait_seconds": 20, "deadline_seconds": 1})
    store_data(store, use_case)
    hold("pending")
    pipeline = Pipeline(use_case)
    result = pipeline.run()
    assert not result.success
    assert "JOB_STATE_CANCELLED" in error_text(result)
    assert "tuning.deadline_seconds is" in error_text(result)
    assert pipeline.made(result) == {"cost_estimate"}
    assert isinstance(pipeline.tick(), dg.SkipReason)


def test_the_sensor_keeps_the_deadline_of_a_job_that_nobody_waits_for(
    emulator: RunningEmulator, store: ObjectStore, hold: Callable[[str | None], None]
) -> None:
    use_case = colours_use_case(tuning={**FLASH, "wait_seconds": 1, "deadline_seconds": 2})
    store_data(store, use_case)
    hold("pending")
    pipeline = Pipeline(use_case)
    assert pipeline.run().success
    time.sleep(2)
    pipeline.tick()
    assert "CANCEL" in str(wait_for_end(emulator, store, use_case).state)
    found = pipeline.tick()
    assert isinstance(found, dg.SensorResult)
    result = pipeline.run(list((found.run_requests or [])[0].asset_selection or []))
    assert "JOB_STATE_CANCELLED" in error_text(result)
    assert "tuning.deadline_seconds is" in error_text(result)
    assert isinstance(pipeline.tick(), dg.SkipReason)


def test_a_run_goes_on_with_the_lifecycle_and_nothing_that_is_made_day_by_day() -> None:
    use_case = colours_use_case()
    definitions = build_definitions([use_case])
    lifecycle = definitions.resolve_job_def(lifecycle_job_name(use_case.name))
    with dg.build_sensor_context(definitions=definitions) as context:
        rest = rest_of_run(context, use_case, ("tuned_model",))
    assert set(rest) <= set(lifecycle.asset_layer.selected_asset_keys)
    assert {key.path[-1] for key in rest} == {
        *("tuned_model", "tuned", "model_comparison"),
        *("promotion_decision", "champion", "sample_content"),
    }
