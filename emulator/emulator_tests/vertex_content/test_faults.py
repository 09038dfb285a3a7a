"""Faults on request, as a client meets them."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from google import genai
from google.api_core.exceptions import ServiceUnavailable
from google.cloud import storage
from google.genai import errors, types

from emulator_tests.vertex_content.conftest import Post
from vertex_emulator.testing import RunningEmulator, start_emulator

from .conftest import LOCATION, MODEL
from .test_batches import ENDED, create, request, upload, wait

HELLO = "Describe a teapot."


def ask(client: Any, **config: Any) -> types.GenerateContentResponse:
    config = types.GenerateContentConfig(temperature=0, **config)
    return client.models.generate_content(model=MODEL, contents=HELLO, config=config)


def patient(attempts: int, **options: Any) -> types.HttpOptions:
    retries = types.HttpRetryOptions(attempts=attempts, initial_delay=0.01, max_delay=0.05)
    return types.HttpOptions(retry_options=retries, **options)


def outcomes(client: Any, count: int) -> list[bool]:
    """Whether each of `count` calls was answered."""
    found = []
    for _ in range(count):
        try:
            ask(client)
            found.append(True)
        except errors.APIError:
            found.append(False)
    return found


def test_errors_come_as_often_as_asked(
    client: genai.Client, set_faults: Callable[..., dict[str, Any]]
) -> None:
    set_faults({"kind": "error", "status": 503, "method": "generateContent", "times": 2})
    with pytest.raises(errors.ServerError) as caught:
        ask(client)
    assert (caught.value.code, caught.value.status) == (503, "UNAVAILABLE")
    assert outcomes(client, 2) == [False, True]


def test_a_client_that_retries_gets_its_answer(
    client: genai.Client, set_faults: Callable[..., dict[str, Any]]
) -> None:
    set_faults({"kind": "error", "status": 500, "times": 2})
    assert ask(client, http_options=patient(3)).text


def test_the_seed_decides_which_calls_fail(
    client: genai.Client, set_faults: Callable[..., dict[str, Any]]
) -> None:
    fault = {"kind": "error", "status": 500, "probability": 0.5}
    runs = []
    for seed in (1, 1, 2):
        set_faults(fault, seed=seed)
        runs.append(outcomes(client, 16))
    assert runs[0] == runs[1] != runs[2]
    assert 0 < sum(runs[0]) < 16


def test_a_quota_answers_429_with_retry_after(
    client: genai.Client, set_faults: Callable[..., dict[str, Any]], post: Post
) -> None:
    # https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429
    set_faults({"kind": "quota", "requests_per_minute": 2, "model": MODEL})
    assert outcomes(client, 4) == [True, True, False, False]
    with pytest.raises(errors.ClientError) as caught:
        ask(client)
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 60
    other = client.models.generate_content(model="gemini-3.1-pro-preview", contents=HELLO)
    assert other.text


def test_latency(client: genai.Client, set_faults: Callable[..., dict[str, Any]]) -> None:
    set_faults({"kind": "latency", "seconds": 0.3, "method": "generateContent"})
    started = time.monotonic()
    ask(client)
    assert 0.3 <= time.monotonic() - started < 2
    started = time.monotonic()
    client.models.count_tokens(model=MODEL, contents=HELLO)
    assert time.monotonic() - started < 0.3


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_dropped_connection(
    client: genai.Client,
    set_faults: Callable[..., dict[str, Any]],
    emulator: RunningEmulator,
    when: str,
) -> None:
    set_faults({"kind": "drop", "when": when, "times": 1})
    before = emulator.stats()["tokens"].get(MODEL, {}).get("input", 0)
    with pytest.raises(httpx.TransportError):
        ask(client)
    after = emulator.stats()["tokens"].get(MODEL, {}).get("input", 0)
    assert (after > before) == (when == "after")  # the work was done, and is billed
    assert ask(client).text


def test_a_hang_ends_with_the_clients_patience(
    client: genai.Client, set_faults: Callable[..., dict[str, Any]]
) -> None:
    set_faults({"kind": "hang", "seconds": 30, "times": 1})
    with pytest.raises(httpx.TimeoutException):
        ask(client, http_options=types.HttpOptions(timeout=300))
    assert ask(client).text


def test_a_stream_breaks_off(
    client: genai.Client, set_faults: Callable[..., dict[str, Any]]
) -> None:
    set_faults({"kind": "truncate", "after_bytes": 400, "method": "streamGenerateContent"})
    chunks = client.models.generate_content_stream(model=MODEL, contents="The sea is deep. " * 40)
    received: list[Any] = []
    with pytest.raises((httpx.TransportError, errors.APIError, ValueError)):
        received.extend(chunk.text for chunk in chunks)
    set_faults()
    assert ask(client).text


@pytest.mark.parametrize("where", ["prompt", "answer"])
def test_a_safety_block(
    client: genai.Client, set_faults: Callable[..., dict[str, Any]], where: str
) -> None:
    category = "HARM_CATEGORY_HARASSMENT"
    set_faults({"kind": "block", "where": where, "category": category, "times": 1})
    response = ask(client)
    if where == "prompt":
        ratings = response.prompt_feedback.safety_ratings
        assert not response.candidates
    else:
        ratings = response.candidates[0].safety_ratings
        assert response.candidates[0].finish_reason == types.FinishReason.SAFETY
    assert ratings[0].category == category
    assert ask(client).text


def test_malformed_output(client: genai.Client, set_faults: Callable[..., dict[str, Any]]) -> None:
    as_json = {
        "response_mime_type": "application/json",
        "response_schema": {
            "type": "OBJECT",
            "properties": {"name": {"type": "STRING"}},
            "required": ["name"],
        },
    }
    for form in ("cut", "prose"):
        set_faults({"kind": "malformed", "form": form})
        with pytest.raises(json.JSONDecodeError):
            json.loads(ask(client, **as_json).text)
    set_faults({"kind": "malformed", "form": "empty"})
    assert ask(client).candidates[0].content.parts is None
    set_faults({"kind": "malformed", "form": "no_content"})
    assert ask(client).candidates[0].content is None
    set_faults({"kind": "malformed", "form": "no_candidates"})
    assert not ask(client).candidates
    set_faults({"kind": "malformed", "form": "function_call"})
    reason = ask(client).candidates[0].finish_reason
    assert reason == types.FinishReason.MALFORMED_FUNCTION_CALL


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("fail", "JOB_STATE_FAILED"), ("pause", "JOB_STATE_PAUSED")],
)
def test_a_job_that_fails_or_pauses(
    client: genai.Client,
    bucket: storage.Bucket,
    set_faults: Callable[..., dict[str, Any]],
    outcome: str,
    state: str,
) -> None:
    set_faults({"kind": "job", "method": "batchPredictionJobs.run", "outcome": outcome, "times": 1})
    src = upload(bucket, {"request": request(HELLO)})
    job = wait(client, create(client, bucket, src))
    assert job.state.name == state
    client.batches.cancel(name=job.name)
    second = wait(client, create(client, bucket, src), *ENDED)
    assert second.state.name == "JOB_STATE_SUCCEEDED"


def test_the_clock_jumps(client: genai.Client, set_faults: Callable[..., dict[str, Any]]) -> None:
    before = ask(client).create_time
    set_faults({"kind": "clock", "offset_seconds": 86_400})
    assert 86_300 < (ask(client).create_time - before).total_seconds() < 86_500


def test_faults_of_other_services(
    bucket: storage.Bucket, set_faults: Callable[..., dict[str, Any]]
) -> None:
    set_faults({"kind": "error", "status": 503, "service": "storage", "method": "objects.insert"})
    with pytest.raises(ServiceUnavailable):
        bucket.blob("faults/a.txt").upload_from_string("a", retry=None)
    assert isinstance(list(bucket.list_blobs(prefix="faults/")), list)
    set_faults()
    bucket.blob("faults/a.txt").upload_from_string("a", retry=None)
    assert storage.Client().bucket(bucket.name).blob("faults/a.txt").exists()


def test_what_was_met_is_counted(
    client: genai.Client, set_faults: Callable[..., dict[str, Any]], emulator: RunningEmulator
) -> None:
    set_faults({"kind": "latency", "seconds": 0, "model": "gemini-3.5-*", "skip": 1})
    ask(client)
    ask(client)
    (fault,) = emulator.ask("GET", "faults")["faults"]
    assert (fault["matched"], fault["applied"]) == (2, 1)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (b'{"kind": "latency"}', "seconds"),
        (b'{"kind": "eror"}', "eror"),
        (b'{"kind": "error", "status": 200}', "status"),
        (b'{"kind": "drop", "path": "("}', "regular expression"),
        (b'{"kind": "drop", "modle": "x"}', "modle"),
        (b"- [", "YAML"),
    ],
)
def test_a_plan_that_is_none_is_refused(
    emulator: RunningEmulator, plan: bytes, message: str
) -> None:
    token = {"Authorization": f"Bearer {emulator.variables['VERTEX_EMULATOR_TOKEN']}"}
    target = urllib.request.Request(f"{emulator.url}/emulator/faults", plan, token)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(target)
    assert caught.value.code == 400
    assert message in json.load(caught.value)["error"]["message"]


def test_faults_from_a_file_and_jobs_that_outlive_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "faults.yaml"
    plan.write_text("seed: 1\nfaults:\n  - {kind: error, status: 429, times: 1}\n")
    running = start_emulator(tmp_path / "state", "--faults", str(plan))
    try:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        options = {"vertexai": True, "project": "p", "location": LOCATION}
        client = genai.Client(**options)
        assert outcomes(client, 2) == [False, True]
        bucket = storage.Client().bucket(running.variables["GENAIOPS_BUCKET"])
        src = upload(bucket, *({"request": request(f"Number {i}")} for i in range(20)))
        job = create(client, bucket, src)
        running.kill()
        running = start_emulator(tmp_path / "state")
        monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", running.url)
        job = wait(genai.Client(**options), job)
        assert job.state.name == "JOB_STATE_SUCCEEDED"
        assert job.completion_stats.successful_count == 20
    finally:
        running.stop()
