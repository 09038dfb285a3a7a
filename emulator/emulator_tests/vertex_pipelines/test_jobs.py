"""Pipeline jobs through `aiplatform.PipelineJob` and the generated clients."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform, aiplatform_v1, aiplatform_v1beta1, storage
from google.cloud.aiplatform_v1.services.pipeline_service.transports import (
    PipelineServiceRestTransport,
)
from google.cloud.aiplatform_v1beta1.services.pipeline_service import transports as beta_transports

from emulator_tests.vertex_pipelines import compiled
from emulator_tests.vertex_pipelines.conftest import outputs, tasks, wait
from vertex_emulator.testing import RunningEmulator


def unique() -> str:
    return uuid.uuid4().hex[:8]


def client(
    emulator: Any, version: Any = aiplatform_v1, transport: Any = PipelineServiceRestTransport
) -> Any:
    import google.auth

    credentials, _ = google.auth.default()
    wire = transport(
        host=emulator.url.removeprefix("http://"), url_scheme="http", credentials=credentials
    )
    return version.PipelineServiceClient(transport=wire)


def test_a_pipeline_runs_and_hands_values_and_files_from_task_to_task(
    submit: Callable[..., aiplatform.PipelineJob], emulator: RunningEmulator
) -> None:
    name = f"World {unique()}"
    job = submit(compiled.greeting, {"recipient": name, "lines": 3})
    assert wait(job) == "PIPELINE_STATE_SUCCEEDED", job.gca_resource.error
    assert tasks(job) == {"greet": "SUCCEEDED", "write": "SUCCEEDED", "measure": "SUCCEEDED"}
    text = f"Hello, {name}! ...\n" * 3
    assert outputs(job, "measure") == {"Output": len(text)}
    assert outputs(job, job.job_id) == {"Output": len(text)}

    (written,) = [task for task in job.task_details if task.task_name == "write"]
    (document,) = written.outputs["document"].artifacts
    assert document.uri.startswith(
        f"gs://{emulator.variables['GENAIOPS_BUCKET']}/pipelines/{job.job_id}/"
    )
    assert storage.Blob.from_uri(document.uri, storage.Client()).download_as_text() == text
    assert dict(document.metadata) == {"language": "en"}
    assert document.schema_title == "system.Dataset"
    (numbers,) = written.outputs["numbers"].artifacts
    assert dict(numbers.metadata) == {"lines": 3}
    (measured,) = [task for task in job.task_details if task.task_name == "measure"]
    assert [a.name for a in measured.inputs["document"].artifacts] == [document.name]
    assert all(task.start_time <= task.end_time for task in job.task_details)
    assert job.job_id in set(aiplatform.get_pipeline_df("greeting")["run_name"])


def test_unchanged_tasks_come_from_the_cache_and_changed_ones_run(
    submit: Callable[..., aiplatform.PipelineJob], tmp_path: Path
) -> None:
    count, name = tmp_path / "count", unique()
    parameters = {"recipient": name, "lines": 1, "count_file": str(count)}
    first = submit(compiled.greeting, parameters, job_id=f"first-{unique()}")
    assert wait(first) == "PIPELINE_STATE_SUCCEEDED"
    second = submit(compiled.greeting, parameters, job_id=f"second-{unique()}")
    assert wait(second) == "PIPELINE_STATE_SUCCEEDED"
    assert tasks(second) == {"greet": "SKIPPED", "write": "SKIPPED", "measure": "SKIPPED"}
    assert outputs(second, "measure") == outputs(first, "measure")
    third = submit(compiled.greeting, {**parameters, "lines": 2}, job_id=f"third-{unique()}")
    assert wait(third) == "PIPELINE_STATE_SUCCEEDED"
    assert tasks(third) == {"greet": "SKIPPED", "write": "SUCCEEDED", "measure": "SUCCEEDED"}
    assert count.read_text() == "x"
    fourth = submit(
        compiled.greeting, parameters, job_id=f"fourth-{unique()}", enable_caching=False
    )
    assert wait(fourth) == "PIPELINE_STATE_SUCCEEDED"
    assert tasks(fourth)["greet"] == "SUCCEEDED"
    assert count.read_text() == "xx"


def test_a_cache_entry_is_gone_with_its_execution(
    submit: Callable[..., aiplatform.PipelineJob], emulator: RunningEmulator
) -> None:
    name = unique()
    first = submit(compiled.greeting, {"recipient": name}, job_id=f"first-{unique()}")
    wait(first)
    (greet,) = [task for task in first.task_details if task.task_name == "greet"]
    aiplatform.Execution(greet.execution.name).delete()
    second = submit(compiled.greeting, {"recipient": name}, job_id=f"second-{unique()}")
    wait(second)
    assert tasks(second) == {"greet": "SUCCEEDED", "write": "SKIPPED", "measure": "SKIPPED"}


def test_pipelines_within_pipelines(submit: Callable[..., aiplatform.PipelineJob]) -> None:
    name = unique()
    job = submit(compiled.nested, {"name": name})
    assert wait(job) == "PIPELINE_STATE_SUCCEEDED", job.gca_resource.error
    assert outputs(job, job.job_id) == {"Output": f"Hello, Hello, {name}!!"}
    by_id = {task.task_id: task for task in job.task_details}
    (within,) = [t for t in job.task_details if t.task_unique_name == "inner/greet"]
    assert by_id[within.parent_task_id].task_name == "inner"


def by_place(job: aiplatform.PipelineJob) -> dict[str, str]:
    """State by place in the pipeline, such as `each/0/greet`."""
    return {t.task_unique_name: t.state.name for t in job.task_details if t.parent_task_id}


@pytest.mark.parametrize(
    ("parameters", "taken"),
    [
        ({"name": "x"}, {"is-x"}),
        ({"name": "y"}, {"is-large", "often"}),
        ({"name": "y", "times": 2}, {"is-large"}),
    ],
)
def test_the_branch_whose_condition_holds_is_taken(
    submit: Callable[..., aiplatform.PipelineJob], parameters: Any, taken: Any
) -> None:
    job = submit(compiled.conditional, parameters, job_id=f"branch-{unique()}")
    assert wait(job) == "PIPELINE_STATE_SUCCEEDED", job.gca_resource.error
    spec = job.to_dict()["pipelineSpec"]
    names = {
        key: task["taskInfo"]["name"]
        for component in spec["components"].values()
        for key, task in component.get("dag", {}).get("tasks", {}).items()
        if key.startswith("condition")
    }
    states = {task.task_name: task.state.name for task in job.task_details}
    assert {names[key] for key in names if states.get(key) == "SUCCEEDED"} == taken
    assert states["condition-5"] == "NOT_TRIGGERED"


def test_a_loop_runs_once_for_each_item_and_its_outputs_are_collected(
    submit: Callable[..., aiplatform.PipelineJob],
) -> None:
    job = submit(compiled.looping, {"text": "ab"}, job_id=f"loop-{unique()}")
    assert wait(job) == "PIPELINE_STATE_SUCCEEDED", job.gca_resource.error
    assert outputs(job, job.job_id) == {"Output": "Hello, a! Hello, b!"}
    states = by_place(job)
    (loop,) = [place for place in states if place.startswith("for-loop") and "/" not in place]
    (first,) = [p for p in states if p.startswith(f"{loop}/0/condition") and p.count("/") == 2]
    assert states[first] == "SUCCEEDED"
    assert states[first.replace("/0/", "/1/")] == "NOT_TRIGGERED"


def test_a_failure_names_the_task_and_what_it_said(
    submit: Callable[..., aiplatform.PipelineJob],
) -> None:
    job = submit(compiled.failing, enable_caching=False)
    assert wait(job) == "PIPELINE_STATE_FAILED"
    assert "fail: " in job.gca_resource.error.message
    assert "the cup is broken" in job.gca_resource.error.message
    assert tasks(job) == {"fail": "FAILED", "greet": "NOT_TRIGGERED", "greet-2": "SUCCEEDED"}
    (failed,) = [task for task in job.task_details if task.task_name == "fail"]
    assert "the cup is broken" in failed.error.message
    with pytest.raises(RuntimeError, match="the cup is broken"):
        job._block_until_complete()


def test_cancel_ends_the_process_of_a_task(
    submit: Callable[..., aiplatform.PipelineJob], tmp_path: Path
) -> None:
    started = tmp_path / "started"
    job = submit(compiled.sleeping, {"seconds": 600, "started_file": str(started)})
    while not started.exists() or not started.read_text():
        assert job.state.name in ("PIPELINE_STATE_PENDING", "PIPELINE_STATE_RUNNING")
        time.sleep(0.1)
    with pytest.raises(exceptions.BadRequest, match="Cancel it before"):
        job.delete()
    job.cancel()
    assert wait(job) == "PIPELINE_STATE_CANCELLED"
    assert tasks(job)["sleep"] == "CANCELLED"
    process = int(started.read_text())
    deadline = time.monotonic() + 20
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.delete()
    with pytest.raises(exceptions.NotFound):
        aiplatform.PipelineJob.get(job.resource_name)


def test_the_generated_clients_of_both_versions_get_and_list(
    submit: Callable[..., aiplatform.PipelineJob], emulator: RunningEmulator
) -> None:
    label = unique()
    names = [
        submit(
            compiled.greeting,
            {"recipient": label},
            job_id=f"listed-{number}-{label}",
            labels={"batch": label},
        ).resource_name
        for number in range(3)
    ]
    parent = names[0].rpartition("/pipelineJobs/")[0]
    beta = client(emulator, aiplatform_v1beta1, beta_transports.PipelineServiceRestTransport)
    for api in (client(emulator), beta):
        got = api.get_pipeline_job(name=names[0])
        assert got.pipeline_spec["pipelineInfo"]["name"] == "greeting"
        pages = api.list_pipeline_jobs(
            {
                "parent": parent,
                "filter": f'labels.batch="{label}" AND pipeline_name:greeting*',
                "page_size": 2,
                "order_by": "create_time",
            }
        )
        assert [job.name for job in pages] == names
        assert not list(api.list_pipeline_jobs({"parent": parent, "filter": 'display_name="no"'}))
    masked = aiplatform.PipelineJob.list(
        filter=f'labels.batch="{label}"', order_by="create_time desc", enable_simple_view=True
    )
    assert [job.resource_name for job in masked] == names[::-1]
    assert not masked[0].gca_resource.runtime_config.gcs_output_directory


def test_nobody_without_credentials_starts_a_pipeline(emulator: RunningEmulator) -> None:
    """Such as a web page, which cannot send the header across origins."""
    import urllib.error
    import urllib.request

    parent = "projects/emulated-project/locations/us-central1"
    request = urllib.request.Request(
        f"{emulator.url}/v1/{parent}/pipelineJobs",
        data=b"{}",
        headers={"Content-Type": "text/plain"},
    )
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request)


@pytest.mark.parametrize(
    "spec",
    [
        {"pipelineInfo": "x", "root": {"dag": {}}, "schemaVersion": "2.1.0"},
        {"pipelineInfo": {"name": "x"}, "root": 3, "schemaVersion": "2.1.0"},
        {"pipelineInfo": {"name": "x"}, "root": {"dag": {"tasks": []}}, "schemaVersion": "2.1.0"},
        {
            "pipelineInfo": {"name": "x"},
            "root": {"dag": {"tasks": {"t": {"componentRef": {"name": "c"}}}}},
            "components": {"c": {"executorLabel": "e"}},
            "schemaVersion": "2.1.0",
        },
    ],
)
def test_what_is_no_pipeline_is_refused(emulator: RunningEmulator, spec: Any) -> None:
    job = aiplatform_v1.PipelineJob(
        pipeline_spec=spec, runtime_config={"gcs_output_directory": "gs://bucket/p"}
    )
    parent = "projects/emulated-project/locations/us-central1"
    with pytest.raises(exceptions.BadRequest, match="pipeline_spec"):
        client(emulator).create_pipeline_job(parent=parent, pipeline_job=job)


def test_an_id_is_taken_once(submit: Callable[..., aiplatform.PipelineJob]) -> None:
    identifier = f"only-{unique()}"
    submit(compiled.greeting, {"recipient": "a"}, job_id=identifier)
    with pytest.raises(exceptions.Conflict):
        submit(compiled.greeting, {"recipient": "b"}, job_id=identifier)


@pytest.mark.parametrize(
    ("pipeline", "parameters", "error", "text"),
    [
        (compiled.handled, {}, exceptions.MethodNotImplemented, "exit handlers"),
        (compiled.contained, {}, exceptions.MethodNotImplemented, "container components"),
        (compiled.packaged, {}, exceptions.BadRequest, "surely-not-installed>=3"),
        (compiled.greeting, {}, exceptions.BadRequest, "'recipient'"),
        (
            compiled.greeting,
            {"recipient": "x", "lines": "many"},
            exceptions.BadRequest,
            "NUMBER_INTEGER",
        ),
    ],
    ids=lambda value: getattr(value, "name", None) or getattr(value, "__name__", None),
)
def test_what_cannot_run_is_refused_at_once(
    submit: Callable[..., aiplatform.PipelineJob],
    pipeline: Any,
    parameters: Any,
    error: Any,
    text: str,
) -> None:
    with pytest.raises(error, match=text):
        submit(pipeline, parameters)
