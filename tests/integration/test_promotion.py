"""Promotion over real assets, storage and registry: what passes, and every way around the gate."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.auth.transport.requests import AuthorizedSession

from genaiops_dagster.data.inbox import Cursor
from genaiops_dagster.data.sensor import look
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.promotion import champion as champion_module
from genaiops_dagster.promotion.approve import ApprovalError, approve
from genaiops_dagster.promotion.champion import ChampionBooks, ChampionError, gated_champion, settle
from genaiops_dagster.promotion.jobs import build_jobs
from genaiops_dagster.promotion.log import require_published
from genaiops_dagster.promotion.promote import Promotion, promote
from genaiops_dagster.promotion.prune import delete_model, stale_models
from genaiops_dagster.promotion.rollback import RollbackError, rollback
from genaiops_dagster.promotion.smoke_test import SmokeTestError, smoke_test
from genaiops_dagster.promotion.tables import PROMOTIONS, promotion_row
from genaiops_dagster.records.chain import BrokenLogError
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.record import to_json
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.serving import NoChampionError, Router
from genaiops_dagster.use_case import GenerationConfig
from tests.comparison.examples import make_rows, make_use_case
from tests.integration.evaluation import faults as faults
from tests.integration.promotion_bench import BETTER_THAN_FLASH, Bench, label, tune
from tests.values import present
from vertex_emulator.testing import RunningEmulator

WORSE = make_rows(0.2, seed=5)
BETTER = make_rows(0.97, seed=3)


def test_a_better_challenger_becomes_champion(bench: Bench) -> None:
    result = bench.materialize()

    assert result.success
    champion = bench.champion
    assert (champion.number, champion.candidate) == (1, "tuned")
    assert champion.model == bench.tuned.endpoint
    assert "champion" in bench.aliases(bench.tuned.model)
    assert [entry.kind for entry in bench.log.read()] == ["decision", "promotion", "completion"]


def test_a_refused_challenger_is_recorded_and_nothing_serves(bench: Bench) -> None:
    bench.evaluate("tuned", WORSE)

    result = bench.materialize()

    assert not result.success
    [check] = [c for c in result.get_asset_check_evaluations() if c.check_name == "gate"]
    assert not check.passed
    assert "tuned minus flash" in present(check.description)
    assert not bench.store.exists(f"{bench.name}/champion.json")
    assert [entry.kind for entry in bench.log.read()] == ["decision"]


def test_champion_alone_after_a_refusal_is_refused(bench: Bench) -> None:
    bench.evaluate("tuned", WORSE)
    bench.decide()

    assert "not promoted: REJECT" in bench.refusal()
    assert not bench.store.exists(f"{bench.name}/champion.json")


def test_a_report_made_again_after_the_decision_is_noticed(bench: Bench) -> None:
    bench.decide()
    bench.evaluate("tuned", make_rows(0.9, seed=4))

    assert "change of: comparison" in bench.refusal()


def test_rows_changed_after_the_decision_are_noticed(bench: Bench) -> None:
    bench.decide()
    report = bench.get("evaluation_report/tuned")
    other = bench.evaluate("pro", make_rows(0.6, seed=2))
    name = bench.store.name_of(report["rows_uri"])
    bench.store.write(name, present(bench.store.read(bench.store.name_of(other.rows_uri))))

    assert "of tuned, or its rows, are not what was measured" in bench.refusal()


def test_a_policy_edited_after_the_decision_is_noticed(bench: Bench) -> None:
    bench.evaluate("tuned", WORSE)
    bench.decide()
    rules = [{"rule": "threshold", "metric": "exact_match", "at_least": 0.0}]
    laxer = make_use_case(rules, name=bench.name)

    assert "change of: policy" in bench.refusal(use_case=laxer)


@pytest.mark.parametrize("asset", ["evaluation_set", "prompt", "tuned_model"])
def test_what_changed_after_the_decision_is_noticed(bench: Bench, asset: str) -> None:
    bench.decide()
    if asset == "evaluation_set":
        bench.put_data("newer data")
    else:
        record = bench.get(asset) | (
            {"digest": "newer"} if asset == "prompt" else {"endpoint": "projects/p/endpoints/2"}
        )
        bench.store.write(f"{bench.name}/assets/{asset}.json", json.dumps(record).encode())

    noun = {"evaluation_set": "evaluation set", "prompt": "prompt", "tuned_model": "model"}[asset]
    assert f"change of: {noun}" in bench.refusal()


def test_a_pointer_written_by_hand_is_noticed(bench: Bench) -> None:
    bench.promote()
    edited = bench.champion.model_copy(update={"model": bench.models[1].endpoint})
    bench.store.write(f"{bench.name}/champion.json", edited.model_dump_json().encode())
    bench.retune(BETTER, bench.models[1])
    decision = bench.decide()

    assert decision.verdict.outcome == "INSUFFICIENT"
    assert "changed it outside the gate" in " ".join(decision.verdict.reasons)
    assert f"names {bench.models[1].endpoint} as champion 1" in bench.refusal()


def test_a_pointer_put_there_before_any_promotion_is_noticed(bench: Bench) -> None:
    other = Bench(bench.models)
    other.promote()
    bench.store.write(f"{bench.name}/champion.json", other.champion.model_dump_json().encode())

    assert bench.decide().verdict.outcome == "INSUFFICIENT"
    assert "the decision log knows of no promotion" in bench.refusal()


def test_an_alias_taken_away_behind_our_back_is_noticed(bench: Bench) -> None:
    bench.promote()
    bench.books.registry.remove_alias(bench.tuned.model)
    bench.retune(BETTER, bench.models[1])
    bench.decide()

    assert "the alias 'champion' is no longer on it" in bench.refusal()
    # Other tests share the model: give it back.
    bench.books.registry.add_alias(bench.models[0].model)


def test_the_decision_record_of_another_use_case_is_no_decision(bench: Bench) -> None:
    bench.evaluate("tuned", WORSE)
    bench.decide()
    other = Bench(bench.models)
    bench.put("promotion_decision", other.decide())

    assert "is not in the decision log" in bench.refusal()


def test_a_decision_record_edited_to_promote_is_noticed(bench: Bench) -> None:
    bench.evaluate("tuned", WORSE)
    decision = bench.decide()
    verdict = decision.verdict.model_copy(update={"outcome": "PROMOTE"})
    bench.put("promotion_decision", decision.model_copy(update={"verdict": verdict}))

    assert "is not in the decision log" in bench.refusal()


def test_an_older_decision_to_promote_is_noticed(bench: Bench) -> None:
    older = bench.decide()
    bench.evaluate("tuned", WORSE)
    bench.decide()
    bench.put("promotion_decision", older)

    assert "newest decision" in bench.refusal()


def test_a_passing_check_of_another_candidate_promotes_nobody(bench: Bench) -> None:
    rules = [BETTER_THAN_FLASH]
    other = make_use_case(rules, name=bench.name, challenger="pro")
    bench.evaluate("tuned", WORSE)
    mine, bench.use_case = bench.use_case, other
    assert bench.decide().verdict.outcome == "PROMOTE"
    bench.use_case = mine

    assert "change of: challenger" in bench.refusal()


def test_a_log_entry_changed_by_hand_is_noticed(bench: Bench) -> None:
    bench.evaluate("tuned", WORSE)
    decision = bench.decide()
    name = bench.store.name_of(bench.log.uri(1))
    entry = present(bench.store.read_json(name))
    entry["decision"]["verdict"]["outcome"] = "PROMOTE"
    bench.store.write(name, json.dumps(entry).encode())
    verdict = decision.verdict.model_copy(update={"outcome": "PROMOTE"})
    bench.put("promotion_decision", decision.model_copy(update={"verdict": verdict}))

    assert "the entry was changed after it was written" in bench.refusal()


def test_a_run_from_the_sensor_is_refused_like_any_other(bench: Bench) -> None:
    bench.evaluate("tuned", WORSE)
    bench.decide()
    bench.store.write(f"{bench.use_case.inbox}new.jsonl", b'{"id": "1"}\n')
    an_hour_later = dt.datetime.now(dt.UTC).timestamp() + 3600
    found = look(bench.use_case, bench.store, Cursor(), an_hour_later)
    [request] = present(found.run_requests)
    tags = {**request.tags, "dagster/sensor_name": f"{bench.name}_inbox"}

    assert "not promoted: REJECT" in bench.refusal(tags=tags)


def with_waiver(expires: dt.date) -> dict[str, object]:
    waiver = {
        "rule": "exact_match better than flash",
        "owner": "ann",
        "reason": "flash is retired next week",
        "expires": expires,
    }
    return {"rules": [BETTER_THAN_FLASH], "waivers": [waiver]}


def test_a_waived_rule_is_shown_and_an_expired_waiver_counts_for_nothing(
    models: list[TunedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    today = dt.datetime.now(dt.UTC).date()
    bench = Bench(models, **with_waiver(today))
    bench.evaluate("tuned", WORSE)
    decision = bench.decide()
    assert decision.verdict.outcome == "PROMOTE"
    [waived] = [rule for rule in decision.verdict.rules if rule.outcome == "WAIVED"]
    assert "waived by ann" in waived.reason

    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)

    class Tomorrow(dt.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return tomorrow

    monkeypatch.setattr("genaiops_dagster.promotion.decide.dt.datetime", Tomorrow)
    assert "the waiver of ann expired" in bench.refusal()


def test_an_approval_is_waited_for(models: list[TunedModel]) -> None:
    bench = Bench(models, approval={"approvers": ["ann", "bo"]})
    bench.decide()
    assert "waits for approval by ann or bo: `genaiops approve" in bench.refusal()
    with pytest.raises(ApprovalError, match="eve may not approve"):
        approve(bench.use_case, bench.log, by="eve", reason="me too")

    approve(bench.use_case, bench.log, by="bo", reason="looked at the worst rows")
    approve(bench.use_case, bench.log, by="bo", reason="again")
    assert bench.materialize("champion").success

    entries = bench.log.read()
    assert [e.kind for e in entries] == ["decision", "approval", "promotion", "completion"]
    assert entries[2].by == "bo"


def test_an_approval_is_of_one_decision(models: list[TunedModel]) -> None:
    bench = Bench(models, approval={})
    bench.decide()
    approve(bench.use_case, bench.log, by="ann", reason="good")
    bench.evaluate("tuned", BETTER)
    bench.decide()

    assert "waits for approval" in bench.refusal()


def test_a_refusal_cannot_be_approved(models: list[TunedModel]) -> None:
    bench = Bench(models, approval={})
    bench.evaluate("tuned", WORSE)
    bench.decide()

    with pytest.raises(ApprovalError, match="REJECT, which no approval changes"):
        approve(bench.use_case, bench.log, by="ann", reason="please")


def test_the_same_challenger_is_not_promoted_twice(bench: Bench) -> None:
    first = bench.promote()
    bench.evaluate_champion(make_rows(0.9, seed=3))

    assert bench.promote() == first
    assert [e.kind for e in bench.log.read()] == ["decision", "promotion", "completion"]


def test_a_better_successor_takes_alias_and_pointer(bench: Bench) -> None:
    bench.promote()
    bench.retune(BETTER, bench.models[1])
    bench.evaluate_champion(make_rows(0.9, seed=3))

    second = bench.promote()

    assert (second.number, second.model) == (2, bench.models[1].endpoint)
    assert bench.champion == second
    assert "champion" in bench.aliases(bench.models[1].model)
    assert "champion" not in bench.aliases(bench.models[0].model)


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """What each of them came to, when all begin at the same moment; an error as itself."""
    together = threading.Barrier(len(actions))

    def run(action: Callable[[], Any]) -> Any:
        together.wait()
        try:
            return action()
        except RuntimeError as error:
            return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


@pytest.mark.parametrize("writers", [2, 6])
def test_of_promotions_at_the_same_moment_one_wins_and_the_others_are_told(
    bench: Bench, writers: int
) -> None:
    decision, comparison = bench.decide(), bench.compare()

    def one() -> Callable[[], Promotion]:
        books, now = bench.books, bench.challenge()
        return lambda: promote(now, decision, comparison, books, bench.smoke_test)

    found = at_once(*(one() for _ in range(writers)))

    assert [*found] == [Promotion(bench.champion, one.changed) for one in found]
    assert sum(one.changed for one in found) == 1
    assert [e.kind for e in bench.log.read()] == ["decision", "promotion", "completion"]
    assert settle(bench.books)[1] == bench.champion
    assert bench.champion.number == 1


def test_of_a_promotion_and_a_rollback_at_the_same_moment_none_is_half_done(bench: Bench) -> None:
    bench.books.registry.remove_alias(bench.models[1].model)  # what other tests left
    bench.promote()
    bench.retune(BETTER, bench.models[1])
    bench.evaluate_champion(make_rows(0.9, seed=3))
    decision, comparison, now = bench.decide(), bench.compare(), bench.challenge()
    books = bench.books, bench.books

    promoted, restored = at_once(
        lambda: promote(now, decision, comparison, books[0], bench.smoke_test),
        lambda: rollback(books[1], lambda _: None, by="ann", reason="drill", to=1),
    )

    log, serves = settle(bench.books)
    kinds = [entry.kind for entry in log if entry.champion][1:]
    if kinds == ["promotion"]:
        assert "nothing was rolled back: champion 2" in str(restored)
        assert promoted == Promotion(present(serves), changed=True)
    elif kinds == ["rollback"]:
        # Another number serves than the decision rests on, though it is the same model.
        assert "change of: champion" in str(promoted)
        assert serves == restored
    else:
        assert kinds == ["promotion", "rollback"]
        assert promoted.changed
        assert serves == restored
    assert bench.champion == serves
    for model in bench.models:
        assert ("champion" in bench.aliases(model.model)) == (
            model.model == serves.registered_model
        )


def test_a_promotion_that_was_overtaken_while_it_looked_sees_no_tampering(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run moves pointer and alias after this one has read the log."""
    decision, comparison = bench.decide(), bench.compare()
    looked = champion_module._require_nothing

    def overtaken(books: ChampionBooks) -> None:
        monkeypatch.setattr(champion_module, "_require_nothing", looked)
        bench.promote()
        looked(books)

    monkeypatch.setattr(champion_module, "_require_nothing", overtaken)

    found = promote(bench.challenge(), decision, comparison, bench.books, bench.smoke_test)

    assert found == Promotion(bench.champion, changed=False)


def test_a_promotion_killed_before_any_write_leaves_the_gates_champion_and_is_repaired(
    models: list[TunedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entry, head, pointer, alias to and from, completion, head: before each, and before none."""
    send = AuthorizedSession.request
    for fatal in itertools.count():
        bench = Bench(models)
        first = bench.promote()
        bench.retune(BETTER, models[1])
        bench.evaluate_champion(make_rows(0.9, seed=3))
        decision, comparison, now = bench.decide(), bench.compare(), bench.challenge()
        writes = itertools.count()

        def counted(session: Any, method: str, *given: Any, **more: Any) -> Any:
            if method != "GET" and next(writes) >= fatal:  # noqa: B023 - not called after this turn
                raise KeyboardInterrupt
            return send(session, method, *given, **more)

        with monkeypatch.context() as broken:
            broken.setattr(AuthorizedSession, "request", counted)
            try:
                finished = promote(now, decision, comparison, bench.books, bench.smoke_test).changed
            except KeyboardInterrupt:
                finished = False
        assert bench.champion.model in (first.model, models[1].endpoint)
        called = [model for model in models if "champion" in bench.aliases(model.model)]
        assert called, "at every moment there is a champion"

        found = promote(bench.challenge(), decision, bench.compare(), bench.books, bench.smoke_test)

        assert found.champion == bench.champion == settle(bench.books)[1]
        assert (found.champion.number, found.champion.model) == (2, models[1].endpoint)
        assert "champion" in bench.aliases(models[1].model)
        assert "champion" not in bench.aliases(models[0].model)
        kinds = [entry.kind for entry in bench.log.read()]
        assert kinds == ["decision", "promotion", "completion"] * 2
        if finished:
            assert fatal == 7
            return


def test_a_rollback_brings_the_former_champion_back(bench: Bench) -> None:
    first = bench.promote()
    bench.retune(BETTER, bench.models[1])
    bench.evaluate_champion(make_rows(0.9, seed=3))
    bench.promote()
    tested: list[object] = []

    restored = rollback(bench.books, tested.append, by="ann", reason="complaints")

    assert tested == [first]
    assert (restored.number, restored.restores, restored.model) == (3, 1, first.model)
    assert bench.champion == restored
    assert "champion" in bench.aliases(bench.models[0].model)
    assert "champion" not in bench.aliases(bench.models[1].model)
    entry = bench.log.read()[-2]
    assert (entry.kind, entry.by, entry.reason) == ("rollback", "ann", "complaints")


def test_a_rollback_to_a_champion_that_does_not_answer_changes_nothing(bench: Bench) -> None:
    bench.promote()

    def silent(_: Any) -> None:
        raise RuntimeError("404: no such endpoint")

    with pytest.raises(RuntimeError, match="no such endpoint"):
        rollback(bench.books, silent, by="ann", reason="test", to=1)
    assert bench.champion.number == 1
    assert len(bench.log.read()) == 3


def test_a_rollback_restores_what_was_changed_by_hand(bench: Bench) -> None:
    first = bench.promote()
    bench.store.write(f"{bench.name}/champion.json", b"not a champion")
    with pytest.raises(ChampionError, match="is not a champion"):
        settle(bench.books)

    rollback(bench.books, lambda _: None, by="ann", reason="edited by hand", to=1)

    assert bench.champion.model == first.model
    assert settle(bench.books)[1] == bench.champion


@pytest.mark.parametrize(("to", "message"), [(7, "no champion 7"), (None, "no other champion")])
def test_a_rollback_to_nobody_is_refused(bench: Bench, to: int | None, message: str) -> None:
    bench.promote()
    with pytest.raises(RollbackError, match=message):
        rollback(bench.books, lambda _: None, by="ann", reason="test", to=to)


@pytest.mark.parametrize("champion_evaluated", [True, False])
def test_the_tables_are_as_after_one_run_after_many_at_once(
    bench: Bench, champion_evaluated: bool
) -> None:
    """Also when the runs looked for a champion before the first of them promoted it."""
    tables = ("evaluation_runs", "evaluation_metrics", "evaluation_rows", "model_comparisons")
    assert bench.materialize().success
    first = {name: bench.rows(name) for name in (*tables, "promotions")}
    if champion_evaluated:
        bench.evaluate_champion(make_rows(0.9, seed=3))

    results = at_once(*[bench.materialize] * 3)

    assert all(result.success for result in results)
    assert {name: bench.rows(name) for name in first} == first
    assert len(first["evaluation_rows"]) == 600
    assert len(first["promotions"]) == 3


def test_who_was_rolled_back_from_is_not_promoted_again(bench: Bench) -> None:
    first = bench.promote()
    second_rows = BETTER
    bench.retune(second_rows, bench.models[1])
    bench.evaluate_champion(make_rows(0.9, seed=3))
    second = bench.promote()
    rollback(bench.books, lambda _: None, by="ann", reason="complaints")
    bench.evaluate_champion(make_rows(0.9, seed=3))

    decision = bench.decide()

    assert decision.verdict.outcome == "REJECT"
    assert "ann rolled back from it" in " ".join(decision.verdict.reasons)
    assert "not promoted: REJECT" in bench.refusal()
    assert bench.get("champion")["model"] == first.model
    # A rollback to it lifts that.
    rollback(bench.books, lambda _: None, by="ann", reason="it was not the model", to=2)
    bench.evaluate_champion(BETTER)
    assert bench.champion.model == second.model
    assert bench.decide().verdict.outcome == "PROMOTE"


def test_an_alias_put_on_a_refused_model_is_noticed(bench: Bench) -> None:
    bench.promote()
    bench.retune(WORSE, bench.models[1])
    label(bench, bench.models[1].model)
    bench.books.registry.add_alias(bench.models[1].model)

    assert f"the alias 'champion' was put on {bench.models[1].model}" in bench.refusal("champion")

    rollback(bench.books, lambda _: None, by="ann", reason="alias moved by hand", to=1)
    assert settle(bench.books)[1] == bench.champion
    assert "champion" not in bench.aliases(bench.models[1].model)


def test_prune_keeps_champion_and_predecessor(emulator: RunningEmulator) -> None:
    models = tune(4)
    bench = Bench(models)
    for model in models:
        label(bench, model.model)
    bench.promote()
    bench.retune(BETTER, models[1])
    bench.evaluate_champion(make_rows(0.9, seed=3))
    bench.promote()

    stale = stale_models(bench.vertex_ai, bench.name, bench.log.read(), keep=1)
    kept_newest = stale_models(bench.vertex_ai, bench.name, bench.log.read(), keep=2)

    assert [found.model for found in stale] == [models[2].model.partition("@")[0]]
    assert kept_newest == []
    delete_model(bench.vertex_ai, stale[0])
    delete_model(bench.vertex_ai, stale[0])
    remaining = {model for model, _ in bench.books.registry.tuned_models()}
    assert remaining == {models[0].model, models[1].model, models[3].model}


def test_a_job_approves(models: list[TunedModel]) -> None:
    bench = Bench(models, approval={})
    bench.decide()
    [approve_job, _] = build_jobs(bench.use_case)
    config = {"by": "ann", "reason": "looks good"}

    result = approve_job.execute_in_process(
        run_config={"ops": {f"{bench.name}_approval": {"config": config}}},
        resources=build_resources(),
    )

    assert result.success
    assert [entry.kind for entry in bench.log.read()] == ["decision", "approval"]


def test_a_job_rolls_back_after_a_smoke_test(bench: Bench) -> None:
    bench.promote()
    [_, rollback_job] = build_jobs(bench.use_case)
    config = {"by": "ann", "reason": "drill", "to": 1}

    result = rollback_job.execute_in_process(
        run_config={"ops": {f"{bench.name}_former_champion": {"config": config}}},
        resources=build_resources(),
    )

    assert result.success
    assert (bench.champion.number, bench.champion.restores) == (2, 1)
    [event] = result.get_asset_materialization_events()
    assert present(event.asset_key).path == [bench.name, "champion"]
    [check] = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("smoke_test", True)


def test_a_challenger_that_does_not_answer_is_not_promoted(
    bench: Bench, faults: Callable[..., None]
) -> None:
    bench.decide()
    endpoint = bench.tuned.endpoint.rpartition("/")[2]
    faults({"kind": "error", "method": "generateContent", "model": endpoint, "status": 403})
    result = bench.materialize("champion")
    assert not result.success
    [check] = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("smoke_test", False)
    assert "cannot be called: 403" in present(check.description)
    assert bench.store.read(f"{bench.name}/champion.json") is None

    faults()
    assert bench.materialize("champion").success
    assert bench.champion.number == 1


def test_a_champion_that_does_not_answer_fails_its_smoke_test(bench: Bench) -> None:
    champion = bench.promote()
    gone = champion.model_copy(update={"model": f"{champion.model}9"})

    smoke_test(bench.vertex_ai, bench.use_case.serving.samples, SYSTEM_CLOCK, champion)
    with pytest.raises(SmokeTestError, match="cannot be called: 404"):
        smoke_test(bench.vertex_ai, bench.use_case.serving.samples, SYSTEM_CLOCK, gone)


def test_entries_removed_from_the_end_are_missed(bench: Bench) -> None:
    """With their note, only the copy in BigQuery knows of them."""
    bench.promote()
    last = bench.log.read()[-1]
    bench.store.delete(f"{bench.name}/decisions/{last.number:08d}.json")
    with pytest.raises(BrokenLogError, match=f"entry {last.number} was written, and is gone"):
        bench.log.read()
    with pytest.raises(BrokenLogError):
        settle(bench.books)
    with Router(bench.use_case, bench.store) as router, pytest.raises(NoChampionError):
        router.route("ann")

    bench.store.delete(f"{bench.name}/log_head.json")
    entries = bench.log.read()
    warehouse = Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK)
    rows = [promotion_row(bench.name, entry) for entry in [*entries, last]]
    warehouse.merge(PROMOTIONS, rows)
    with pytest.raises(BrokenLogError, match=f"entry {last.number}, of which the table"):
        require_published(warehouse, bench.name, entries)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "gemini-3.1-pro-preview"}, "the model"),
        ({"prompt_digest": "0" * 64}, "the prompt"),
        ({"report_fingerprint": "0" * 64}, "the report"),
        ({"report_uri": "gs://elsewhere/summary.json"}, "the report's address"),
        ({"generation": GenerationConfig(temperature=2.0)}, "the generation config"),
    ],
)
def test_an_entry_appended_under_a_true_decision_names_what_was_decided_on(
    bench: Bench, changes: dict[str, Any], named: str
) -> None:
    champion = bench.promote()
    forged = champion.model_copy(update={"number": 2, **changes})
    entries = bench.log.read()
    bench.log.append(entries, "promotion", champion=forged, by="eve", reason="follows decision 1")
    bench.store.write(f"{bench.name}/champion.json", to_json(forged))
    with pytest.raises(ChampionError, match=named):
        gated_champion(bench.store, bench.name)
    with Router(bench.use_case, bench.store) as router, pytest.raises(NoChampionError):
        router.route("ann")


@pytest.mark.parametrize(("by", "reason"), [(" ", "because"), ("ann", "\t")])
def test_a_rollback_needs_a_name_and_a_reason(bench: Bench, by: str, reason: str) -> None:
    with pytest.raises(RollbackError, match="needs the name"):
        rollback(bench.books, lambda _: None, by=by, reason=reason)
