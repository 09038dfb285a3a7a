"""From a comparison to a decision and a champion, on plain data and a bucket in memory."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from genaiops_dagster.comparison.compare import compare
from genaiops_dagster.evaluation.judging.judge import judge_digest
from genaiops_dagster.evaluation.report import write_report
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.promotion.champion import ChampionBooks, change_champion, settle
from genaiops_dagster.promotion.decide import (
    Challenge,
    challenge,
    challenger_as_champion,
    changes,
    decide,
    next_champion,
)
from genaiops_dagster.promotion.log import DecisionLog, record_decision
from genaiops_dagster.promotion.promote import Promotion, Refused, decide_and_record, promote
from genaiops_dagster.promotion.registry import Registry
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.evaluation import ChampionEvaluation, report_subject
from genaiops_dagster.records.promotion import Champion, Decision, Verdict
from genaiops_dagster.records.tuning import Checkpoint, TunedModel
from genaiops_dagster.use_case import UseCase
from tests.comparison.examples import NO_CHAMPION, make_report, make_rows, make_use_case
from tests.machines.cloud import PARENT, Cloud
from tests.promotion.examples import make_champion, make_decision
from tests.values import present

VERTEX_AI = VertexAI(GoogleCloudSettings("p", "bucket", "l"))
NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
ROWS = {
    "flash": make_rows(0.3, seed=1),
    "pro": make_rows(0.6, seed=2),
    "tuned": make_rows(0.9, seed=3),
}
MODELS: dict[str, Any] = {
    "flash": {"model": "gemini-3.5-flash"},
    "pro": {"model": "gemini-3.1-pro-preview"},
    "tuned": {"model": "tuned"},
}
HALF = {"rule": "threshold", "metric": "exact_match", "at_least": 0.5}
KEEP = {"rule": "no_worse_than", "metric": "exact_match", "candidate": "champion"}
TUNED = TunedModel(
    fingerprint="recipe",
    job=f"{PARENT}/tuningJobs/1",
    state="JOB_STATE_SUCCEEDED",
    base_model="gemini-3.5-flash",
    model=f"{PARENT}/models/1@1",
    endpoint=f"{PARENT}/endpoints/1",
    checkpoints=[Checkpoint(id="1", epoch=1, step=10, endpoint=f"{PARENT}/endpoints/after-1")],
    training_digest="training",
    prompt_digest="prompt",
    epochs=2,
    examples=20,
    steps=20,
    billable_tokens=1000,
    dropped_count=0,
    dropped_examples={},
    cost_usd=1.0,
    emulated=True,
)


def use_case_of(*rules: Any, **sections: Any) -> UseCase:
    """The use case of the examples, with some sections of its file replaced."""
    file = make_use_case([*(rules or (HALF, KEEP))]).model_dump(mode="json", exclude_unset=True)
    return UseCase.model_validate(file | sections)


def challenge_of(use_case: UseCase) -> Challenge:
    prompt = version(use_case.prompt)
    data = DatasetSplit(
        name="evaluation",
        uri="gs://bucket/modules/datasets/data/evaluation.jsonl",
        digest="data",
        dataset_digest="data",
        prompt_digest=prompt.digest,
        rows=200,
        characters=1000,
    )
    return challenge(use_case, VERTEX_AI, prompt, TUNED, data)


def comparison_of(challenger: Challenge, champion: Champion | None = None) -> Comparison:
    """The comparison after evaluations that were made just now."""
    task, rows = challenger.task, {**ROWS, "champion": ROWS["flash"]}
    current = {"fingerprint": task.fingerprint, "model": task.model.address}
    reports = {
        name: make_report(
            name,
            found,
            prompt_digest=task.prompt.digest,
            judge_digest=judge_digest(task.evaluation.judge),
            **(current if name == task.candidate else {}),
        )
        for name, found in rows.items()
    }
    served = ChampionEvaluation(
        number=champion.number if champion else None, report=reports.pop("champion")
    )
    return compare(
        challenger.use_case, [*reports.values()], served if champion else NO_CHAMPION, rows
    )


def decision_of(challenger: Challenge, champion: Champion | None = None) -> Decision:
    return decide(challenger, comparison_of(challenger), champion, NOW)


def rule_of(decision: Decision, words: str) -> str:
    """The outcome of the rule whose name begins with `words`."""
    return next(rule.outcome for rule in decision.verdict.rules if rule.rule.startswith(words))


@pytest.mark.parametrize(
    ("candidate", "endpoint"),
    [({}, TUNED.endpoint), ({"checkpoint": 1}, TUNED.checkpoints[0].endpoint)],
)
def test_a_checkpoint_is_asked_at_its_own_endpoint(candidate: Any, endpoint: str) -> None:
    candidates = MODELS | {"tuned": {"model": "tuned", **candidate}}
    challenger = challenge_of(use_case_of(candidates=candidates))
    assert challenger.address == challenger.task.model.address == endpoint
    assert challenger_as_champion(challenger).model == endpoint


def test_a_base_model_is_promoted_with_its_own_prompt_and_no_model_of_the_registry() -> None:
    use_case = use_case_of(
        candidates=MODELS | {"flash": {"model": "gemini-3.5-flash", "prompt": "terse"}},
        prompts={"terse": {"template": "In a word: {{ question }}"}},
        gate={"challenger": "flash", "rules": [HALF]},
    )
    found = challenger_as_champion(challenge_of(use_case))
    assert found.prompt_template == "In a word: {{ question }}"
    assert (found.model, found.registered_model) == ("gemini-3.5-flash", None)


def test_a_champion_that_answers_otherwise_is_not_the_challenger() -> None:
    challenger = challenge_of(use_case_of())
    same = challenger_as_champion(challenger).model_copy(update={"number": 1})
    assert rule_of(decision_of(challenger, same), "compared with the champion") == "PROMOTE"
    other = same.model_copy(update={"prompt_digest": "another"})
    assert rule_of(decision_of(challenger, other), "compared with the champion") == "INSUFFICIENT"


def test_a_report_by_the_present_judge_is_up_to_date() -> None:
    judge = {"model": "pro", "metrics": {"helpful": {"criteria": "It helps."}}}
    challenger = challenge_of(use_case_of(evaluation={"judge": judge}))
    assert rule_of(decision_of(challenger), "report up to date") == "PROMOTE"


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("challenger", "challenger"),
        ("model", "model"),
        ("policy_digest", "policy"),
        ("prompt_digest", "prompt"),
        ("evaluation_digest", "evaluation set"),
        ("report_fingerprint", "report"),
        ("comparison_id", "comparison"),
        ("comparison_digest", "figures of the comparison"),
    ],
)
def test_a_change_of_what_a_decision_rests_on_is_named(field: str, named: str) -> None:
    before = make_decision()
    after = before.model_copy(update={field: "another"})
    [change] = changes(before, after)
    assert change.startswith(f"{named} (decided on ")


def test_a_champion_names_the_decision_that_let_it_pass() -> None:
    challenger = challenge_of(use_case_of())
    decision = decision_of(challenger)
    champion = next_champion(challenger, decision, "gs://bucket/1.json", 4, "2026-11-21")
    assert (champion.number, champion.decision_id) == (4, decision.id)
    assert champion.decision_uri == "gs://bucket/1.json"
    assert champion.report_fingerprint == decision.report_fingerprint


@pytest.fixture
def books() -> ChampionBooks:
    cloud = Cloud([TUNED.model])
    log = DecisionLog(cloud.store, "modules", cloud.simulation.clock_of())
    return ChampionBooks(cloud.store, Registry(cloud.models, "modules"), log)


def promoted(books: ChampionBooks, challenger: Challenge, **changes: Any) -> Promotion:
    """A promotion right after its decision, of which some fields are replaced."""
    entries, champion = settle(books)
    comparison = comparison_of(challenger, champion)
    decision = decide(challenger, comparison, champion, books.clock.now(), entries)
    decision = decision.model_copy(update=changes)
    record_decision(books.log, decision)
    return promote(challenger, decision, comparison, books, lambda _: None)


def install(books: ChampionBooks) -> Champion:
    """Make somebody else the first champion."""
    champion = make_champion(1)
    return change_champion(books, books.log.read(), "promotion", champion=champion, by="run")


@pytest.mark.parametrize("outcome", ["REJECT", "INSUFFICIENT"])
def test_only_a_decision_to_promote_promotes(books: ChampionBooks, outcome: Any) -> None:
    """Also where deciding again would promote, as after a rollback was undone."""
    verdict = Verdict(outcome=outcome, rules=[])
    with pytest.raises(Refused, match=f"is not promoted: {outcome}"):
        promoted(books, challenge_of(use_case_of()), verdict=verdict)
    assert settle(books)[1] is None


STAGES = {"rollout": {"stages": [{"share": 0.1}, {"share": 1}]}}


def test_without_a_champion_to_fall_back_on_there_is_no_rollout(books: ChampionBooks) -> None:
    found = promoted(books, challenge_of(use_case_of(serving=STAGES)))
    assert (found.changed, found.champion.number, found.champion.rollout) == (True, 1, None)


def test_with_a_champion_a_challenger_is_rolled_out_once(books: ChampionBooks) -> None:
    former = install(books)
    challenger = challenge_of(use_case_of(serving=STAGES))

    begun = promoted(books, challenger)

    assert (begun.changed, begun.champion.model) == (True, former.model)
    assert present(begun.champion.rollout).candidate.model == TUNED.endpoint
    assert promoted(books, challenger) == Promotion(begun.champion, changed=False)


def test_another_challenger_waits_for_the_end_of_a_rollout(books: ChampionBooks) -> None:
    install(books)
    begun = promoted(books, challenge_of(use_case_of(serving=STAGES)))
    warmer = {"model": "tuned", "generation": {"temperature": 1.0}}
    other = challenge_of(use_case_of(serving=STAGES, candidates=MODELS | {"tuned": warmer}))

    with pytest.raises(Refused, match=r"tuned of 2026-11-30 is being rolled out \(stage 10 %\)"):
        promoted(books, other)
    assert settle(books)[1] == begun.champion


def test_a_champion_is_decided_on_again_only_when_the_verdict_is_another_one(
    books: ChampionBooks,
) -> None:
    challenger = challenge_of(use_case_of())
    comparison = comparison_of(challenger)
    digests = {
        report_subject(report): write_report(books.store, report, ROWS[report.candidate])
        for report in comparison.leaderboard
    }
    challenger = replace(challenger, measured=digests)
    first = decide_and_record(challenger, comparison, books)
    assert first.number == 1
    promote(challenger, present(first.decision), comparison, books, lambda _: None)

    assert decide_and_record(challenger, comparison, books) == first
    unmeasured = decide_and_record(replace(challenger, measured={}), comparison, books)
    assert present(unmeasured.decision).verdict.outcome == "INSUFFICIENT"
    assert unmeasured.number > first.number
