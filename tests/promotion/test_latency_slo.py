"""The gate's rule on the load test."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from genaiops_dagster.comparison.compare import compare
from genaiops_dagster.promotion.decide import policy_digest
from genaiops_dagster.promotion.evidence import Current
from genaiops_dagster.promotion.gate import evaluate_gate
from genaiops_dagster.records.promotion import RuleResult
from genaiops_dagster.records.serving import LoadTest, Percentiles, StepResult
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.gate import LatencySloRule
from genaiops_dagster.use_case.serving import LoadObjective, LoadTestPolicy
from tests.comparison.examples import NO_CHAMPION, make_report, make_rows, make_use_case

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
OBJECTIVE = LoadObjective(at_most_seconds=2.0)


def step(p95: float, failed: int = 0, rate: float | None = None) -> StepResult:
    latency = Percentiles(p50=1.0, p95=p95, p99=p95)
    return StepResult(
        load="16 users" if rate is None else f"{rate:g} requests a second",
        users=16 if rate is None else None,
        rate=rate,
        requests=100,
        failed=failed,
        errors={},
        throughput=10.0,
        latency=latency,
        first_token=latency,
        lateness_p95_seconds=0.0,
    )


MET = LoadTest(
    fingerprint="load-test",
    candidate="tuned",
    model="models/tuned",
    prompt_digest="prompt",
    steps=[step(1.5)],
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


def judge(
    test: LoadTest | None,
    objective: LoadObjective | None = OBJECTIVE,
    *,
    measured: bool = True,
) -> tuple[str, RuleResult]:
    """The verdict on `tuned`, and its line about the load test."""
    use_case = make_use_case()
    rule = LatencySloRule(rule="latency_slo")
    rows = {name: make_rows(0.9, seed=n) for n, name in enumerate(("flash", "pro", "tuned"))}
    reports = [make_report(name, found) for name, found in rows.items()]
    comparison = compare(use_case, reports, NO_CHAMPION, rows)
    current = Current(
        "models/tuned",
        "report-of-tuned",
        "data",
        "prompt",
        "",
        None,
        NOW,
        load_test=test,
        load_test_measured=measured,
        objective=objective,
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
        ({"steps": [step(3.0)]}, "REJECT", "16 users: p95 is 3 s"),
        ({"steps": [step(1.5, failed=2)]}, "REJECT", "2 of 100 requests failed"),
        ({"steps": []}, "INSUFFICIENT", "sent less than"),
        ({"model": "models/former"}, "INSUFFICIENT", "of another model or prompt"),
        ({"prompt_digest": "former"}, "INSUFFICIENT", "of another model or prompt"),
    ],
)
def test_anything_else_does_not(changes: dict[str, Any], outcome: str, reason: str) -> None:
    found, rule = judge(MET.model_copy(update=changes))
    assert found == outcome
    assert reason in rule.reason


def test_a_load_test_that_was_edited_says_nothing() -> None:
    outcome, rule = judge(MET, measured=False)
    assert (outcome, rule.reason) == (
        "INSUFFICIENT",
        "the newest load test is not what was measured; materialize load_test",
    )


def test_what_counts_is_the_objective_as_it_stands_now() -> None:
    """Not the objective that the load test was compared with when it was made."""
    outcome, rule = judge(MET, LoadObjective(at_most_seconds=1.0))
    assert (outcome, rule.found, rule.limit) == ("REJECT", 1.5, 1.0)
    assert judge(MET.model_copy(update={"met": False}))[0] == "PROMOTE"
    assert judge(MET, None)[0] == "INSUFFICIENT"


def test_an_objective_up_to_a_rate_needs_a_step_that_reaches_it() -> None:
    objective = LoadObjective(at_most_seconds=2.0, rate=20.0)
    slow = MET.model_copy(update={"steps": [step(1.5, rate=10.0)]})
    assert judge(slow, objective)[0] == "INSUFFICIENT"
    fast = MET.model_copy(update={"steps": [step(1.5, rate=10.0), step(1.8, rate=20.0)]})
    assert judge(fast, objective)[0] == "PROMOTE"


def test_what_a_rule_reads_is_part_of_the_policy() -> None:
    def with_objective(seconds: float, rules: list[Any]) -> str:
        use_case = make_use_case()
        policy = LoadTestPolicy(objective=LoadObjective(at_most_seconds=seconds))
        changes = {
            "serving": use_case.serving.model_copy(update={"load_test": policy}),
            "gate": use_case.gate.model_copy(update={"rules": rules}),
        }
        return policy_digest(use_case.model_copy(update=changes))

    slo = [LatencySloRule(rule="latency_slo")]
    assert with_objective(1.0, slo) != with_objective(2.0, slo)
    others = make_use_case().gate.rules
    assert with_objective(1.0, others) == with_objective(2.0, others)


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
