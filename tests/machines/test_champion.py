"""Promotion: one log that only grows, and a pointer and an alias that follow it."""

from __future__ import annotations

import contextlib

from google.api_core.exceptions import GoogleAPICallError
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from genaiops_dagster.promotion.champion import (
    ChampionBooks,
    ChampionError,
    OvertakenError,
    change_champion,
    gated_champion,
    settle,
)
from genaiops_dagster.promotion.log import DecisionLog, champions, moves, parse_log, record_decision
from genaiops_dagster.promotion.registry import ALIAS, Registry
from genaiops_dagster.promotion.rollback import RollbackError, rollback
from genaiops_dagster.promotion.rollout import advance, start, withdraw
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.promotion import Champion, Decision, LogEntry, Verdict
from genaiops_dagster.serving.answering.router import NoChampionError, Router
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.serving import RolloutPolicy
from tests.machines.cloud import PARENT, Cloud
from tests.machines.machine import Machine
from tests.machines.running import run
from tests.promotion.examples import make_champion

MODELS = [f"{PARENT}/models/{number}@1" for number in range(1, 4)]
PROMPT = version(make_champion().prompt).digest
USE_CASE = UseCase.model_validate(
    {
        "name": "u",
        "description": "Which answer?",
        "source": {"sql": "SELECT 1"},
        "columns": {"output": "answer"},
        "prompt": {"template": "{{ question }}"},
        "candidates": {"tuned": {"model": "tuned"}},
        "tuning": {"base_model": "gemini-3.5-flash"},
        "gate": {"rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0.5}]},
    }
)
POLICY = RolloutPolicy.model_validate({"stages": [{"share": 0.25}, {"share": 1}]})
FORESEEN = (GoogleAPICallError, OvertakenError, RollbackError, ChampionError)


def decision_on(model: int, attempt: str) -> Decision:
    """A decision to promote a model."""
    return Decision(
        id=f"{model}-{attempt}",
        use_case="u",
        challenger=f"candidate-{model}",
        model=f"{PARENT}/endpoints/{model}",
        verdict=Verdict(outcome="PROMOTE", rules=[]),
        comparison_id="",
        comparison_digest="",
        report_fingerprint="report",
        report_uri="gs://bucket/u/reports/report/summary.json",
        policy_digest="",
        prompt_digest=PROMPT,
        evaluation_digest="",
        champion_before=None,
        created="2026-11-30T12:00:00+00:00",
    )


def champion_of(model: int, decision: Decision, number: int, promoted: str) -> Champion:
    """The champion that follows from a decision."""
    return make_champion(
        number,
        use_case="u",
        candidate=decision.challenger,
        model=decision.model,
        registered_model=MODELS[model],
        report_uri=decision.report_uri,
        prompt_digest=PROMPT,
        decision_id=decision.id,
        promoted=promoted,
    )


class Promotions(Machine):
    """People and runs that promote, roll out, withdraw and roll back at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.promoted = 0
        self.seen: list[list[str]] = []

    def make_cloud(self) -> Cloud:
        return Cloud(MODELS)

    def _books(self, clock: Clock) -> ChampionBooks:
        log = DecisionLog(self.cloud.store, "u", clock)
        return ChampionBooks(self.cloud.store, Registry(self.cloud.models, "u"), log)

    @precondition(lambda self: self.has_room)
    @rule(model=st.integers(0, len(MODELS) - 1), in_stages=st.booleans())
    def promote(self, model: int, in_stages: bool) -> None:
        """A run promotes a model that the gate lets pass, at once or in stages."""
        self.promoted += 1
        attempt = str(self.promoted)

        def task(clock: Clock) -> str:
            books = self._books(clock)
            decision = decision_on(model, attempt)
            while True:
                settle(books)
                record_decision(books.log, decision)
                entries, pointer = settle(books)
                next_one = champion_of(
                    model, decision, len(champions(entries)) + 1, clock.timestamp()
                )
                if pointer is not None and (pointer.rollout or pointer.serves_as(next_one)):
                    return "not now"
                try:
                    if in_stages and pointer is not None:
                        start(books, entries, next_one, POLICY, by="run", reason="passed")
                    else:
                        change_champion(books, entries, "promotion", champion=next_one, by="run")
                except OvertakenError:
                    continue
                return "promoted"

        self.begin(f"promotion of {model}", task)

    @precondition(lambda self: self.has_room)
    @rule(how=st.sampled_from(["advance", "withdraw"]))
    def roll_out(self, how: str) -> None:
        """The next stage of a rollout, or its end."""

        def task(clock: Clock) -> None:
            books = self._books(clock)
            _, pointer = settle(books)
            if pointer is None or pointer.rollout is None:
                return
            if how == "advance":
                advance(books, pointer.rollout, POLICY, reason="good figures")
            else:
                withdraw(books, pointer.rollout, reason="bad figures")

        self.begin(how, task)

    @precondition(lambda self: self.has_room)
    @rule()
    def roll_back(self) -> None:
        """A person rolls back."""
        name = f"person {len(self.simulation.workers)}"

        def task(clock: Clock) -> None:
            rollback(self._books(clock), lambda _: None, by=name, reason="it is worse")

        self.begin(name, task)

    @precondition(lambda self: self.has_room)
    @rule(looks=st.integers(1, 4))
    def serve(self, looks: int) -> None:
        """A router looks several times who serves."""

        def task(clock: Clock) -> None:
            router, seen = Router(USE_CASE, self.cloud.store, clock=clock), 0
            for _ in range(looks):
                with contextlib.suppress(NoChampionError, GoogleAPICallError):
                    router.refresh()
                known = router._known
                assert known is None or known.generation >= seen, "an older champion serves again"
                seen = known.generation if known else 0
                clock.sleep(30.0)

        self.begin("router", task)

    @precondition(lambda self: self.has_room)
    @rule()
    def read(self) -> None:
        """Somebody reads the log, and asks who serves."""

        def task(clock: Clock) -> None:
            entries = self._books(clock).log.read()
            self.seen.append([entry.digest for entry in entries])
            gated_champion(self.cloud.store, "u")

        self.begin("reading", task)

    def _log(self) -> list[LogEntry]:
        names = sorted(
            name for name in self.cloud.bucket.objects if name.startswith("u/decisions/")
        )
        return parse_log((name, self.cloud.bucket.objects[name].content) for name in names)

    def holds(self) -> None:
        digests = [entry.digest for entry in self._log()]
        for seen in self.seen:
            assert digests[: len(seen)] == seen, "somebody saw another log"
        gated_champion(self.cloud.store, "u")  # the gate let it pass for what it serves

    def redo(self) -> None:
        def everything(clock: Clock) -> None:
            settle(self._books(clock))

        last = self.begin("settling", everything)
        self.simulation.rest()
        assert last.error is None, last.error

    def holds_at_rest(self) -> None:
        entries, aliases = self._log(), self.cloud.registry.aliases
        named = {model for model, names in aliases.items() if ALIAS in names}
        pointer = gated_champion(self.cloud.store, "u")
        if changes := moves(entries):
            assert pointer == changes[-1].pointer
            assert named == {changes[-1].pointer.registered_model}
        else:
            assert (pointer, named) == (None, set())
        numbers = [champion.number for champion in champions(entries)]
        assert numbers == list(range(1, len(numbers) + 1))
        for worker in self.simulation.workers:
            self._judge(worker.name, worker.error, entries)

    def _judge(self, name: str, error: Exception | None, entries: list[LogEntry]) -> None:
        """What a worker ended with is foreseen, and true."""
        if error is None:
            return
        assert isinstance(error, FORESEEN), error
        assert "outside the gate" not in str(error), "nobody did anything outside the gate"
        if isinstance(error, RollbackError) and "nothing was rolled back" in str(error):
            mine = [entry for entry in entries if entry.by == name.rpartition(" by ")[0]]
            assert mine == [], "it was rolled back"


def test_promotions(histories: int) -> None:
    run(Promotions, histories)
