"""`kill -9` while jobs are made and run: none is lost, and nothing is there by half."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from google import genai
from google.cloud import bigquery, storage
from google.genai import types

from emulator_tests.vertex_tuning.conftest import COLOURS, colour_examples, genai_client, wait
from vertex_emulator.testing import RunningEmulator, start_emulator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*tuning implementation is experimental"),
]

KILLS = 20
MODEL = "gemini-3.5-flash"
BATCH_ROWS = 30
WAYS = ("tune", "batch to an object", "batch to a table", "cache")


def upload_inputs(bucket: storage.Bucket) -> None:
    examples = map(json.dumps, colour_examples(20))
    bucket.blob("train.jsonl").upload_from_string("\n".join(examples))
    requests = (
        {"request": {"contents": [{"role": "user", "parts": [{"text": f"Number {n}"}]}]}}
        for n in range(BATCH_ROWS)
    )
    bucket.blob("requests.jsonl").upload_from_string("\n".join(map(json.dumps, requests)))


def make(client: genai.Client, bucket: str, way: str, label: str) -> str:
    """Make one thing of the API's; returns its name when it is acknowledged."""
    if way == "tune":
        job = client.tunings.tune(
            base_model=MODEL,
            training_dataset=types.TuningDataset(gcs_uri=f"gs://{bucket}/train.jsonl"),
            config=types.CreateTuningJobConfig(epoch_count=1, tuned_model_display_name=label),
        )
        return job.name
    if way == "cache":
        text = f"{label}: " + "words that are long enough to be cached " * 400
        config = types.CreateCachedContentConfig(contents=text, display_name=label)
        return client.caches.create(model=MODEL, config=config).name
    destination = f"gs://{bucket}/out" if way == "batch to an object" else "bq://crash.out.answers"
    config = types.CreateBatchJobConfig(dest=destination, display_name=label)
    return client.batches.create(
        model=MODEL, src=f"gs://{bucket}/requests.jsonl", config=config
    ).name


def make_until_killed(
    running: RunningEmulator, numbers: Iterator[int], made: dict[str, str], chance: random.Random
) -> None:
    """Kill the emulator at a random moment after a random number of acknowledgements."""
    enough = len(made) + chance.randrange(1, 5)
    client = genai_client(running)
    bucket = running.variables["GENAIOPS_BUCKET"]

    def work() -> None:
        with contextlib.suppress(Exception):
            for number in numbers:
                way = WAYS[number % len(WAYS)]
                made[make(client, bucket, way, f"n{number}")] = way

    worker = threading.Thread(target=work)
    worker.start()
    while len(made) < enough and worker.is_alive():
        time.sleep(0.002)
    time.sleep(chance.uniform(0.0, 0.4))
    running.kill()
    worker.join(60)
    assert not worker.is_alive()
    assert len(made) >= enough, "making broke before the kill"


def check_whole(client: genai.Client, running: RunningEmulator, made: dict[str, str]) -> None:
    """Everything acknowledged is there, and what jobs leave behind is there as a whole."""
    getters = {"tune": client.tunings.get, "cache": client.caches.get}
    for name, way in made.items():
        assert getters.get(way, client.batches.get)(name=name).name == name
    for job in client.tunings.list():
        if job.has_succeeded:
            answer = client.models.generate_content(
                model=job.tuned_model.endpoint, contents="What colour has sky number 77?"
            )
            assert answer.text in COLOURS.values()
    objects = storage.Client().bucket(running.variables["GENAIOPS_BUCKET"])
    for blob in objects.list_blobs(prefix="out/"):
        assert len(blob.download_as_text().splitlines()) == BATCH_ROWS
    with contextlib.suppress(StopIteration):
        tables = bigquery.Client().query_and_wait(
            "SELECT row_count FROM crash.out.__TABLES__ WHERE table_id = 'answers'"
        )
        assert next(iter(tables)).row_count % BATCH_ROWS == 0


def test_kills_at_random_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(5)
    numbers = itertools.count()
    made: dict[str, str] = {}

    def start() -> RunningEmulator:
        running = start_emulator(tmp_path / "state", "--tuning-seconds", "0.3")
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        return running

    running = start()
    try:
        upload_inputs(storage.Client().bucket(running.variables["GENAIOPS_BUCKET"]))
        bigquery.Client().create_dataset("crash.out")
        for _ in range(KILLS):
            make_until_killed(running, numbers, made, chance)
            running = start()
            check_whole(genai_client(running), running, made)

        client = genai_client(running)
        jobs = list(client.tunings.list())
        batches = list(client.batches.list())
        for job in jobs:
            assert wait(client, job).has_succeeded
        for batch in batches:
            ended = wait_for_batch(client, batch)
            assert ended.state == types.JobState.JOB_STATE_SUCCEEDED
            assert ended.completion_stats.successful_count == BATCH_ROWS
        check_whole(client, running, made)
        to_tables = sum(batch.dest.bigquery_uri is not None for batch in batches)
        assert bigquery.Client().get_table("crash.out.answers").num_rows == to_tables * BATCH_ROWS
        models = list(client.models.list(config={"query_base": False}))
        assert len(models) == len(jobs), "a job left more than one model, or none"
    finally:
        running.kill()


def wait_for_batch(client: genai.Client, job: types.BatchJob) -> types.BatchJob:
    deadline = time.monotonic() + 120
    while not job.done:
        assert time.monotonic() < deadline, f"{job.name} is still {job.state}"
        time.sleep(0.05)
        job = client.batches.get(name=job.name)
    return job
