"""The gate's rule on the load test."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from genaiops_dagster.comparison.compare import compare
from genaiops_dagster.promotion.evidence import Current
from genaiops_dagster.promotion.gate import evaluate_gate
from genaiops_dagster.records.promotion import RuleResult
from genaiops_dagster.records.serving import LoadTest
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.gate import LatencySloRule
from tests.comparison.examples import NO_CHAMPION, make_report, make_rows, make_use_case

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
MET = LoadTest(
    fingerprint="load-test",
    candidate="tuned",
    model="models/tuned",
    prompt_digest="prompt",
    steps=[],
    objective="latency p95 at most 2 s and errors at most 0.01",
    met=True,
    reasons=["p95 is at most 1.5 s"],
    worst_latency_seconds=1.5,
    limit_seconds=2.0,
    samples_uri="gs://bucket/samples.jsonl",
    cost_usd=0.01,
    created=NOW.isoformat(),
    emulated=True,
)


def judge(test: LoadTest | None) -> tuple[str, RuleResult]:
    """The verdict on `tuned`, and what it says of the load test."""
    use_case = make_use_case()
    rule = LatencySloRule(rule="latency_slo")
    rows = {name: make_rows(0.9, seed=n) for n, name in enumerate(("flash", "pro", "tuned"))}
    reports = [make_report(name, found) for name, found in rows.items()]
    comparison = compare(use_case, reports, NO_CHAMPION, rows)
    current = Current(
        "models/tuned", "report-of-tuned", "data", "prompt", "", None, NOW, load_test=test
    )
    gate = use_case.gate.model_copy(update={"rules": [rule]})
    verdict = evaluate_gate(comparison, gate, use_case.evaluation, current)
    return verdict.outcome, verdict.rules[-1]


def test_an_objective_that_was_met_promotes() -> None:
    outcome, rule = judge(MET)
    assert outcome == "PROMOTE"
    assert (rule.rule, rule.found, rule.limit) == ("latency objective under load", 1.5, 2.0)


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        ({"met": False, "reasons": ["16 users: p95 is 3 s"]}, "REJECT", "16 users: p95 is 3 s"),
        ({"model": "models/former"}, "INSUFFICIENT", "of another model or prompt"),
        ({"prompt_digest": "former"}, "INSUFFICIENT", "of another model or prompt"),
        ({"met": None}, "INSUFFICIENT", "has no objective"),
    ],
)
def test_anything_else_does_not(changes: dict[str, Any], outcome: str, reason: str) -> None:
    found, rule = judge(MET.model_copy(update=changes))
    assert found == outcome
    assert reason in rule.reason


def test_without_a_load_test_nothing_is_known() -> None:
    outcome, rule = judge(None)
    assert (outcome, "materialize load_test" in rule.reason) == ("INSUFFICIENT", True)


def test_a_rule_without_an_objective_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs serving\.load_test\.objective"):
        make_use_case([{"rule": "latency_slo"}])
    content = make_use_case().model_dump(exclude_unset=True)
    content["gate"]["rules"] = [{"rule": "latency_slo"}]
    content["serving"] = {"load_test": {"objective": {"at_most_seconds": 2}}}
    assert UseCase.model_validate(content).gate.rules[0].words == "latency objective under load"
