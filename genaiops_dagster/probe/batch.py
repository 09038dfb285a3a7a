"""What is assumed of batch jobs: finding them by name, and the form of their answers."""

from __future__ import annotations

import json
from typing import Any

from genaiops_dagster.budget.pricing import token_cost
from genaiops_dagster.evaluation.asking.batch_locations import CloudStorage
from genaiops_dagster.evaluation.asking.inference import read_answer
from genaiops_dagster.google_cloud.base_models import location_in
from genaiops_dagster.google_cloud.patience import only_once
from genaiops_dagster.probe.assumption import Assumption
from genaiops_dagster.probe.bench import PREFIX, Bench, refused
from genaiops_dagster.probe.outcome import NotTriedError, expect
from genaiops_dagster.probe.tuning import endpoint_of, model_of
from genaiops_dagster.prompts.tokens import user_message

_DOCS = "https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal"
_REST = "https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/projects.locations"
_QUESTIONS = ("Name the capital of France in one word.", "Name the capital of Italy in one word.")
_RUNNING = ("QUEUED", "PENDING", "RUNNING", "UPDATING")
_ENDED = ("SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")
_LOOKS = 60
_LONGEST_WAIT_SECONDS = 2 * 3600.0
_LONGEST_PAUSE_SECONDS = 30.0
_ANSWER_TOKENS = 256


def batch_usd(bench: Bench) -> float:
    """What both small batches cost at most, in US dollars; at the price of tuned models."""
    most = token_cost(
        bench.cheapest().name, 200, 2 * len(_QUESTIONS) * _ANSWER_TOKENS,
        tuned=True, prices=bench.prices,
    )  # fmt: skip
    return most or 0.0


def _named(client: Any, name: str) -> list[Any]:
    from google.genai import types

    config = types.ListBatchJobsConfig(filter=f'display_name="{name}"')
    return [job for job in client.batches.list(config=config) if job.display_name == name]


def _list(bench: Bench) -> str:
    found = _named(bench.models.genai, f"{PREFIX}-no-such-job")
    expect(not found, f"{len(found)} jobs have a name that was never given")
    return 'the filter display_name="..." is taken'


def _start(bench: Bench, client: Any, model: str, name: str) -> Any:
    from google.genai import types

    folder = bench.folder(name)
    source = f"{folder}requests.jsonl"
    lines = [
        json.dumps(
            {
                "request": {
                    "contents": [user_message(question)],
                    "generationConfig": {"maxOutputTokens": _ANSWER_TOKENS},
                }
            }
        )
        for question in _QUESTIONS
    ]
    bench.store.write(source, "\n".join(lines).encode(), "application/jsonl")
    display_name = f"{PREFIX}-{bench.run}-{name}"

    def delete() -> None:
        for job in _named(client, display_name):
            _delete(bench, client, job)

    bench.cleaning(f"batch job {display_name}", delete)
    return client.batches.create(
        model=model,
        src=bench.store.uri(source),
        config=types.CreateBatchJobConfig(
            display_name=display_name,
            dest=bench.store.uri(folder.rstrip("/")),
            http_options=only_once(60),
        ),
    )


def _delete(bench: Bench, client: Any, job: Any) -> None:
    """Delete a job, which has to have ended: one that runs is cancelled first."""
    if _state(job) in _RUNNING:
        client.batches.cancel(name=job.name)
    for _ in range(_LOOKS):
        if _state(client.batches.get(name=job.name)) in _ENDED:
            break
        bench.clock.sleep(1.0)
    client.batches.delete(name=job.name)


def _state(job: Any) -> str:
    return job.state.name.removeprefix("JOB_STATE_") if job.state else "UNSPECIFIED"


def _answers(bench: Bench, client: Any, job: Any) -> str:
    from google.genai import types

    waited, pause = 0.0, 0.5
    while _state(job) in _RUNNING:
        if waited > _LONGEST_WAIT_SECONDS:
            raise NotTriedError(f"the job is still {_state(job)} after {waited:.0f} s")
        bench.tell(f"a batch of {len(_QUESTIONS)}: {_state(job)} after {waited / 60:.0f} min")
        bench.clock.sleep(pause)
        waited, pause = waited + pause, min(_LONGEST_PAUSE_SECONDS, pause * 1.5)
        job = client.batches.get(name=job.name)
    expect(_state(job) == "SUCCEEDED", f"{_state(job)}: {job.error.message if job.error else ''}")
    rows = list(CloudStorage(bench.store, "").rows(job))
    expect(len(rows) == len(_QUESTIONS), f"{len(rows)} rows of {len(_QUESTIONS)}")
    for row in rows:
        expect(row.get("response") and row.get("request"), f"a row has {sorted(row)}")
        response = types.GenerateContentResponse.model_validate(row["response"])
        answer = read_answer(response, 0.0)
        expect(answer.state in ("answered", "truncated"), f"{answer.state}: {answer.reason}")
        expect(answer.input_tokens, "an answer has no usage")
    return f"{len(rows)} rows with request, response and usage after {waited / 60:.0f} min"


def _base(bench: Bench) -> str:
    model = bench.cheapest().name
    client = bench.client(model)
    bench.book(batch_usd(bench) / 2)
    address = bench.models.served_address(bench.models.model_address(model))
    job = _start(bench, client, address, "base")
    found = [one.name for one in _named(client, f"{PREFIX}-{bench.run}-base")]
    expect(found == [job.name], f"{len(found)} jobs have its name right after it was created")
    return _answers(bench, client, job)


def _tuned(bench: Bench) -> str:
    model = model_of(bench)
    location = location_in(model) or bench.settings.location
    client = bench.models.at(location).genai
    bench.book(batch_usd(bench) / 2)
    return _answers(bench, client, _start(bench, client, model, "tuned"))


def _endpoint(bench: Bench) -> str:
    endpoint = endpoint_of(bench)
    client = bench.models.at(location_in(endpoint) or bench.settings.location).genai
    with refused(400) as seen:
        _start(bench, client, endpoint, "endpoint")
    return seen[0]


ASSUMPTIONS = (
    Assumption(
        "batch.list-filter",
        "Batch",
        "Batch jobs are listed with a filter of their display name",
        f"{_REST}.batchPredictionJobs/list",
        "A run that was killed does not find its batch again, and pays for another",
        _list,
    ),
    Assumption(
        "batch.base",
        "Batch",
        "A batch of a base model is listed under its name at once; each row has request, response "
        "and usage",
        f"{_DOCS}/batch-prediction-from-cloud-storage",
        "Batches are paid twice, or their answers are not found and are asked for again",
        _base,
        spends=True,
    ),
    Assumption(
        "batch.tuned-by-registry-name",
        "Batch",
        "A batch of a tuned model takes its registry name, in the location of that name",
        f"{_DOCS}/batch-prediction-from-cloud-storage",
        "Tuned candidates cannot be evaluated by batch",
        _tuned,
        spends=True,
    ),
    Assumption(
        "batch.endpoint-refused",
        "Batch",
        "A batch whose model is an endpoint is refused with 400",
        f"{_REST}.batchPredictionJobs",
        "Nothing breaks: registry names are sent, and endpoints would do as well",
        _endpoint,
        spends=True,
    ),
)  # fmt: skip
