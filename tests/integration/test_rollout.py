"""A rollout over the emulator: from nobody to everybody, and back when something goes wrong."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.orchestration.assembly import build_use_case
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.promotion.rollback import rollback
from genaiops_dagster.promotion.smoke_test import SmokeTestError, smoke_test
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.record import from_row
from genaiops_dagster.serving import Router
from genaiops_dagster.serving.answering.requests import RequestLog
from genaiops_dagster.serving.watching.feedback import Feedback, give_feedback
from genaiops_dagster.serving.watching.rollout import RolloutLook
from genaiops_dagster.use_case.serving import Serving
from tests.comparison.examples import make_rows
from tests.integration.promotion_bench import Bench
from vertex_emulator.testing import RunningEmulator, faults

POLICY: dict[str, Any] = {
    "stages": [
        {"share": 0, "mirrored": 1.0},
        {"share": 0.25},
        {"share": 1},
    ],
    "minimum_requests": 8,
    "dwell_minutes": 0,
    "silence_minutes": 60,
    "limits": {"error_rate": 0.1, "latency_p95_seconds": 1.0},
}


def begin(bench: Bench, **changes: Any) -> None:
    """Champion 1 serves, and a better model begins its rollout."""
    bench.promote()
    serving = Serving.model_validate({"rollout": {**POLICY, **changes}})
    bench.use_case = bench.use_case.model_copy(update={"serving": serving})
    bench.retune(make_rows(0.97, seed=3), bench.models[1])
    bench.evaluate_champion(make_rows(0.9, seed=3))
    assert bench.promote().rollout


def users(bench: Bench, count: int = 32) -> tuple[Counter[str], list[str]]:
    """Users ask; who answered them, and the ids of the requests of the candidate."""
    log = RequestLog(Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK))
    with Router(bench.use_case, bench.store, bench.vertex_ai, log, attempts=1) as router:
        found = [router.generate({"question": f"q {n}"}, user=f"user {n}") for n in range(count)]
    tried = [one.request_id for one in found if one.arm == "candidate"]
    assert all(one.answer.state == "answered" for one in found)
    return Counter(one.served.model for one in found), tried


def look(bench: Bench) -> RolloutLook:
    """Materialize `rollout`, as its schedule does."""
    definitions = dg.Definitions.merge(
        build_use_case(bench.use_case), dg.Definitions(resources=build_resources())
    )
    schedule = definitions.resolve_schedule_def(f"{bench.name}_rollout")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    job = definitions.resolve_job_def(f"{bench.name}_rollout_look")
    result = job.execute_in_process(raise_on_error=False)
    assert result.success, [event.event_specific_data for event in result.all_node_events]
    found = from_row(RolloutLook, bench.get("rollout"))
    [check] = result.get_asset_check_evaluations()
    assert check.passed == (found.action != "withdraw")
    return found


def slow(bench: Bench, **fault: Any) -> dict[str, Any]:
    endpoint = bench.models[1].endpoint.rsplit("/", 1)[-1]
    return {"service": "vertex", "method": "generateContent", "model": f"*{endpoint}", **fault}


def test_a_rollout_from_nobody_to_everybody(bench: Bench) -> None:
    begin(bench)
    old, new = bench.models[0].endpoint, bench.models[1].endpoint
    assert users(bench)[0] == {old: 32}
    assert look(bench).stage_after == "25 %"
    some, _ = users(bench, 128)  # each at random: of 32 half might be the candidate's
    assert 0 < some[new] < some[old]
    for _ in range(5):
        if bench.rollout.stage == "25 %":
            users(bench)
            look(bench)
    assert bench.rollout.stage == "100 %"
    assert users(bench)[0] == {new: 32}
    done = look(bench)
    assert (done.action, done.champion, done.stage_after) == ("advance", 2, None)
    assert users(bench)[0] == {new: 32}
    assert bench.champion.rollout is None
    assert bench.get("champion")["number"] == 2
    assert "champion" in bench.aliases(bench.models[1].model)
    assert look(bench).reasons == ["no rollout is under way"]
    kinds = [row["kind"] for row in bench.rows("promotions")]
    assert Counter(kinds) == {
        "decision": 2, "rollout": 3, "promotion": 2, "completion": 5
    }  # fmt: skip
    looks = [row["action"] for row in bench.rows("rollouts")]
    assert looks.count("advance") == 3
    passed = {entry.decision.id for entry in bench.log.read() if entry.decision}
    assert {row["decision"] for row in bench.rows("requests")} == passed


def test_when_a_base_goes_after_its_successor_serves_no_request_is_unanswered(
    emulator: RunningEmulator, bench: Bench
) -> None:
    bench.promote()
    old, new = bench.models[0].endpoint, bench.models[1].endpoint
    assert users(bench)[0] == {old: 32}
    bench.retune(make_rows(0.97, seed=3), bench.models[1])
    bench.evaluate_champion(make_rows(0.9, seed=3))
    assert users(bench)[0] == {old: 32}, "while the successor is made and evaluated"
    bench.promote()
    gone = {"kind": "error", "service": "vertex", "status": 404}
    with faults(emulator, {**gone, "model": f"*{old.rsplit('/', 1)[-1]}"}):
        assert users(bench)[0] == {new: 32}
        smoke = functools.partial(smoke_test, bench.vertex_ai, [], SYSTEM_CLOCK)
        with pytest.raises(SmokeTestError, match="cannot be called"):
            rollback(bench.books, smoke, by="ann", reason="a drill")
        assert users(bench)[0] == {new: 32}, "a rollback to what is gone changes nothing"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "error", "status": 503}, "failed; at most 10.00% may be"),
        ({"kind": "latency", "seconds": 1.2}, "slower than 1 s"),
    ],
)
def test_errors_and_latency_end_a_rollout(
    emulator: RunningEmulator, bench: Bench, fault: dict[str, Any], reason: str
) -> None:
    begin(bench)
    users(bench)
    look(bench)
    old, new = bench.models[0].endpoint, bench.models[1].endpoint
    with faults(emulator, slow(bench, **fault)):
        users(bench, 64)
        ended = look(bench)
    assert (ended.action, ended.champion, ended.stage_after) == ("withdraw", 1, None)
    assert reason in ended.reasons[0]
    assert users(bench)[0] == {old: 32}
    assert (bench.champion.number, bench.champion.rollout) == (1, None)
    assert bench.decide().verdict.outcome == "REJECT"
    [row] = [row for row in bench.rows("promotions") if row["kind"] == "withdrawal"]
    assert reason in row["reason"]
    assert row["model"] == new


def test_blocked_answers_end_a_rollout(emulator: RunningEmulator, bench: Bench) -> None:
    begin(bench)
    blocked = slow(bench, kind="block", where="answer", category="HARM_CATEGORY_HARASSMENT")
    with faults(emulator, blocked):
        users(bench)  # mirrored: no user sees it
        ended = look(bench)
    assert (ended.action, ended.champion) == ("withdraw", 1)
    assert "blocked" in ended.reasons[0]


def test_bad_ratings_end_a_rollout(bench: Bench) -> None:
    quality = {"metric": "rating", "no_worse_by": 0.2, "minimum_rows": 5}
    begin(bench, stages=[{"share": 0.5}], limits={"quality": quality})
    tables = Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK)
    _, tried = users(bench, 40)
    waiting = look(bench)
    assert (waiting.action, "have a rating" in waiting.reasons[0]) == ("wait", True)
    rows = bench.rows("requests")
    for row in rows:
        good = row["request_id"] not in tried
        given = Feedback(row["request_id"], rating=0.9 if good else 0.1)
        give_feedback(bench.use_case, bench.store, tables, given)
    ended = look(bench)
    assert (ended.action, "rating is 0.1" in ended.reasons[0]) == ("withdraw", True)


def test_a_rollout_without_data_ends_and_may_begin_again(bench: Bench) -> None:
    begin(bench, silence_minutes=0.001)
    ended = look(bench)
    assert ended.action == "withdraw"
    assert "no request of the candidate was recorded" in ended.reasons[0]
    assert (bench.champion.number, bench.champion.rollout) == (1, None)
    assert bench.promote().rollout  # that nobody asked is not the candidate's fault


def test_nothing_changes_while_a_stage_lasts(bench: Bench) -> None:
    begin(bench, dwell_minutes=30)
    users(bench)
    assert look(bench).action == "wait"
    assert bench.rollout.stage == "shadow"
    assert bench.materialize("champion").success  # the same candidate again
    assert bench.rollout.stage == "shadow"


def test_another_candidate_waits_for_the_end_of_the_rollout(bench: Bench) -> None:
    begin(bench)
    bench.retune(make_rows(0.99, seed=4), bench.models[0].model_copy(update={"endpoint": "e/3"}))
    bench.decide()
    assert "is being rolled out (stage shadow)" in bench.refusal()


def test_the_first_champion_serves_at_once(bench: Bench) -> None:
    serving = Serving.model_validate({"rollout": POLICY})
    bench.use_case = bench.use_case.model_copy(update={"serving": serving})
    assert bench.promote().rollout is None
    assert users(bench)[0] == {bench.models[0].endpoint: 32}


def test_without_a_policy_there_is_no_rollout_asset(bench: Bench) -> None:
    definitions = dg.Definitions.merge(
        build_use_case(bench.use_case), dg.Definitions(resources=build_resources())
    )
    names = {spec.key.path[-1] for spec in definitions.resolve_all_asset_specs()}
    assert "requests" in names
    assert "rollout" not in names
