"""A day of real traffic over the emulator: scored, compared, paid once."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.orchestration.assembly import build_use_case
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.records.record import from_row
from genaiops_dagster.serving.answering.requests import REQUESTS, new_request_id
from genaiops_dagster.serving.watching.feedback import Feedback, give_feedback
from genaiops_dagster.serving.watching.online_evaluation import OnlineEvaluation
from genaiops_dagster.use_case.serving import Serving
from tests.integration.lifecycle import error_text
from tests.integration.promotion_bench import Bench
from tests.serving.test_drift import question
from tests.values import present
from vertex_emulator.testing import RunningEmulator

DAY = dt.date(2026, 11, 20)
KNOWN = ["json", "threads", "dates"]
JUDGE = {
    "model": "gemini-3.5-flash-lite",
    "metrics": {"helpful": {"criteria": "The answer helps."}},
}


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.promote()
    serving = Serving.model_validate({"log_texts": True, "monitoring": {"sample_rows": 120}})
    bench.use_case = bench.use_case.model_copy(update={"serving": serving})
    put_evaluation_set(bench)
    return bench


def put_evaluation_set(bench: Bench) -> None:
    dice = random.Random(0)
    examples = [
        Example(
            id=f"row-{n}",
            group=f"row-{n}",
            slices={},
            variables={"question": question(dice, KNOWN)},
            output="json",
        )
        for n in range(200)
    ]
    name = f"{bench.name}/datasets/online/evaluation.jsonl"
    body = "".join(f"{example.model_dump_json()}\n" for example in examples)
    bench.store.write(name, body.encode())
    split = DatasetSplit(
        name="evaluation",
        uri=bench.store.uri(name),
        digest="online",
        dataset_digest="online",
        prompt_digest=version(bench.use_case.prompt).digest,
        rows=len(examples),
        characters=1,
    )
    bench.put("evaluation_set", split)


def serve(bench: Bench, count: int = 150, topics: list[str] = KNOWN, **changes: Any) -> list[str]:
    """Requests of `DAY`, as the router would have recorded them; their ids."""
    dice = random.Random(count)
    at = dt.datetime.combine(DAY, dt.time(12), dt.UTC)
    champion = bench.champion
    rows = []
    for n in range(count):
        asked = question(dice, topics)
        rows.append(
            {
                "request_id": new_request_id(at.timestamp()),
                "created": at.isoformat(),
                "use_case": bench.name,
                "user_digest": f"user {n}",
                "arm": "champion",
                "champion_number": champion.number,
                "candidate": champion.candidate,
                "decision": champion.decision_id,
                "model": champion.model,
                "prompt_digest": champion.prompt_digest,
                "state": "answered",
                "input_tokens": 20,
                "output_tokens": 2,
                "cost_usd": 0.001,
                "latency_seconds": 0.5,
                "input_characters": len(asked),
                "output_characters": 4,
                "variables": json.dumps({"question": asked}),
                "answer": "json",
                **changes,
            }
        )
    Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK).append(REQUESTS, rows)
    return [row["request_id"] for row in rows]


def evaluate(bench: Bench) -> tuple[OnlineEvaluation, dict[str, bool]]:
    """Materialize the day's partition; the record, and which checks passed."""
    definitions = dg.Definitions.merge(
        build_use_case(bench.use_case), dg.Definitions(resources=build_resources())
    )
    schedule = definitions.resolve_schedule_def(f"{bench.name}_online_evaluation")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    job = definitions.resolve_job_def(f"{bench.name}_online_evaluation_day")
    result = job.execute_in_process(partition_key=DAY.isoformat(), raise_on_error=False)
    assert result.success, error_text(result)
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    return from_row(OnlineEvaluation, bench.get(f"online_evaluation/{DAY.isoformat()}")), checks


def test_a_clean_day_is_scored_and_silent(bench: Bench) -> None:
    requests = serve(bench)
    tables = Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK)
    for number, request in enumerate(requests[:60]):
        given = Feedback(request, rating=1.0, correction="json" if number % 10 else "csv")
        give_feedback(bench.use_case, bench.store, tables, given)
    found, checks = evaluate(bench)
    assert checks == {"input_drift": True, "score_drift": True}
    assert (found.requests, found.sampled, found.champion) == (150, 120, 1)
    assert found.cost_usd == pytest.approx(0.15)
    assert found.latency_p95_seconds == 0.5
    score = found.metrics["exact_match"]
    assert 30 <= score.rows <= 60
    assert 0.75 < present(score.mean) < 1
    assert found.reference["exact_match"] == pytest.approx(0.9, abs=0.05)
    assert found.metrics["rating"].mean == 1.0
    assert [test.name for test in found.drift if test.p_value is not None] == [
        "input text",
        "input length",
        "exact_match",
    ]
    stored = bench.rows("online_scores")
    assert len(stored) == score.rows
    assert {row["metric"] for row in stored} == {"exact_match"}
    evaluate(bench)
    assert len(bench.rows("online_scores")) == score.rows  # the same rows again


def test_new_questions_raise_the_input_alarm(bench: Bench) -> None:
    serve(bench, topics=["files", "json"])
    found, checks = evaluate(bench)
    assert checks == {"input_drift": False, "score_drift": True}
    assert [test.name for test in found.alarms("input")] == ["input text"]


def test_worse_answers_raise_the_score_alarm(bench: Bench) -> None:
    requests = serve(bench, answer="csv")
    tables = Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK)
    for request in requests:
        given = Feedback(request, correction="json")
        give_feedback(bench.use_case, bench.store, tables, given)
    found, checks = evaluate(bench)
    assert checks == {"input_drift": True, "score_drift": False}
    assert found.metrics["exact_match"].mean == 0.0


def test_the_judge_scores_the_sample_and_is_paid_once(
    emulator: RunningEmulator, bench: Bench
) -> None:
    evaluation = bench.use_case.evaluation.model_validate({"judge": JUDGE})
    monitoring = {"log_texts": True, "monitoring": {"sample_rows": 10}}
    bench.use_case = bench.use_case.model_copy(
        update={"evaluation": evaluation, "serving": Serving.model_validate(monitoring)}
    )
    serve(bench, 12)
    before = judged(emulator)
    found, _ = evaluate(bench)
    assert judged(emulator) - before == 10
    assert found.metrics["helpful"].rows == 10
    [ledger] = [one.name for one in bench.store.list(f"{bench.name}/budget/")]
    [entry] = present(bench.store.read_json(ledger))["entries"]
    assert entry["work"].startswith("judging/online/")
    assert entry["spent_tokens"] > 0
    assert entry["reserved_usd"] == 0
    evaluate(bench)
    assert judged(emulator) - before == 10


def judged(emulator: RunningEmulator) -> int:
    return int(emulator.stats()["requests"]["vertex"].get("evaluateInstances", 0))


def test_a_day_without_requests_or_texts_is_no_alarm(bench: Bench) -> None:
    found, checks = evaluate(bench)
    assert (found.requests, found.sampled) == (0, 0)
    assert checks == {"input_drift": True, "score_drift": True}
    serve(bench, 40, variables=None, answer=None)
    found, _ = evaluate(bench)
    assert (found.requests, found.sampled) == (40, 0)


def test_freshness_is_watched(bench: Bench) -> None:
    serving = Serving.model_validate({"monitoring": {"freshness_hours": {"champion": 48}}})
    definitions = dg.Definitions.merge(
        build_use_case(bench.use_case.model_copy(update={"serving": serving})),
        dg.Definitions(resources=build_resources()),
    )
    specs = {"/".join(s.key.path[1:]): s for s in definitions.resolve_all_asset_specs()}
    policy = specs["champion"].freshness_policy
    assert isinstance(policy, TimeWindowFreshnessPolicy)
    assert policy.fail_window.to_timedelta() == dt.timedelta(hours=48)
    assert specs["online_evaluation"].freshness_policy is None
