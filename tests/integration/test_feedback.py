"""Feedback over the emulator: from what the router answered to a row that the pipeline reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from genaiops_dagster.data.inbox import Cursor
from genaiops_dagster.data.sensor import look
from genaiops_dagster.data.storing import store_source_rows
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.serving import Router
from genaiops_dagster.serving.answering.requests import RequestLog
from genaiops_dagster.serving.watching.feedback import (
    Feedback,
    FeedbackError,
    ensure_rated_requests,
    give_feedback,
)
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.serving import Serving
from tests.integration.promotion_bench import Bench
from tests.values import present
from vertex_emulator.testing import RunningEmulator


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.promote()
    return bench


def ask(bench: Bench, *questions: str, texts: bool = True) -> list[str]:
    """Ids of requests that were answered and recorded."""
    log = RequestLog(Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK))
    use_case = bench.use_case.model_copy(update={"serving": Serving(log_texts=texts)})
    with Router(use_case, bench.store, bench.vertex_ai, log) as router:
        return [router.generate({"question": q}, user="ann").request_id for q in questions]


def learning(bench: Bench, **source: Any) -> UseCase:
    """The use case, with texts in its log, fed by its inbox alone."""
    source = {"sql": None, **source}
    return bench.use_case.model_copy(
        update={
            "serving": Serving(log_texts=True),
            "source": bench.use_case.source.model_copy(update=source),
        }
    )


def test_a_corrected_answer_becomes_a_source_row_and_asks_for_a_run(bench: Bench) -> None:
    use_case = learning(bench)
    [request] = ask(bench, "json or csv?")
    tables = Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK)
    before = look(use_case, bench.store, Cursor(), time.time())
    assert not before.run_requests

    given = Feedback(request, rating=0.0, correction="csv", author="ann")
    uri = give_feedback(use_case, bench.store, tables, given)

    after = look(
        use_case, bench.store, Cursor.model_validate_json(present(before.cursor)), time.time()
    )
    assert len(present(after.run_requests)) == 1
    rows, _, findings = store_source_rows(
        use_case, bench.store, tables, SYSTEM_CLOCK.now().timestamp()
    )
    assert rows.rows == 1
    assert all(finding.passed for finding in findings.values()), findings
    content = present(bench.store.read(bench.store.name_of(present(uri))))
    assert json.loads(content) == {
        "half": "feedback",
        "question": "json or csv?",
        "id": f"feedback-{request}",
        "answer": "csv",
    }


def test_the_newest_feedback_stands_beside_the_request(bench: Bench) -> None:
    use_case = learning(bench)
    first, second = ask(bench, "json or csv?", "csv or json?")
    tables = Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK)
    for rating in (1.0, 0.25):
        give_feedback(use_case, bench.store, tables, Feedback(first, rating=rating))
    ensure_rated_requests(tables)
    rows = {row["request_id"]: row for row in bench.rows("rated_requests")}
    assert rows[first]["rating"] == 0.25
    assert rows[second]["rating"] is None
    assert rows[first]["answer"]


def test_correcting_again_replaces_the_row(bench: Bench) -> None:
    use_case = learning(bench)
    [request] = ask(bench, "json or csv?")
    tables = Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK)
    for answer in ("csv", "json"):
        give_feedback(use_case, bench.store, tables, Feedback(request, correction=answer))
    rows, _, _ = store_source_rows(use_case, bench.store, tables, SYSTEM_CLOCK.now().timestamp())
    assert rows.rows == 1


def test_a_batch_that_waits_for_its_marker_gets_one(bench: Bench) -> None:
    use_case = learning(bench, completion_marker="_SUCCESS")
    [request] = ask(bench, "json or csv?")
    tables = Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK)
    give_feedback(use_case, bench.store, tables, Feedback(request, correction="csv"))
    assert look(use_case, bench.store, Cursor(), time.time()).run_requests


def test_without_texts_the_variables_have_to_be_given(bench: Bench) -> None:
    use_case = learning(bench)
    [request] = ask(bench, "json or csv?", texts=False)
    tables = Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK)
    with pytest.raises(FeedbackError, match="keeps no texts"):
        give_feedback(use_case, bench.store, tables, Feedback(request, correction="csv"))
    given = Feedback(request, correction="csv", variables={"question": "which?"})
    uri = give_feedback(use_case, bench.store, tables, given)
    assert (
        json.loads(present(bench.store.read(bench.store.name_of(present(uri)))))["question"]
        == "which?"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give a rating"),
        ({"rating": 1.5}, "from 0 to 1"),
        ({"correction": "csv", "request_id": "nonsense"}, "not a request's id"),
        ({"correction": "csv", "request_id": "20261121-0"}, "no request 20261121-0 is recorded"),
    ],
)
def test_what_cannot_be_taken_is_refused(bench: Bench, given: dict[str, Any], message: str) -> None:
    tables = Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK)
    with pytest.raises(FeedbackError, match=message):
        give_feedback(
            learning(bench), bench.store, tables, Feedback(**{"request_id": "20261121-1", **given})
        )
    assert not [*bench.store.list(f"{bench.name}/inbox/")]


def test_the_command_records_it(emulator: RunningEmulator, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "genaiops_dagster.cli", "feedback", "python_modules"]
    asked = json.dumps({"title": "How do I parse JSON?", "body": "From a string."})
    options = ["--rating", "0", "--correct", "json", "--variables", asked]
    done = subprocess.run(
        [*command, "20261121-1", *options, "--folder", str(tmp_path)],
        env={**os.environ, **emulator.variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "python_modules/inbox/feedback/20261121-1/row.jsonl" in done.stdout
