"""Each rule of the gate at its boundary, and on evidence that is missing or no number."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from genaiops_dagster.comparison.compare import compare
from genaiops_dagster.evaluation.suite_report import report_suite
from genaiops_dagster.promotion.evidence import Current, Evidence
from genaiops_dagster.promotion.gate import evaluate_gate
from genaiops_dagster.promotion.requirements import requirements
from genaiops_dagster.promotion.rules import apply
from genaiops_dagster.records.comparison import Comparison, Difference
from genaiops_dagster.records.evaluation import CaseResult, MetricSummary, SuiteReport
from genaiops_dagster.records.promotion import RuleResult, Verdict
from tests.comparison.examples import NO_CHAMPION, make_report, make_rows, make_use_case
from tests.promotion.examples import make_champion

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
ROWS = {name: make_rows(0.5, seed=n) for n, name in enumerate(("flash", "pro", "tuned"))}
COMPARISON = compare(
    make_use_case(), [make_report(name, rows) for name, rows in ROWS.items()], NO_CHAMPION, ROWS
)
AT_LEAST = {"rule": "threshold", "metric": "exact_match", "at_least": 0.5}
AT_MOST = {"rule": "threshold", "metric": "exact_match", "at_most": 0.5}
INTERVAL = {**AT_LEAST, "figure": "interval"}
BETTER = {"rule": "better_than", "metric": "exact_match", "candidate": "flash"}
NO_WORSE = {
    "rule": "no_worse_than",
    "metric": "exact_match",
    "candidate": "flash",
    "margin": 0.25,
}
IN_NO_SLICE = {
    "rule": "no_slice_worse_than",
    "metric": "exact_match",
    "slice": "half",
    "candidate": "flash",
    "margin": 0.25,
    "minimum_rows": 50,
}
JUDGE = {
    "judge": {"model": "pro", "metrics": {"helpful": {"criteria": "It helps."}}},
    "maximum_judge_errors": 0.05,
}


SUMMARY = MetricSummary(mean=0.5, low=0.4, high=0.6, rows=200, errors=0)
DIFFERENCE = Difference(
    metric="exact_match",
    challenger="tuned",
    baseline="flash",
    difference=0.1,
    low=0.02,
    high=0.18,
    p_value=0.01,
    p_adjusted=0.01,
    rows=200,
    method="McNemar",
)


def unjudged(errors: int) -> MetricSummary:
    return SUMMARY.model_copy(update={"rows": 200 - errors, "errors": errors})


def suite(*passed: bool | None, **changes: Any) -> SuiteReport:
    cases = [
        CaseResult(id=f"case-{n}", category="any", state="answered", passed=p, refused=False)
        for n, p in enumerate(passed)
    ]
    return report_suite(cases).model_copy(update=changes)


def compared(**changes: dict[str, Any]) -> Comparison:
    """The comparison, with some figures of the named candidates' reports replaced."""
    board = [
        report.model_copy(update=changes.get(report.candidate, {}))
        for report in COMPARISON.leaderboard
    ]
    return COMPARISON.model_copy(update={"leaderboard": board})


def evidence(comparison: Comparison, *rules: Any, current: Any = None, **sections: Any) -> Evidence:
    use_case = make_use_case(rules or [AT_LEAST], **sections)
    report = comparison.report("tuned")
    assert report is not None
    stands = {
        "model": report.model,
        "report_fingerprint": report.fingerprint,
        "evaluation_digest": "data",
        "prompt_digest": "prompt",
        "judge_digest": "",
        "champion": None,
        "now": NOW,
    }
    found = Current(**(stands | (current or {})))
    return Evidence(comparison, report, use_case.gate, use_case.evaluation, found)


def outcome(comparison: Comparison, rule: Any, **sections: Any) -> str:
    found = evidence(comparison, rule, **sections)
    return apply(found.policy.rules[0], found).outcome


def verdict(comparison: Comparison, *rules: Any, **sections: Any) -> Verdict:
    found = evidence(comparison, *rules, **sections)
    return evaluate_gate(found.comparison, found.policy, found.evaluation, found.current)


def required(words: str, found: Evidence) -> list[RuleResult]:
    """The requirements whose name begins with `words`."""
    return [result for result in requirements(found) if result.rule.startswith(words)]


@pytest.mark.parametrize(
    ("rule", "figures", "expected"),
    [
        (AT_LEAST, {}, "PROMOTE"),
        (AT_MOST, {}, "PROMOTE"),
        (INTERVAL, {}, "REJECT"),
        (INTERVAL, {"low": 0.5}, "PROMOTE"),
        (INTERVAL, {"low": None}, "INSUFFICIENT"),
        (AT_LEAST, {"mean": None}, "INSUFFICIENT"),
        (AT_LEAST, {"mean": math.nan}, "INSUFFICIENT"),
        (AT_LEAST, {"rows": 30}, "PROMOTE"),
        (AT_LEAST, {"rows": 29}, "INSUFFICIENT"),
    ],
)
def test_a_threshold(rule: Any, figures: Any, expected: str) -> None:
    metrics = {"exact_match": SUMMARY.model_copy(update=figures)}
    assert outcome(compared(tuned={"metrics": metrics}), rule, minimum_rows=30) == expected


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"p_value": 0.25}, "PROMOTE"),
        ({"p_value": 0.26}, "REJECT"),
        ({"difference": 0.0}, "REJECT"),
        ({"difference": -0.1}, "REJECT"),
        ({"p_value": None}, "INSUFFICIENT"),
        ({"high": math.inf}, "INSUFFICIENT"),
        ({"low": None}, "INSUFFICIENT"),
        ({"rows": 30}, "PROMOTE"),
        ({"rows": 29}, "INSUFFICIENT"),
    ],
)
def test_better(figures: Any, expected: str) -> None:
    """A confidence of 0.75 asks for a p value of at most a quarter."""
    found = COMPARISON.model_copy(update={"differences": [DIFFERENCE.model_copy(update=figures)]})
    assert outcome(found, BETTER, confidence=0.75, minimum_rows=30) == expected


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"low": -0.25}, "PROMOTE"),
        ({"low": -0.26}, "REJECT"),
        ({"low": None}, "INSUFFICIENT"),
        ({"high": math.nan}, "INSUFFICIENT"),
        ({"rows": 30}, "PROMOTE"),
        ({"rows": 29}, "INSUFFICIENT"),
    ],
)
def test_no_worse(figures: Any, expected: str) -> None:
    found = COMPARISON.model_copy(update={"differences": [DIFFERENCE.model_copy(update=figures)]})
    assert outcome(found, NO_WORSE, minimum_rows=30) == expected


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"difference": -0.5}, "REJECT"),
        ({"difference": -0.5, "p_value": 0.5}, "PROMOTE"),
        ({"difference": -0.25}, "PROMOTE"),
        ({"difference": -0.1}, "PROMOTE"),
        ({"difference": -0.5, "rows": 50}, "REJECT"),
        ({"difference": -0.5, "rows": 49}, "INSUFFICIENT"),
        ({"difference": -0.5, "p_value": None}, "INSUFFICIENT"),
    ],
)
def test_a_slice(figures: Any, expected: str) -> None:
    odd = DIFFERENCE.model_copy(update={"slice_name": "half", "slice_value": "odd", **figures})
    found = COMPARISON.model_copy(update={"slice_differences": [odd]})
    assert outcome(found, IN_NO_SLICE) == expected


@pytest.mark.parametrize(
    ("rule", "figures", "expected"),
    [
        ({"rule": "rows", "state": "failed"}, {"states": {"failed": 1}}, "PROMOTE"),
        ({"rule": "rows", "state": "failed"}, {"states": {"failed": 2}}, "REJECT"),
        ({"rule": "rows", "state": "failed"}, {"rows": 0, "states": {}}, "INSUFFICIENT"),
        ({"rule": "latency"}, {"latency_p95_seconds": 0.5}, "PROMOTE"),
        ({"rule": "latency"}, {"latency_p95_seconds": math.nan}, "INSUFFICIENT"),
        ({"rule": "latency", "percentile": 50}, {"latency_p50_seconds": 0.6}, "REJECT"),
        ({"rule": "cost"}, {"cost_usd": 0.1}, "PROMOTE"),
        ({"rule": "cost"}, {"cost_usd": math.inf}, "INSUFFICIENT"),
    ],
)
def test_an_upper_limit(rule: Any, figures: Any, expected: str) -> None:
    limits = {
        "rows": {"at_most": 0.005},
        "latency": {"at_most_seconds": 0.5},
        "cost": {"at_most_usd_per_1000_rows": 0.5},
    }
    found = compared(tuned=figures)
    assert outcome(found, {**rule, **limits[rule["rule"]]}) == expected


THREE_OF_FOUR = suite(True, True, True, False)
WORSE_THAN_BASE = suite(True, False, False, False).model_copy(
    update={
        "base_model": "b",
        "base_passed": SUMMARY.model_copy(update={"mean": 1.0}),
        "p_value": 0.01,
    }
)


@pytest.mark.parametrize(
    ("bound", "suites", "expected"),
    [
        ({"at_least": 0.75}, {"off_task": THREE_OF_FOUR}, "PROMOTE"),
        ({"at_least": 0.75}, {"off_task": suite(True, True, True, None)}, "INSUFFICIENT"),
        ({"at_least": 0.75}, {}, "INSUFFICIENT"),
        ({"no_worse_than_base": True}, {"off_task": WORSE_THAN_BASE}, "REJECT"),
        ({"no_worse_than_base": True}, {"off_task": THREE_OF_FOUR}, "PROMOTE"),
    ],
)
def test_a_suite(bound: Any, suites: Any, expected: str) -> None:
    rule = {"rule": "suite", "suite": "off_task", **bound}
    found = compared(tuned={"suites": suites})
    assert outcome(found, rule, evaluation={"suites": ["off_task"]}) == expected


@pytest.mark.parametrize("rule", [BETTER, NO_WORSE, IN_NO_SLICE])
def test_a_champion_under_the_challengers_own_name_needs_no_comparison(rule: Any) -> None:
    found = COMPARISON.model_copy(update={"champion": "tuned", "champion_number": 3})
    other = {"champion": make_champion(number=3)}
    assert outcome(found, {**rule, "candidate": "champion"}, current=other) == "PROMOTE"


@pytest.mark.parametrize(("seconds", "expected"), [(0, "PROMOTE"), (1, "INSUFFICIENT")])
def test_a_report_may_be_as_old_as_the_policy_says(seconds: int, expected: str) -> None:
    created = NOW - dt.timedelta(days=14, seconds=seconds)
    found = compared(tuned={"created": created.isoformat()})
    [result] = required("report at most", evidence(found, maximum_report_age_days=14))
    assert result.outcome == expected


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [("pro", 2, "PROMOTE"), ("pro", 1, "INSUFFICIENT"), ("champion", 2, "INSUFFICIENT")],
)
def test_the_champion_that_serves_has_to_be_compared_with_its_report(
    name: str, number: int, expected: str
) -> None:
    found = COMPARISON.model_copy(update={"champion": name, "champion_number": number})
    current = {"champion": make_champion(number=2)}
    [result] = required("compared with the champion", evidence(found, current=current))
    assert result.outcome == expected


@pytest.mark.parametrize(
    ("answered", "rows", "coverage"),
    [(198, "PROMOTE", "PROMOTE"), (197, "INSUFFICIENT", "REJECT")],
)
def test_rows_and_coverage_may_be_just_enough(answered: int, rows: str, coverage: str) -> None:
    found = evidence(compared(tuned={"states": {"answered": answered}}), minimum_rows=198)
    assert [result.outcome for result in required("at least 198 rows", found)] == [rows]
    assert [result.outcome for result in required("coverage at least 0.99", found)] == [coverage]


@pytest.mark.parametrize(("answered", "incomplete"), [(198, 0), (197, 1)])
def test_a_baseline_may_be_just_complete_enough(answered: int, incomplete: int) -> None:
    found = evidence(compared(flash={"states": {"answered": answered}}), BETTER)
    assert len(required("coverage of flash", found)) == incomplete


@pytest.mark.parametrize(
    ("errors", "expected"), [(10, "PROMOTE"), (11, "INSUFFICIENT"), (None, "INSUFFICIENT")]
)
def test_a_judge_may_fail_on_a_share_of_rows(errors: int | None, expected: str) -> None:
    metrics = {} if errors is None else {"helpful": unjudged(errors)}
    found = evidence(compared(tuned={"metrics": metrics}), evaluation=JUDGE)
    assert [result.outcome for result in required("helpful: judge", found)] == [expected]


@pytest.mark.parametrize(("errors", "incomplete"), [(10, 0), (11, 1)])
def test_a_baselines_judge_may_fail_on_a_share_of_rows(errors: int, incomplete: int) -> None:
    found = evidence(
        compared(flash={"metrics": {"helpful": unjudged(errors)}}),
        {**BETTER, "metric": "helpful"},
        evaluation=JUDGE,
    )
    assert len(required("helpful of flash", found)) == incomplete


def test_a_challenger_is_not_its_own_baseline() -> None:
    few = compared(tuned={"states": {"answered": 100}})
    found = few.model_copy(update={"champion": "tuned", "champion_number": 3})
    rule = {**BETTER, "candidate": "champion"}
    assert required("coverage of champion", evidence(found, rule)) == []


def waiver(rule: str) -> dict[str, Any]:
    return {"rule": rule, "owner": "ann", "reason": "wrong labels", "expires": NOW.date()}


def test_a_waiver_is_of_one_rule() -> None:
    high, higher = {**AT_LEAST, "at_least": 0.8}, {**AT_LEAST, "at_least": 0.9}
    waivers = [waiver("exact_match at least 0.8")]
    assert verdict(COMPARISON, high, waivers=waivers).outcome == "PROMOTE"
    both = verdict(COMPARISON, high, higher, waivers=waivers)
    assert [rule.outcome for rule in both.rules[-2:]] == ["WAIVED", "REJECT"]
    assert both.outcome == "REJECT"


def test_a_waiver_does_not_stand_in_for_a_figure() -> None:
    waivers = [waiver("exact_match at least 0.5")]
    found = verdict(compared(tuned={"metrics": {}}), AT_LEAST, waivers=waivers)
    assert (found.outcome, found.rules[-1].outcome) == ("INSUFFICIENT", "INSUFFICIENT")


def test_what_is_known_to_fail_rejects_whatever_else_is_missing() -> None:
    low, high = {**AT_LEAST, "at_least": 0.25}, {**AT_LEAST, "at_least": 0.9}
    missing = {**AT_LEAST, "slice": {"half": "upper"}}
    assert verdict(COMPARISON, low, missing).outcome == "INSUFFICIENT"
    assert verdict(COMPARISON, high, missing).outcome == "REJECT"
