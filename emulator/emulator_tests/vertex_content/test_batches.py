"""Batch prediction jobs.

https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-gemini
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from google import genai
from google.cloud import bigquery, storage
from google.genai import errors, types

from vertex_emulator.testing import RunningEmulator

from .conftest import MODEL

ENDED = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_PAUSED")


def request(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"contents": [{"role": role, "parts": [{"text": text}]}], **more}


def upload(bucket: Any, *lines: Any, name: str | None = None) -> str:
    name = name or f"batch/{uuid.uuid4().hex}.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    bucket.blob(name).upload_from_string("\n".join(texts))
    return f"gs://{bucket.name}/{name}"


def wait(client: Any, job: Any, *states: str) -> Any:
    deadline = time.monotonic() + 20
    while job.state.name not in (states or ENDED):
        assert time.monotonic() < deadline, job.state
        time.sleep(0.05)
        job = client.batches.get(name=job.name)
    return job


def output(bucket: Any, job: Any) -> list[dict[str, Any]]:
    prefix = job.output_info.gcs_output_directory.removeprefix(f"gs://{bucket.name}/")
    (blob,) = bucket.list_blobs(prefix=prefix)
    return [json.loads(line) for line in blob.download_as_text().splitlines()]


def create(client: Any, bucket: Any, src: Any, **config: Any) -> Any:
    config = {"dest": f"gs://{bucket.name}/predictions", **config}
    return client.batches.create(model=MODEL, src=src, config=config)


def test_each_line_of_the_output_has_request_response_and_time(
    client: genai.Client, bucket: storage.Bucket
) -> None:
    requests = [request("Describe a teapot."), request("Describe a kettle.")]
    src = upload(bucket, *({"request": item, "key": i} for i, item in enumerate(requests)))
    job = create(client, bucket, src, display_name="teapots")
    assert job.state == types.JobState.JOB_STATE_PENDING
    job = wait(client, job)
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert job.display_name == "teapots"
    assert job.completion_stats.successful_count == 2
    assert job.create_time < job.start_time < job.end_time
    rows = output(bucket, job)
    assert [row["request"] for row in rows] == requests
    assert [row["key"] for row in rows] == [0, 1]
    for row in rows:
        assert row["status"] == ""
        assert row["processed_time"].endswith("+00:00")
        answer = types.GenerateContentResponse.model_validate(row["response"])
        assert answer.text
        assert answer.usage_metadata.total_token_count > 0


def test_a_row_that_fails_tells_why_and_the_others_go_on(
    client: genai.Client, bucket: storage.Bucket
) -> None:
    # The failed example of
    # https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-from-cloud-storage
    bad = request("Explain how AI works in a few words", role="tester")
    src = upload(bucket, {"request": bad}, {"request": request("Describe a teapot.")})
    job = wait(client, create(client, bucket, src))
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert (job.completion_stats.failed_count, job.completion_stats.successful_count) == (1, 1)
    failed, fine = output(bucket, job)
    assert failed["status"] == (
        'Bad Request: {"error": {"code": 400, "message": "Please use a valid role: user, model.",'
        ' "status": "INVALID_ARGUMENT"}}'
    )
    assert failed["response"] == {}
    assert fine["response"]["candidates"]


def test_an_unknown_field_fails_its_row_only(client: genai.Client, bucket: storage.Bucket) -> None:
    src = upload(
        bucket,
        {"request": request("Hello", generationConfig={"temprature": 0})},
        {"request": request("Hello")},
    )
    job = wait(client, create(client, bucket, src))
    failed, _ = output(bucket, job)
    assert "temprature" in failed["status"]


@pytest.mark.parametrize("line", ["{not json", '{"contents": []}', "[]"])
def test_a_file_that_is_no_batch_fails_the_job_and_names_the_line(
    client: genai.Client, bucket: storage.Bucket, line: str
) -> None:
    src = upload(bucket, {"request": request("Hello")}, line)
    job = wait(client, create(client, bucket, src))
    assert job.state == types.JobState.JOB_STATE_FAILED
    assert "Line 2" in job.error.message


def test_a_missing_file_fails_the_job(client: genai.Client, bucket: storage.Bucket) -> None:
    job = wait(client, create(client, bucket, f"gs://{bucket.name}/batch/missing.jsonl"))
    assert job.state == types.JobState.JOB_STATE_FAILED
    assert job.error.message


def test_the_destination_defaults_to_a_folder_by_the_source(
    client: genai.Client, bucket: storage.Bucket
) -> None:
    src = upload(bucket, {"request": request("Hello")})
    job = wait(client, client.batches.create(model=MODEL, src=src))
    assert job.dest.gcs_uri == src.removesuffix(".jsonl") + "/dest"
    assert len(output(bucket, job)) == 1


def test_from_a_table_to_a_table(
    client: genai.Client, bucket: storage.Bucket, emulator: RunningEmulator
) -> None:
    # "request" column in, its columns with "status", "response" and "processed_time" out
    # https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-from-bigquery
    warehouse = bigquery.Client()
    dataset = f"{warehouse.project}.batches_{uuid.uuid4().hex[:8]}"
    warehouse.create_dataset(dataset)
    rows = [{"id": i, "request": json.dumps(request(f"Number {i}"))} for i in range(3)]
    schema = [bigquery.SchemaField("id", "INT64"), bigquery.SchemaField("request", "STRING")]
    warehouse.load_table_from_json(
        rows, f"{dataset}.requests", job_config=bigquery.LoadJobConfig(schema=schema)
    ).result()
    job = client.batches.create(
        model=MODEL, src=f"bq://{dataset}.requests", config={"dest": f"bq://{dataset}.answers"}
    )
    job = wait(client, job)
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED, job.error
    assert job.output_info.bigquery_output_table == "answers"
    found = {row["id"]: row for row in warehouse.list_rows(f"{dataset}.answers")}
    assert len(found) == 3
    for row in found.values():
        response = row["response"]
        response = json.loads(response) if isinstance(response, str) else response
        assert response["candidates"]
        assert row["status"] == ""
        assert row["processed_time"]


def test_a_cancelled_job_ends_and_writes_no_more(
    client: genai.Client, bucket: storage.Bucket, set_faults: Callable[..., dict[str, Any]]
) -> None:
    set_faults({"kind": "job", "method": "batchPredictionJobs.run", "outcome": "pending"})
    src = upload(bucket, {"request": request("Hello")})
    job = create(client, bucket, src)
    client.batches.cancel(name=job.name)
    job = wait(client, job)
    assert job.state == types.JobState.JOB_STATE_CANCELLED
    client.batches.cancel(name=job.name)
    assert client.batches.get(name=job.name).state == types.JobState.JOB_STATE_CANCELLED


def test_list_filters_and_pages(client: genai.Client, bucket: storage.Bucket) -> None:
    src = upload(bucket, {"request": request("Hello")})
    name = f"list {uuid.uuid4().hex}"
    names = {create(client, bucket, src, display_name=name).name for _ in range(3)}
    pager = client.batches.list(config={"page_size": 2, "filter": f'display_name="{name}"'})
    assert len(pager.page) == 2
    assert {job.name for job in pager} == names
    for job_name in names:
        wait(client, client.batches.get(name=job_name))
    done = client.batches.list(
        config={"filter": f'display_name="{name}" AND state="JOB_STATE_SUCCEEDED"'}
    )
    assert {job.name for job in done} == names


def test_a_deleted_job_is_gone(client: genai.Client, bucket: storage.Bucket) -> None:
    job = wait(client, create(client, bucket, upload(bucket, {"request": request("Hello")})))
    assert client.batches.delete(name=job.name).done
    with pytest.raises(errors.ClientError) as caught:
        client.batches.get(name=job.name)
    assert caught.value.code == 404


def test_an_unknown_model_is_refused_at_once(client: genai.Client, bucket: storage.Bucket) -> None:
    with pytest.raises(errors.ClientError) as caught:
        client.batches.create(
            model="gemini-0.1-imaginary",
            src=f"gs://{bucket.name}/batch/x.jsonl",
            config={"dest": f"gs://{bucket.name}/predictions"},
        )
    assert caught.value.code == 404


async def test_the_async_client_runs_batches(
    new_client: genai.Client, bucket: storage.Bucket
) -> None:
    job = await new_client.aio.batches.create(
        model=MODEL,
        src=upload(bucket, {"request": request("Hello")}),
        config={"dest": f"gs://{bucket.name}/predictions"},
    )
    assert job.name in [item.name async for item in await new_client.aio.batches.list()]
    await new_client.aio.batches.cancel(name=job.name)
    assert wait(new_client, job).state.name in ENDED
