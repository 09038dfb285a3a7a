"""The rules of a policy: each looks at the evidence and says what it found, in a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from genaiops_dagster.evaluation.scoring.statistics import holm
from genaiops_dagster.promotion.evidence import (
    Evidence,
    figure,
    held,
    insufficient,
    rejected,
)
from genaiops_dagster.promotion.objective import check_objective, reaches
from genaiops_dagster.promotion.requirements import AgainstRule, missing_cases
from genaiops_dagster.records.comparison import Difference
from genaiops_dagster.records.evaluation import MetricSummary
from genaiops_dagster.records.promotion import RuleResult
from genaiops_dagster.use_case.gate import (
    BetterThanRule,
    CostRule,
    LatencyRule,
    LatencySloRule,
    NoWorseThanRule,
    SlicesRule,
    StateRule,
    SuiteRule,
    ThresholdRule,
)
from genaiops_dagster.use_case.section import CHAMPION


def apply(rule: Any, evidence: Evidence) -> RuleResult:
    """The outcome of one rule of the policy; a rule of an unknown kind never holds."""
    result_of = _RULES.get(type(rule))
    if result_of is None:
        return rejected(str(rule), f"no such rule: {rule!r}; it cannot hold")
    return result_of(rule, evidence)


def _threshold(rule: ThresholdRule, evidence: Evidence) -> RuleResult:
    metrics = evidence.report.metrics
    for name, value in rule.slice.items():
        metrics = evidence.report.slices.get(name, {}).get(value, {})
    summary = metrics.get(rule.metric)
    limit = rule.at_least if rule.at_least is not None else rule.at_most
    missing = _missing_summary(summary, rule, evidence)
    if missing or summary is None:
        return insufficient(rule.words, missing, limit=limit)
    found = summary.mean
    if rule.figure == "interval":
        found = summary.low if rule.at_least is not None else summary.high
    reason = f"{evidence.report.candidate}'s {rule.metric} is {_interval(summary)}"
    if found is None or limit is None:
        return insufficient(rule.words, f"{reason}, without an interval", limit=limit)
    holds = found >= limit if rule.at_least is not None else found <= limit
    return (held if holds else rejected)(rule.words, reason, found=found, limit=limit)


def _better_than(rule: BetterThanRule, evidence: Evidence) -> RuleResult:
    excused = _no_other_champion(rule, evidence)
    if excused:
        return held(rule.words, excused)
    difference = _find_difference(rule, evidence)
    missing = _missing_difference(difference, rule, evidence)
    if missing or difference is None:
        return insufficient(rule.words, missing)
    p_value, alpha = _corrected_p(rule, evidence), 1 - evidence.policy.confidence
    better = (difference.difference or 0) > 0
    reason = f"{_against(difference, evidence)}, p = {figure(p_value)} by {difference.method}"
    figures = {"found": difference.difference, "limit": 0.0}
    if p_value is None:
        return insufficient(rule.words, f"{reason}: no p value", **figures)
    if better and p_value <= alpha:
        return held(rule.words, reason, **figures)
    why = "not significant" if better else "not higher"
    return rejected(rule.words, f"{reason}: {why}", **figures)


def _no_worse_than(rule: NoWorseThanRule, evidence: Evidence) -> RuleResult:
    excused = _no_other_champion(rule, evidence)
    if excused:
        return held(rule.words, excused)
    difference = _find_difference(rule, evidence)
    missing = _missing_difference(difference, rule, evidence)
    if missing or difference is None or difference.low is None:
        return insufficient(rule.words, missing)
    reason = f"{_against(difference, evidence)}; its lower bound must reach {-rule.margin:.4g}"
    verdict = held if difference.low >= -rule.margin else rejected
    return verdict(rule.words, reason, found=difference.low, limit=-rule.margin)


def _no_slice_worse_than(rule: SlicesRule, evidence: Evidence) -> RuleResult:
    """A slice is worse if its mean is lower by more than the margin and by more than chance.

    Slices are small: to show that each is no worse would take more rows than there are, and to
    reject for any lower mean would reject at random. Holm's correction is over the tested slices.
    """
    excused = _no_other_champion(rule, evidence)
    if excused:
        return held(rule.words, excused)
    found = evidence.comparison.slices(
        rule.metric, rule.slice, evidence.report.candidate, rule.candidate
    )
    tested = [d for d in found if d.rows >= rule.minimum_rows and d.p_value is not None]
    if not tested:
        return insufficient(
            rule.words, f"no {rule.slice} has {rule.minimum_rows} rows that both answered"
        )
    alpha = 1 - evidence.policy.confidence
    adjusted = holm([d.p_value for d in tested])
    worse = [
        d
        for d, p in zip(tested, adjusted, strict=True)
        if p is not None and p <= alpha and (d.difference or 0.0) < -rule.margin
    ]
    lowest = min(d.difference or 0.0 for d in tested)
    figures = {"found": lowest, "limit": -rule.margin}
    few = len(found) - len(tested)
    small = f"; {few} with fewer than {rule.minimum_rows} rows were not tested" * bool(few)
    if worse:
        named = ", ".join(f"{d.slice_value} ({figure(d.difference)})" for d in worse)
        return rejected(rule.words, f"worse in {named}{small}", **figures)
    reason = f"none of {len(tested)} is significantly worse; the lowest is {figure(lowest)}{small}"
    return held(rule.words, reason, **figures)


def _rows(rule: StateRule, evidence: Evidence) -> RuleResult:
    report = evidence.report
    if not report.rows:
        return insufficient(rule.words, "the report has no rows", limit=rule.at_most)
    count = report.states.get(rule.state, 0)
    share = count / report.rows
    reason = f"{count} of {report.rows} rows were {rule.state} ({share:.2%})"
    verdict = held if share <= rule.at_most else rejected
    return verdict(rule.words, reason, found=share, limit=rule.at_most)


def _latency(rule: LatencyRule, evidence: Evidence) -> RuleResult:
    report = evidence.report
    found = report.latency_p50_seconds if rule.percentile == 50 else report.latency_p95_seconds
    return _at_most(rule.words, "latency", found, rule.at_most_seconds, "s")


def _cost(rule: CostRule, evidence: Evidence) -> RuleResult:
    report = evidence.report
    known = report.cost_usd is not None and report.rows
    found = 1000 * (report.cost_usd or 0.0) / report.rows if known else None
    return _at_most(rule.words, "cost of 1000 rows", found, rule.at_most_usd_per_1000_rows, "USD")


def _at_most(words: str, what: str, found: float | None, limit: float, unit: str) -> RuleResult:
    if found is None or not math.isfinite(found):
        return insufficient(words, f"the {what} is not known", limit=limit)
    reason = f"the {what} is {figure(found)} {unit}"
    return (held if found <= limit else rejected)(words, reason, found=found, limit=limit)


def _suite(rule: SuiteRule, evidence: Evidence) -> RuleResult:
    suite = evidence.report.suites.get(rule.suite)
    missing = missing_cases(suite)
    if missing or suite is None:
        return insufficient(rule.words, missing)
    share = suite.passed.mean
    passed = sum(bool(case.passed) for case in suite.cases)
    reason = f"{passed} of {len(suite.cases)} cases passed"
    if rule.at_least is not None:
        holds = share is not None and share >= rule.at_least
        return (held if holds else rejected)(rule.words, reason, found=share, limit=rule.at_least)
    if suite.base_passed is None:
        return held(rule.words, f"{reason}; {evidence.report.candidate} is a base model")
    base = suite.base_passed.mean
    reason += f", {figure(base)} of them by {suite.base_model} (p = {figure(suite.p_value)})"
    verdict = rejected if suite.worse_than_base else held
    return verdict(rule.words, reason, found=share, limit=base)


def _latency_slo(rule: LatencySloRule, evidence: Evidence) -> RuleResult:
    test, current = evidence.current.load_test, evidence.current
    if test is None:
        return insufficient(rule.words, "there is no load test; materialize load_test")
    if (test.model, test.prompt_digest) != (current.model, current.prompt_digest):
        reason = "the newest load test is of another model or prompt; materialize load_test"
        return insufficient(rule.words, reason)
    if not current.load_test_measured:
        reason = "the newest load test is not what was measured; materialize load_test"
        return insufficient(rule.words, reason)
    objective = current.objective
    if objective is None:
        return insufficient(rule.words, "serving.load_test has no objective")
    if not reaches(objective, test.steps):
        reason = f"the newest load test sent less than {objective.words}; materialize load_test"
        return insufficient(rule.words, reason)
    met, reasons, worst = check_objective(objective, test.steps)
    reason = f"{objective.words}: {'; '.join(reasons)}"
    verdict = held if met else rejected
    return verdict(rule.words, reason, found=worst, limit=objective.at_most_seconds)


_RULES: dict[type, Callable[[Any, Evidence], RuleResult]] = {
    ThresholdRule: _threshold,
    BetterThanRule: _better_than,
    NoWorseThanRule: _no_worse_than,
    SlicesRule: _no_slice_worse_than,
    StateRule: _rows,
    LatencyRule: _latency,
    CostRule: _cost,
    SuiteRule: _suite,
    LatencySloRule: _latency_slo,
}


def _no_other_champion(rule: AgainstRule, evidence: Evidence) -> str:
    """Why a rule about the champion holds without a comparison; empty if it needs one."""
    if rule.candidate != CHAMPION:
        return ""
    if evidence.current.champion is None:
        return "there is no champion yet"
    if evidence.current.serves or evidence.comparison.champion == evidence.report.candidate:
        return f"{evidence.report.candidate} is the champion already"
    return ""


def _find_difference(
    rule: BetterThanRule | NoWorseThanRule, evidence: Evidence
) -> Difference | None:
    return evidence.comparison.difference(rule.metric, evidence.report.candidate, rule.candidate)


def _corrected_p(rule: BetterThanRule, evidence: Evidence) -> float | None:
    """The rule's p value after Holm's correction for all `better_than` rules of the policy.

    The policy's own rules are the family: a candidate that no rule names cannot change a verdict.
    """
    family = [r for r in evidence.policy.rules if isinstance(r, BetterThanRule)]
    found = [_find_difference(r, evidence) for r in family]
    return holm([f.p_value if f else None for f in found])[family.index(rule)]


def _missing_summary(summary: MetricSummary | None, rule: ThresholdRule, evidence: Evidence) -> str:
    name, needed = evidence.report.candidate, evidence.policy.minimum_rows
    where = "".join(f" where {key} is {value}" for key, value in rule.slice.items())
    if summary is None or summary.mean is None or not math.isfinite(summary.mean):
        return f"the report of {name} has no {rule.metric}{where}"
    if summary.rows < needed and not rule.slice:
        return f"{rule.metric} of {name} rests on {summary.rows} rows; the policy asks for {needed}"
    return ""


def _missing_difference(
    difference: Difference | None, rule: BetterThanRule | NoWorseThanRule, evidence: Evidence
) -> str:
    pair, needed = f"{evidence.report.candidate} and {rule.candidate}", evidence.policy.minimum_rows
    if difference is None:
        return f"{pair} were not compared in {rule.metric}"
    if difference.rows < needed:
        return f"{pair} have {difference.rows} rows in common; the policy asks for {needed}"
    figures = (difference.difference, difference.low, difference.high)
    if not all(value is not None and math.isfinite(value) for value in figures):
        return f"the difference of {pair} in {rule.metric} has no interval"
    return ""


def _against(difference: Difference, evidence: Evidence) -> str:
    level = f"{100 * evidence.comparison.confidence:g} %"
    return (
        f"{difference.challenger} minus {difference.baseline} is {figure(difference.difference)} "
        f"({level} interval {figure(difference.low)} to {figure(difference.high)}, "
        f"{difference.rows} rows)"
    )


def _interval(summary: MetricSummary) -> str:
    if summary.low is None or summary.high is None:
        return f"{figure(summary.mean)} on {summary.rows} rows"
    return (
        f"{figure(summary.mean)} (95 % interval {figure(summary.low)} to "
        f"{figure(summary.high)}) on {summary.rows} rows"
    )
