"""Runs of compiled pipelines as assets, on the emulator."""

from __future__ import annotations

import concurrent.futures
import time
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from google.cloud import storage
from kfp import compiler

from examples.pipelines.compile import pipeline
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.orchestration.workspace import RESOURCES
from genaiops_dagster.pipelines.assets import build_assets
from genaiops_dagster.pipelines.recipe import EXAMPLES
from genaiops_dagster.pipelines.sensor import build_sensors
from genaiops_dagster.tuning.pending import pending_jobs
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import colours_use_case, error_text, open_store
from tests.integration.pipelines_to_run import napping, needing
from tests.values import text_of
from vertex_emulator.testing import RunningEmulator

ASSET = "vertex_pipeline_run"


def use_case_with(**run: Any) -> UseCase:
    section = {"template": "hello_world", "parameters": {"recipient": uuid.uuid4().hex}, **run}
    return colours_use_case(pipelines={"hello": section})


class Runs:
    """The runs of one use case's pipelines, with an instance that remembers them."""

    def __init__(self, use_case: UseCase) -> None:
        self.use_case = use_case
        self.sensors = build_sensors(use_case)
        self.key = asset_key(use_case, ASSET, "hello")
        self.definitions = dg.Definitions(
            assets=build_assets(use_case),
            jobs=[dg.define_asset_job("all", dg.AssetSelection.all())],
            sensors=self.sensors,
            resources=build_resources(),
        )
        self.instance = dg.DagsterInstance.ephemeral()

    def run(self, **config: bool) -> dg.ExecuteInProcessResult:
        name = f"{self.use_case.name}__{ASSET}__hello"
        return self.definitions.resolve_job_def("all").execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            run_config={"ops": {name: {"config": config}}},
        )

    def record(self, result: dg.ExecuteInProcessResult) -> dict[str, Any]:
        assert result.success, error_text(result)
        store = build_resources()["object_store"]
        with dg.build_resources({"object_store": store}) as resources:
            found: dict[str, Any] = resources.object_store.get_store().read_json(
                f"{self.use_case.name}/assets/{ASSET}/hello.json"
            )
        return found

    def tick(self) -> Any:
        resources = {name: build_resources()[name] for name in RESOURCES}
        with dg.build_sensor_context(
            instance=self.instance, definitions=self.definitions, resources=resources
        ) as context:
            result = self.sensors[0].evaluate_tick(context)
        if not result.run_requests:
            return dg.SkipReason(result.skip_message)
        return dg.SensorResult(run_requests=[*result.run_requests])


def jobs_of(emulator: RunningEmulator, use_case: UseCase) -> list[Any]:
    clients = VertexAI(GoogleCloudSettings.from_environment(emulator.variables))
    return list(
        clients.pipelines.list_pipeline_jobs(
            {
                "parent": clients.parent,
                "filter": f'labels.genaiops_use_case="{use_case.name}"',
            }
        )
    )


def states(record: dict[str, Any]) -> set[str]:
    return {task["state"] for task in record["tasks"]}


def test_a_pipeline_is_run_once_and_found_again(emulator: RunningEmulator) -> None:
    runs = Runs(use_case_with())
    recipient = runs.use_case.pipelines["hello"].parameters["recipient"]
    first = runs.record(runs.run())
    assert first["outputs"] == {"Output": f"Hello, {recipient}! How are you?"}
    assert states(first) == {"SUCCEEDED"}
    assert runs.record(runs.run()) == first
    assert len(jobs_of(emulator, runs.use_case)) == 1

    again = runs.record(runs.run(run_again=True))
    assert again["job"] != first["job"]
    assert states(again) == {"SKIPPED"}
    assert again["outputs"] == first["outputs"]
    assert len(jobs_of(emulator, runs.use_case)) == 2
    result = runs.run()
    assert runs.record(result)["job"] == again["job"]
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert "pipelines/runs/" in text_of(metadata["job"])
    assert metadata["from_cache"].value == "2 of 2 steps"


def test_many_at_once_create_one_job(emulator: RunningEmulator) -> None:
    use_case = use_case_with()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: Runs(use_case).run(), range(4)))
    assert all(result.success for result in results), error_text(results[0])
    assert len(jobs_of(emulator, use_case)) == 1


def test_caching_that_is_switched_off_runs_every_step_again(emulator: RunningEmulator) -> None:
    runs = Runs(use_case_with(caching=False))
    runs.record(runs.run())
    assert states(runs.record(runs.run(run_again=True))) == {"SUCCEEDED"}


def test_a_template_of_the_bucket_and_its_own_root(emulator: RunningEmulator) -> None:
    bucket = storage.Client().bucket(emulator.variables["GENAIOPS_BUCKET"])
    blob = bucket.blob(f"templates/{uuid.uuid4().hex}.yaml")
    blob.upload_from_filename(str(EXAMPLES / "hello_world.yaml"))
    root = f"gs://{bucket.name}/elsewhere"
    runs = Runs(use_case_with(template=f"gs://{bucket.name}/{blob.name}", root=root))
    found = runs.record(runs.run())
    assert found["pipeline"] == pipeline("hello_world").name
    assert found["root"] == root


def test_a_pipeline_that_fails_is_told_and_not_run_again_by_itself(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    flag = tmp_path / "mended"
    path = tmp_path / "needing.yaml"
    compiler.Compiler().compile(needing, str(path))
    runs = Runs(use_case_with(template=str(path), parameters={"file": str(flag)}))
    result = runs.run()
    assert not result.success
    assert f"bring me {flag}" in error_text(result)
    assert "retry_failed: true" in error_text(result)
    flag.touch()
    assert not runs.run().success
    assert len(jobs_of(emulator, runs.use_case)) == 1
    assert runs.record(runs.run(retry_failed=True))["outputs"] == {"Output": "thanks"}


def test_a_wrong_parameter_is_refused_by_the_service(emulator: RunningEmulator) -> None:
    runs = Runs(use_case_with(parameters={"recipent": "x"}))
    result = runs.run()
    assert not result.success
    assert "no input parameter 'recipent'; it has recipient" in error_text(result)
    assert not jobs_of(emulator, runs.use_case)


def test_a_run_that_waited_long_enough_leaves_the_job_to_the_sensor(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    path = tmp_path / "napping.yaml"
    compiler.Compiler().compile(napping, str(path))
    run = {"template": str(path), "parameters": {"seconds": 4.0}, "wait_seconds": 1}
    runs = Runs(use_case_with(**run))
    result = runs.run()
    assert result.success, error_text(result)
    assert not result.get_asset_materialization_events()
    waiting = list(pending_jobs(open_store(emulator), runs.use_case.name, "pipelines"))
    assert [one.asset for one in waiting] == [(ASSET, "hello")]
    deadline = time.monotonic() + 60
    while isinstance(ticked := runs.tick(), dg.SkipReason):
        assert time.monotonic() < deadline, ticked
        time.sleep(0.3)
    (request,) = ticked.run_requests
    assert request.asset_selection == [runs.key]
    assert runs.record(runs.run())["outputs"] == {"Output": "awake"}
    assert isinstance(runs.tick(), dg.SkipReason)
    assert len(jobs_of(emulator, runs.use_case)) == 1


@pytest.mark.slow
def test_the_arguments_example_tunes_for_200_steps_and_scores_at_intervals(
    emulator: RunningEmulator,
) -> None:
    import json

    bucket = storage.Client().bucket(emulator.variables["GENAIOPS_BUCKET"])
    colours = ["red", "green", "blue"]

    def upload(name: str, numbers: range) -> str:
        lines = [
            json.dumps(
                {
                    "contents": [
                        {"role": "user", "parts": [{"text": f"Colour of {colours[n % 3]} {n}?"}]},
                        {"role": "model", "parts": [{"text": colours[n % 3]}]},
                    ]
                }
            )
            for n in numbers
        ]
        blob = bucket.blob(f"arguments/{uuid.uuid4().hex}/{name}.jsonl")
        blob.upload_from_string("\n".join(lines))
        return f"gs://{bucket.name}/{blob.name}"

    parameters = {
        "project": emulator.variables["GOOGLE_CLOUD_PROJECT"],
        "location": emulator.variables["GOOGLE_CLOUD_LOCATION"],
        "dataset_uri": upload("training", range(640)),
        "evaluation_data_uri": upload("evaluation", range(640, 670)),
        "train_steps": 200,
        "evaluation_interval": 80,
        "evaluation_rows": 10,
    }
    runs = Runs(use_case_with(template="pipeline_arguments", parameters=parameters))
    found = runs.record(runs.run())
    assert [task["name"] for task in found["tasks"]] == ["plan-epochs", "tune", "evaluate"]
    assert 0.5 <= found["outputs"]["Output"] <= 1.0
    clients = VertexAI(GoogleCloudSettings.from_environment(emulator.variables))
    (job,) = jobs_of(emulator, runs.use_case)
    details = clients.pipelines.get_pipeline_job(name=job.name).job_detail.task_details
    (scored,) = [task for task in details if task.task_name == "evaluate"]
    (metrics,) = scored.outputs["metrics"].artifacts
    steps = sorted(int(name.rpartition("_")[2]) for name in metrics.metadata)
    assert steps == [80, 160, 200]
