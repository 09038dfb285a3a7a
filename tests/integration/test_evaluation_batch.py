"""Answers from batch jobs, served by the emulator."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from google import genai

from genaiops_dagster.evaluation.asking.batch import BatchFailedError
from genaiops_dagster.evaluation.report import read_rows
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.claims import Claim, create_once
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from tests.integration.evaluation import (
    content_requests,
    faults,
    materialize,
    put_inputs,
    report_of,
    store,
    use_case_of,
)
from tests.values import present
from vertex_emulator.testing import RunningEmulator

__all__ = ["faults", "store"]  # fixtures


@pytest.mark.parametrize("through", ["cloud_storage", "bigquery"])
def test_a_batch_job_gives_the_same_report(
    emulator: RunningEmulator, store: ObjectStore, through: str
) -> None:
    singly = use_case_of()
    together = use_case_of(batch_from_rows=10, batch_through=through)
    for use_case in (singly, together):
        put_inputs(store, use_case)
    one_by_one = report_of(materialize(singly, "flash"))
    paid = content_requests(emulator)

    in_batch = report_of(materialize(together, "flash"))

    assert content_requests(emulator) == paid, "nothing was asked singly"
    assert in_batch.metrics == one_by_one.metrics
    answers = [row.answer for row in read_rows(store, in_batch)]
    assert answers == [row.answer for row in read_rows(store, one_by_one)]
    assert all(row.batch for row in read_rows(store, in_batch))
    assert (in_batch.input_tokens, in_batch.output_tokens) == (
        one_by_one.input_tokens,
        one_by_one.output_tokens,
    )
    assert in_batch.latency_p50_seconds is None
    assert present(in_batch.cost_usd) <= present(one_by_one.cost_usd)
    files = [found.name for found in store.list(f"{together.name}/batches/")]
    assert bool(files) == (through == "cloud_storage")


@pytest.mark.parametrize(
    ("model", "policy", "in_batch"),
    [
        ("gemini-3.1-pro-preview", {"batch_from_saving_usd": 0.01}, True),
        ("gemini-3.1-pro-preview", {"batch_from_saving_usd": 9.0}, False),
        ("gemini-3.1-pro-preview", {"batch_from_saving_usd": 0.01, "batch_from_rows": 25}, False),
        ("gemini-3.1-flash-lite", {"batch_from_saving_usd": 0.1}, False),
    ],
)
def test_a_batch_job_is_chosen_by_what_it_saves(
    emulator: RunningEmulator,
    store: ObjectStore,
    model: str,
    policy: dict[str, float],
    in_batch: bool,
) -> None:
    """24 answers of `pro`, which thinks as much as it likes, cost 7 USD at most.

    Those of `flash-lite` cost 5 cents at most; a batch job costs half.
    """
    candidates = {"flash": {"model": model, "generation": {"max_output_tokens": 256}}}
    use_case = use_case_of(candidates, **policy)
    put_inputs(store, use_case)
    report = report_of(materialize(use_case, "flash"))
    assert {row.batch for row in read_rows(store, report)} == {in_batch}


def test_what_a_batch_job_could_not_answer_is_asked_singly(
    emulator: RunningEmulator, store: ObjectStore, faults: Callable[..., None]
) -> None:
    use_case = use_case_of(batch_from_rows=10)
    put_inputs(store, use_case)
    paid = content_requests(emulator)
    faults(
        {"kind": "error", "method": "generateContent", "path": "batch", "status": 400, "times": 3}
    )
    report = report_of(materialize(use_case, "flash", raise_on_error=False))
    assert report.states["answered"] == 24
    assert content_requests(emulator) - paid in {0, 3}


def test_a_batch_job_that_fails_says_what_to_do(
    emulator: RunningEmulator, store: ObjectStore, faults: Callable[..., None]
) -> None:
    use_case = use_case_of(batch_from_rows=10)
    put_inputs(store, use_case)
    faults({"kind": "job", "outcome": "fail", "method": "batchPredictionJobs.run"})
    with pytest.raises(BatchFailedError, match=r"JOB_STATE_FAILED.*batch_from_rows"):
        materialize(use_case, "flash")


@pytest.mark.parametrize("through", ["cloud_storage", "bigquery"])
def test_a_batch_job_is_found_again_by_the_next_run(
    emulator: RunningEmulator, store: ObjectStore, faults: Callable[..., None], through: str
) -> None:
    use_case = use_case_of(batch_from_rows=10, batch_wait_seconds=1, batch_through=through)
    put_inputs(store, use_case)
    jobs = emulator.stats()["requests"]["vertex"].get("batchPredictionJobs.create", 0)
    faults({"kind": "job", "outcome": "pending", "method": "batchPredictionJobs.run"})
    for _ in range(2):
        with pytest.raises(BatchFailedError, match="it goes on"):
            materialize(use_case, "flash")
    created = emulator.stats()["requests"]["vertex"]["batchPredictionJobs.create"] - jobs
    assert created == 1


@pytest.mark.parametrize(
    "lost", [{"kind": "drop", "when": "after"}, {"kind": "error", "status": 503, "work_done": True}]
)
def test_a_batch_job_whose_creation_got_no_answer_is_found_and_paid_once(
    emulator: RunningEmulator,
    store: ObjectStore,
    faults: Callable[..., None],
    lost: dict[str, str],
) -> None:
    use_case = use_case_of(batch_from_rows=10)
    put_inputs(store, use_case)
    client = genai.Client(location="us")  # where its model is served
    before = {job.name for job in client.batches.list()}
    faults({**lost, "method": "batchPredictionJobs.create", "times": 1})
    report = report_of(materialize(use_case, "flash"))
    assert report.states["answered"] == 24
    assert all(row.batch for row in read_rows(store, report))
    created = [job for job in client.batches.list() if job.name not in before]
    assert len(created) == 1


def test_two_who_want_the_same_batch_job_share_it(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    """Both find none, and both go on to create it."""
    together = threading.Barrier(2)
    made: list[int] = []
    lock = threading.Lock()
    name = f"{uuid.uuid4().hex}/claim.json"

    def find() -> int | None:
        with lock:
            return made[0] if made else None

    def create(_: float) -> int:
        with lock:
            made.append(len(made))
        return made[-1]

    def ask(_: int) -> tuple[int, bool]:
        together.wait()
        claim = Claim(store, name, 10, SYSTEM_CLOCK)
        return create_once(claim, find, create, logging.getLogger("test"))

    with ThreadPoolExecutor(2) as pool:
        results = sorted(pool.map(ask, range(2)))
    assert made == [0]
    assert results == [(0, False), (0, True)]
