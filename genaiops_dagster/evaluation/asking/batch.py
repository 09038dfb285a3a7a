"""Answers from a batch prediction job: later than single requests, and cheaper.

The job's answers go into the same cache as those of single requests; what it could not answer is
asked singly afterwards, so that the report is the same. The job's state is in the service alone: a
run that is killed finds its job again by name.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-gemini
"""

from __future__ import annotations

import functools
import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from genaiops_dagster.evaluation.asking.batch_locations import BatchLocation, NoAnswersError
from genaiops_dagster.evaluation.asking.inference import (
    Contents,
    Model,
    contents_key,
    read_answer,
    request_body,
)
from genaiops_dagster.google_cloud.patience import only_once, read_patiently
from genaiops_dagster.records.claims import Claim, NotCreatedError, create_once
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.records.fingerprint import fingerprint

if TYPE_CHECKING:
    from google import genai
    from google.genai import types

_RUNNING = {"JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_UPDATING"}
_USABLE = {"JOB_STATE_SUCCEEDED", "JOB_STATE_PARTIALLY_SUCCEEDED"}
_LONGEST_PAUSE = 30.0


class BatchFailedError(RuntimeError):
    """A batch job ended without answers, or has not ended in time; the message names it."""


def answer_in_batch(
    client: genai.Client,
    location: BatchLocation,
    model: Model,
    system_instruction: str,
    questions: Iterable[Contents],
    wait_seconds: float,
    claim: Callable[[str], Claim],
    log: logging.Logger,
    *,
    afresh: bool = False,
) -> Iterator[tuple[str, Answer]]:
    """Answers with their `contents_key`, as far as the job has them.

    Args:
        client: Gen AI client.
        location: Where requests and answers are.
        model: What answers.
        system_instruction: Part of every request.
        questions: The requests; repeated ones are sent once.
        wait_seconds: How long to wait for the job.
        claim: The right to create the job of a name; its clock tells how long the job takes.
        log: Receives the job's name and states.
        afresh: Whether to ignore the answers of a job that has ended.

    Raises:
        BatchFailedError: the job failed, is still running after `wait_seconds`, or it is not known
            whether there is one.
    """
    shared = request_body([], model, system_instruction)
    requests = _request_lines(shared, questions)
    name = (
        f"answers-{fingerprint(location.address, model.address, sha256(requests).hexdigest())[:40]}"
    )
    wanted = _RUNNING if afresh else _RUNNING | _USABLE
    ended = {job.name for job in _named(client, name) if _state(job) not in wanted}
    right = claim(name)

    def find() -> types.BatchJob | None:
        return next((job for job in _named(client, name) if job.name not in ended), None)

    job = find()
    if job is None:
        source, target = location.put(name, requests)
        create = functools.partial(_create, client, model.address, name, source, target)
        try:
            job, _ = create_once(right, find, create, log)
        except NotCreatedError as error:
            raise BatchFailedError(
                f"batch job {name}: {error}; materialize again, which looks for it first"
            ) from error
    del requests
    ended_job = _wait(client, job, wait_seconds, right.clock, log)
    yield from _read(location, ended_job, model.generation.max_output_tokens)


def _request_lines(shared: Mapping[str, Any], questions: Iterable[Contents]) -> bytes:
    """The requests as JSON lines, each once."""
    content, seen = io.BytesIO(), set()
    for contents in questions:
        line = json.dumps({"request": {**shared, "contents": list(contents)}}).encode()
        if (digest := sha256(line).digest()) not in seen:
            seen.add(digest)
            content.write(line + b"\n")
    return content.getvalue()


def _named(client: genai.Client, name: str) -> list[types.BatchJob]:
    """All jobs called `name`, newest first."""
    from google.genai import types

    config = types.ListBatchJobsConfig(filter=f'display_name="{name}"')
    return [job for job in client.batches.list(config=config) if job.display_name == name]


def _create(
    client: genai.Client, address: str, name: str, source: str, target: str, seconds: float
) -> types.BatchJob:
    """Ask for the job once: asked twice, the service makes two."""
    from google.genai import types

    return client.batches.create(
        model=address,
        src=source,
        config=types.CreateBatchJobConfig(
            display_name=name, dest=target, http_options=only_once(seconds)
        ),
    )


def _wait(
    client: genai.Client, job: types.BatchJob, seconds: float, clock: Clock, log: logging.Logger
) -> types.BatchJob:
    deadline, pause, logged = clock.elapsed() + seconds, 0.25, ""
    while True:
        state = _state(job)
        if state != logged:
            log.info("Batch job %s: %s", job.name, state)
            logged = state
        if state in _USABLE:
            return job
        if state not in _RUNNING:
            message = job.error.message if job.error else "no reason given"
            raise BatchFailedError(
                f"batch job {job.name} ended as {state}: {message}; "
                "raise batch_from_rows in the use case file to ask row by row"
            )
        if clock.elapsed() >= deadline:
            raise BatchFailedError(
                f"batch job {job.name} is still {state} after {seconds:g} seconds; it goes on: "
                "materialize again later to use its answers"
            )
        clock.sleep(min(pause, max(0.0, deadline - clock.elapsed())))
        pause = min(_LONGEST_PAUSE, pause * 1.5)
        job = read_patiently(
            functools.partial(client.batches.get, name=job.name or ""), clock.sleep
        )


def _state(job: types.BatchJob) -> str:
    return job.state.name if job.state else "JOB_STATE_UNSPECIFIED"


def _read(
    location: BatchLocation, job: types.BatchJob, longest: int
) -> Iterator[tuple[str, Answer]]:
    """Answers of all rows of the job's output that have one; `longest` as in `read_answer`."""
    from google.genai import types

    try:
        for row in location.rows(job):
            if row.get("status") or not row.get("response"):
                continue
            response = types.GenerateContentResponse.model_validate(row["response"])
            answer = read_answer(response, 0.0, longest)
            yield (
                contents_key(row["request"]["contents"]),
                answer.model_copy(update={"batch": True}),
            )
    except NoAnswersError as error:
        raise BatchFailedError(str(error)) from error
