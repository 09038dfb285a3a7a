"""The router over the emulator: who answers, and that nothing ungated ever does."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.promotion.champion import ChampionError
from genaiops_dagster.promotion.rollback import rollback
from genaiops_dagster.promotion.rollout import advance, withdraw
from genaiops_dagster.records.chain import BrokenLogError
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.serving import NoChampionError, Router
from genaiops_dagster.serving.answering.requests import RequestLog
from genaiops_dagster.use_case.budget import ModelPrice
from genaiops_dagster.use_case.serving import RolloutPolicy, Serving
from tests.comparison.examples import make_rows
from tests.integration.promotion_bench import Bench
from tests.integration.serving import asked
from tests.values import present
from vertex_emulator.testing import RunningEmulator, faults

BETTER = make_rows(0.97, seed=3)
NO_STORE = {"kind": "error", "service": "storage", "status": 403, "message": "No."}
STAGES = RolloutPolicy.model_validate(
    {"stages": [{"share": 0, "mirrored": 0.5}, {"share": 0.25}, {"share": 1}]}
)


@pytest.fixture
def routers() -> Iterator[list[Router]]:
    made: list[Router] = []
    yield made
    for router in made:
        router.close()


@pytest.fixture
def open_router(bench: Bench, routers: list[Router]) -> Callable[..., Router]:
    def open_router(**options: Any) -> Router:
        options = {"refresh_seconds": 3600.0, **options}
        routers.append(Router(bench.use_case, bench.store, bench.vertex_ai, **options))
        return routers[-1]

    return open_router


def begin_rollout(bench: Bench) -> None:
    """Champion 1 serves, and a better model is at the first stage."""
    bench.promote()
    bench.use_case = bench.use_case.model_copy(update={"serving": Serving(rollout=STAGES)})
    bench.retune(BETTER, bench.models[1])
    bench.evaluate_champion(make_rows(0.9, seed=3))
    bench.promote()


def arms(router: Router, count: int = 400) -> dict[str, int]:
    routes = [router.route(f"user {n}") for n in range(count)]
    return {
        "candidate": sum(route.arm == "candidate" for route in routes),
        "mirrored": sum(route.mirror is not None for route in routes),
    }


def test_without_a_rollout_everybody_gets_the_champion(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    bench.promote()
    route = open_router().route("ann")
    assert (route.served, route.arm, route.mirror) == (bench.champion, "champion", None)


def test_a_use_case_without_a_champion_says_so(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    with pytest.raises(NoChampionError, match="has no champion yet"):
        open_router().route("ann")


def test_the_router_answers_within_a_millisecond_from_its_cache(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    begin_rollout(bench)
    router = open_router()
    router.route("ann")
    started = time.process_time()
    for n in range(10_000):
        router.route(f"user {n}")
    assert (time.process_time() - started) / 10_000 < 0.001


def test_a_rollout_gives_more_and_more_users_to_the_candidate(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    begin_rollout(bench)
    router, old = open_router(), bench.champion
    assert old.number == 1
    shadow = arms(router)
    assert shadow["candidate"] == 0
    assert 150 < shadow["mirrored"] < 250

    advance(bench.books, bench.rollout, STAGES, reason="good figures")
    router.refresh()
    first = {n for n in range(400) if router.route(f"user {n}").arm == "candidate"}
    assert 60 < len(first) < 140
    assert first == {n for n in range(400) if router.route(f"user {n}").arm == "candidate"}

    advance(bench.books, bench.rollout, STAGES, reason="good figures")
    router.refresh()
    assert arms(router)["candidate"] == 400
    assert bench.champion.number == 1

    champion = advance(bench.books, bench.rollout, STAGES, reason="good figures")
    router.refresh()
    assert (champion.number, champion.rollout) == (2, None)
    assert router.route("ann").served == champion == bench.champion
    assert bench.aliases(bench.models[1].model) >= {"champion"}
    assert [entry.kind for entry in bench.log.read()][3:] == [
        "decision",
        *["rollout", "completion"] * 3,
        *["promotion", "completion"],
    ]


def test_a_withdrawn_candidate_serves_nobody_and_is_not_promoted_again(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    begin_rollout(bench)
    rollout = bench.rollout
    withdraw(bench.books, rollout, reason="too slow")
    router = open_router()
    assert arms(router) == {"candidate": 0, "mirrored": 0}
    assert bench.decide().verdict.outcome == "REJECT"
    assert "too slow" in str(bench.decide().verdict.reasons)
    with pytest.raises(ChampionError, match="no longer at stage shadow"):
        advance(bench.books, rollout, STAGES, reason="late")


def test_a_rollback_during_a_rollout_ends_the_rollout(bench: Bench) -> None:
    begin_rollout(bench)
    champion = rollback(bench.books, lambda _: None, by="ann", reason="complaints")
    assert (champion.number, champion.rollout) == (1, None)
    assert bench.champion == champion


def test_a_killed_step_is_carried_through_by_the_next_one(
    bench: Bench, open_router: Callable[..., Router], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_rollout(bench)
    router = open_router()
    router.route("ann")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("genaiops_dagster.promotion.champion._move_pointer", killed)
        with pytest.raises(KeyboardInterrupt):
            advance(bench.books, bench.rollout, STAGES, reason="good figures")
    assert bench.rollout.stage == "shadow"
    router.refresh()  # what it was before is still good while the change is under way
    advance(bench.books, _settled(bench), STAGES, reason="good figures")
    assert bench.rollout.stage == "100 %"


def _settled(bench: Bench) -> Any:
    from genaiops_dagster.promotion.champion import settle

    return present(settle(bench.books)[1]).rollout


def tamper(bench: Bench, **changes: Any) -> None:
    content = present(bench.store.read_json(f"{bench.name}/champion.json"))
    body = json.dumps({**content, **changes}).encode()
    bench.store.write(f"{bench.name}/champion.json", body)


def test_a_pointer_changed_by_hand_is_not_served(
    bench: Bench, open_router: Callable[..., Router], tmp_path: Path
) -> None:
    bench.promote()
    router, champion = open_router(folder=tmp_path), bench.champion
    assert router.route("ann").served == champion
    tamper(bench, model="projects/p/locations/l/endpoints/666")
    with pytest.raises(ChampionError, match="not what the decision log says"):
        router.refresh()
    assert router.route("ann").served == champion
    fresh = open_router()
    with pytest.raises(NoChampionError, match="not what the decision log says"):
        fresh.route("ann")


def test_a_split_changed_by_hand_is_not_served(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    begin_rollout(bench)
    router = open_router()
    router.route("ann")
    rollout = bench.rollout.model_dump(mode="json")
    tamper(bench, rollout={**rollout, "share": 1.0})
    with pytest.raises(ChampionError, match="not what the decision log says"):
        router.refresh()
    assert arms(router)["candidate"] == 0


def test_a_promotion_that_the_gate_never_decided_is_not_served(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    """Somebody who can write to the bucket makes a whole entry, with pointer and chain right."""
    bench.promote()
    router, champion = open_router(), bench.champion
    router.route("ann")
    forged = champion.model_copy(update={"number": 2, "model": "evil", "decision_id": "f" * 64})
    entry = bench.log.append(bench.log.read(), "promotion", champion=forged)
    bench.log.append(bench.log.read(), "completion", completes=forged.number)
    bench.store.write(f"{bench.name}/champion.json", forged.model_dump_json().encode())
    assert entry.number
    with pytest.raises(ChampionError, match="never let pass by the gate"):
        router.refresh()
    assert router.route("ann").served == champion


def test_a_log_changed_by_hand_serves_nothing_new(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    bench.promote()
    name = f"{bench.name}/decisions/00000001.json"
    content = present(bench.store.read_json(name))
    bench.store.write(name, json.dumps({**content, "reason": "x"}).encode())
    with pytest.raises(BrokenLogError):
        open_router().refresh()


def test_without_a_store_the_last_known_champion_serves(
    emulator: RunningEmulator, bench: Bench, open_router: Callable[..., Router], tmp_path: Path
) -> None:
    begin_rollout(bench)
    advance(bench.books, bench.rollout, STAGES, reason="good figures")
    router, champion = open_router(folder=tmp_path), bench.champion
    assert arms(router)["candidate"] > 0
    with faults(emulator, NO_STORE):
        assert router.route("ann").served is not None
        again = open_router(folder=tmp_path, start_seconds=5.0)
        routes = [again.route(f"user {n}") for n in range(100)]
    assert {route.served.number for route in routes} == {champion.number}
    assert {route.arm for route in routes} == {"champion"}  # a withdrawal could not be noticed

    kept = next(tmp_path.glob("*.champion.json"))
    kept.write_text(kept.read_text().replace(champion.model, "evil"))
    with faults(emulator, NO_STORE), pytest.raises(NoChampionError):
        open_router(folder=tmp_path).route("ann")


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_kept_champion_that_others_may_write_is_not_believed(
    emulator: RunningEmulator,
    bench: Bench,
    open_router: Callable[..., Router],
    tmp_path: Path,
    mode: int,
) -> None:
    bench.promote()
    open_router(folder=tmp_path).route("ann")
    kept = next(tmp_path.glob("*.champion.json"))
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.chmod(mode)
    with faults(emulator, NO_STORE), pytest.raises(NoChampionError):
        open_router(folder=tmp_path, start_seconds=2.0).route("ann")


def test_a_kept_champion_of_another_use_case_is_not_believed(
    emulator: RunningEmulator, bench: Bench, open_router: Callable[..., Router], tmp_path: Path
) -> None:
    bench.promote()
    open_router(folder=tmp_path).route("ann")
    kept = next(tmp_path.glob("*.champion.json"))
    bench.use_case = bench.use_case.model_copy(update={"name": "another"})
    kept.rename(tmp_path / "another.champion.json")
    with faults(emulator, NO_STORE), pytest.raises(NoChampionError):
        open_router(folder=tmp_path, start_seconds=2.0).route("ann")


def test_a_kept_champion_does_not_stand_in_for_one_that_was_refused(
    bench: Bench, open_router: Callable[..., Router], tmp_path: Path
) -> None:
    """The bucket answers, and what it says is refused: then nobody serves a new process."""
    champion = bench.promote()
    open_router(folder=tmp_path).route("ann")
    forged = champion.model_copy(update={"model": "evil"})
    bench.store.write(f"{bench.name}/champion.json", forged.model_dump_json().encode())
    with pytest.raises(NoChampionError):
        open_router(folder=tmp_path).route("ann")


def test_a_deleted_pointer_changes_nothing_for_who_knew_it(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    bench.promote()
    router, champion = open_router(refresh_seconds=0.05), bench.champion
    router.route("ann")
    bench.store.delete(f"{bench.name}/champion.json")
    time.sleep(0.3)
    assert router.route("ann").served == champion


def test_a_promotion_arrives_by_itself(bench: Bench, open_router: Callable[..., Router]) -> None:
    bench.promote()
    router = open_router(refresh_seconds=0.05)
    assert router.route("ann").served.number == 1
    bench.retune(BETTER, bench.models[1])
    bench.evaluate_champion(make_rows(0.9, seed=3))
    bench.promote()
    deadline = time.monotonic() + 30
    while router.route("ann").served.number != 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_requests_are_recorded_without_their_texts(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    begin_rollout(bench)
    log = RequestLog(Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK))
    router = open_router(requests=log)
    responses = [
        router.generate({"question": f"question {n} of me@corp.io"}, user=f"user {n}")
        for n in range(12)
    ]
    router.close()
    rows = {row["request_id"]: row for row in bench.rows("requests")}
    assert {row["arm"] for row in rows.values()} == {"champion", "mirror"}
    for response in responses:
        row = rows[response.request_id]
        assert row["model"] == bench.champion.model
        assert row["decision"] == bench.champion.decision_id
        assert row["state"] == response.answer.state == "answered"
        assert row["input_tokens"] == response.answer.input_tokens > 0
        assert row["cost_usd"] > 0
        assert row["latency_seconds"] > 0
        assert row["variables"] is row["answer"] is None
    assert "corp.io" not in json.dumps(list(rows.values()), default=str)


def test_texts_are_kept_on_request_and_redacted(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    bench.promote()
    bench.use_case = bench.use_case.model_copy(update={"serving": Serving(log_texts=True)})
    router = open_router(
        requests=RequestLog(Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK))
    )
    response = router.generate({"question": "is me@corp.io right?"}, user="ann")
    router.close()
    [row] = bench.rows("requests")
    assert json.loads(row["variables"]) == {"question": "is [E-MAIL ADDRESS] right?"}
    assert row["answer"] == response.answer.text


def guarded(bench: Bench, **rules: Any) -> None:
    """Give the use case rules, and a log of texts."""
    serving = Serving.model_validate({"guardrails": rules, "log_texts": True})
    bench.use_case = bench.use_case.model_copy(update={"serving": serving})


def test_the_rules_of_the_input_hold_for_applications(
    emulator: RunningEmulator, bench: Bench, open_router: Callable[..., Router]
) -> None:
    bench.promote()
    guarded(bench, input={"personal_data": "redact", "blocked_topics": {"weapons": ["gunpowder"]}})
    router = open_router(
        requests=RequestLog(Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK))
    )
    router.route("ann")
    before = asked(emulator)
    refused = router.generate({"question": "How is gun\u200bpowder made?"}, user="ann")
    assert asked(emulator) == before
    assert (refused.status, refused.answer.text) == ("refused", None)
    assert present(refused.answer.reason).startswith("guardrails.input.blocked_topics.weapons")
    answered = router.generate({"question": "json or csv? me@corp.io asks"}, user="ann")
    assert asked(emulator) == before + 1
    assert answered.status == "answered"
    assert [finding.rule for finding in answered.findings] == ["personal_data"]
    router.close()
    found = {row["request_id"]: row for row in bench.rows("requests")}
    row = found[refused.request_id]
    assert (row["state"], row["reason"]) == ("refused", refused.answer.reason)
    assert (row["cost_usd"], row["input_tokens"], row["model_version"]) == (0, 0, None)
    [decided] = json.loads(found[answered.request_id]["guardrails"])
    assert decided["action"] == "redacted"
    assert "corp.io" not in json.dumps(list(found.values()), default=str)


def test_the_rules_of_the_output_hold_for_applications(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    bench.promote()
    plain = open_router().generate({"question": "question 1"}, user="ann")
    word = present(plain.answer.text).strip()
    guarded(bench, output={"forbidden_patterns": [word]})
    router = open_router(
        requests=RequestLog(Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK))
    )
    blocked = router.generate({"question": "question 1"}, user="ann")
    router.close()
    assert (blocked.status, blocked.answer.text) == ("blocked", None)
    assert present(blocked.answer.reason).startswith("guardrails.output.forbidden_patterns.0")
    assert blocked.answer.output_tokens == plain.answer.output_tokens > 0
    [row] = bench.rows("requests")
    assert (row["state"], row["answer"]) == ("blocked", None)
    assert row["cost_usd"] > 0, "it was paid all the same"


def test_the_service_is_told_what_to_block(
    emulator: RunningEmulator, bench: Bench, open_router: Callable[..., Router]
) -> None:
    bench.promote()
    question = {"question": "json or csv? I am not stupid"}
    assert open_router().generate(question, user="ann").status == "answered"
    guarded(bench, safety={"harassment": "block_low_and_above"})
    response = open_router().generate(question, user="ann")
    assert (response.status, response.answer.reason) == ("blocked", "HARM_CATEGORY_HARASSMENT")


def test_requests_are_priced_as_the_use_case_says(
    bench: Bench, open_router: Callable[..., Router]
) -> None:
    bench.promote()
    prices = {bench.champion.base_model: ModelPrice(input=1e6, output=0, tuned_factor=2)}
    budget = bench.use_case.budget.model_copy(update={"prices": prices})
    bench.use_case = bench.use_case.model_copy(update={"budget": budget})
    router = open_router(
        requests=RequestLog(Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK))
    )
    answer = router.generate({"question": "json or csv?"}, user="ann").answer
    router.close()
    [row] = bench.rows("requests")
    assert row["cost_usd"] == pytest.approx(2 * answer.input_tokens)


def test_a_failing_candidate_is_recorded_and_the_user_is_answered(
    emulator: RunningEmulator, bench: Bench, open_router: Callable[..., Router]
) -> None:
    begin_rollout(bench)
    for _ in range(2):
        advance(bench.books, bench.rollout, STAGES, reason="good figures")
    router = open_router(
        requests=RequestLog(Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK)), attempts=1
    )
    endpoint = bench.models[1].endpoint.rsplit("/", 1)[-1]
    broken = {"kind": "error", "model": f"*{endpoint}", "method": "*enerateContent", "status": 503}
    with faults(emulator, broken):
        response = router.generate({"question": "json or csv?"}, user="ann")
    router.close()
    assert (response.arm, response.answer.state) == ("champion", "answered")
    found = {row["arm"]: (row["state"], row["reason"]) for row in bench.rows("requests")}
    assert found == {"candidate": ("failed", "ServerError 503"), "champion": ("answered", None)}


def test_nothing_is_lost_when_bigquery_is_away_at_the_end(
    emulator: RunningEmulator, bench: Bench, open_router: Callable[..., Router], tmp_path: Path
) -> None:
    bench.promote()
    away = {"kind": "error", "service": "bigquery", "status": 403}
    warehouse = Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK)
    with faults(emulator, away):
        router = open_router(requests=RequestLog(warehouse, folder=tmp_path))
        first = router.generate({"question": "json or csv?"}, user="ann")
        router.close()
    assert len(list(tmp_path.glob("*.requests.jsonl"))) == 1
    router = open_router(requests=RequestLog(warehouse, folder=tmp_path))
    second = router.generate({"question": "json or csv?"}, user="bob")
    router.close()
    found = {row["request_id"] for row in bench.rows("requests")}
    assert found == {first.request_id, second.request_id}
    assert not list(tmp_path.glob("*.requests.jsonl"))


_APPLICATION = """
import sys
from genaiops_dagster.serving import Router
router = Router.connect(sys.argv[1])
for n in range(20):
    router.generate({"question": f"question {n}"}, user=f"user {n}")
assert "dagster" not in sys.modules, "an application needs no Dagster"
"""


def test_an_application_that_just_ends_loses_no_request(bench: Bench, tmp_path: Path) -> None:
    bench.promote()
    content = yaml.safe_dump(bench.use_case.model_dump(mode="json"))
    (tmp_path / "bench.yaml").write_text(content)
    environment = {**os.environ, "GENAIOPS_USE_CASES": str(tmp_path)}
    subprocess.run([sys.executable, "-c", _APPLICATION, bench.name], check=True, env=environment)
    assert len(bench.rows("requests")) == 20


def test_it_needs_only_a_bucket(bench: Bench) -> None:
    """An application that asks the model by other means needs neither Vertex AI nor BigQuery."""
    bench.promote()
    with Router(bench.use_case, ObjectStore(bench.store._client, bench.store.bucket)) as router:
        assert router.route("ann").served == bench.champion
        with pytest.raises(NoChampionError, match="no clients of Vertex AI"):
            router.generate({"question": "?"}, user="ann")
