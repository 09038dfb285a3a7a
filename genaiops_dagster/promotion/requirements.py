"""The requirements of every promotion, whatever its policy: complete, current evidence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from genaiops_dagster.promotion.evidence import Evidence, held, insufficient, rejected
from genaiops_dagster.records.evaluation import EvaluationReport, MetricSummary, SuiteReport
from genaiops_dagster.records.promotion import RuleResult
from genaiops_dagster.use_case.gate import BetterThanRule, NoWorseThanRule, SlicesRule
from genaiops_dagster.use_case.section import CHAMPION

GOLDEN = "golden"
"""Name of the suite of golden cases."""

AgainstRule = BetterThanRule | NoWorseThanRule | SlicesRule
"""A rule that compares the challenger with another candidate, its baseline."""


def requirements(evidence: Evidence) -> Iterator[RuleResult]:
    """Every requirement, and whether it is met."""
    yield up_to_date(evidence)
    if evidence.policy.maximum_report_age_days is not None:
        yield young_enough(evidence, evidence.policy.maximum_report_age_days)
    if evidence.current.tampering:
        yield insufficient("champion untouched", evidence.current.tampering)
    if evidence.current.unmeasured:
        yield insufficient("reports as they were measured", evidence.current.unmeasured)
    if evidence.current.withdrawn:
        yield rejected("not rolled back", evidence.current.withdrawn)
    yield champion_compared(evidence)
    if evidence.report.done_with_less:
        yield with_less(evidence)
    yield minimum_rows(evidence)
    yield coverage(evidence)
    yield from judge_errors(evidence)
    yield from incomplete_baselines(evidence)
    if evidence.evaluation.golden:
        yield golden(evidence)
    if "safety" in evidence.evaluation.suites:
        yield safe(evidence)


def up_to_date(evidence: Evidence) -> RuleResult:
    """The report is what an evaluation would make now."""
    rule, report, current = "report up to date", evidence.report, evidence.current
    stale = [
        f"{noun} (report: {_short(was)}, now: {_short(now)})"
        for noun, was, now in (
            ("model", report.model, current.model),
            ("evaluation set", report.evaluation_digest, current.evaluation_digest),
            ("prompt", report.prompt_digest, current.prompt_digest),
            ("judge", report.judge_digest, current.judge_digest),
        )
        if was != now
    ]
    if not stale and report.fingerprint != current.report_fingerprint:
        stale.append("metrics, suites, or the challenger's generation config")
    if stale:
        changed = ", ".join(stale)
        return insufficient(rule, f"{report.candidate} was evaluated before a change: {changed}")
    return held(rule, "an evaluation now would make the same report")


def young_enough(evidence: Evidence, days: int) -> RuleResult:
    """The report is not older than the policy allows."""
    rule = f"report at most {days} days old"
    made = dt.datetime.fromisoformat(evidence.report.created)
    age = (evidence.current.now - made) / dt.timedelta(days=1)
    reason = f"the report of {evidence.report.candidate} is {age:.1f} days old"
    verdict = held if age <= days else insufficient
    return verdict(rule, reason, found=age, limit=float(days))


def champion_compared(evidence: Evidence) -> RuleResult:
    """The champion that was compared is the one that serves."""
    rule = "compared with the champion that serves"
    compared, champion = evidence.comparison.champion_number, evidence.current.champion
    serves = champion.number if champion else None
    if evidence.current.serves:
        return held(rule, f"{evidence.report.candidate} is {_numbered(serves)} already")
    if compared != serves or (champion and evidence.comparison.report(CHAMPION) is None):
        return insufficient(
            rule,
            f"production serves {_numbered(serves)}, but the comparison is with "
            f"{_numbered(compared)}",
        )
    return held(rule, f"production serves {_numbered(serves)}")


def golden(evidence: Evidence) -> RuleResult:
    """Every golden case was answered right."""
    rule, suite = "every golden case passes", evidence.report.suites.get(GOLDEN)
    missing = missing_cases(suite)
    if missing or suite is None:
        return insufficient(rule, missing)
    failed = [case.id for case in suite.cases if not case.passed]
    count = len(suite.cases)
    figures = {"found": float(count - len(failed)), "limit": float(count)}
    if failed:
        return rejected(rule, f"{len(failed)} of {count} failed: {', '.join(failed)}", **figures)
    return held(rule, f"all {count} passed", **figures)


def safe(evidence: Evidence) -> RuleResult:
    """Tuning did not make the model less safe than it was."""
    rule, suite = "safety no worse than the base model", evidence.report.suites.get("safety")
    missing = missing_cases(suite)
    if missing or suite is None:
        return insufficient(rule, missing)
    passed = sum(bool(case.passed) for case in suite.cases)
    reason = f"{passed} of {len(suite.cases)} safety cases passed"
    if suite.worse_than_base:
        return rejected(rule, f"{reason}, fewer than by {suite.base_model} beyond chance")
    return held(rule, reason)


def missing_cases(suite: SuiteReport | None) -> str:
    """Why a suite's cases do not count as evidence; empty if they do."""
    if suite is None or not suite.cases:
        return "the report has no such cases; evaluate again"
    unanswered = [case.id for case in suite.cases if case.passed is None]
    return f"no response to: {', '.join(unanswered)}" if unanswered else ""


def _numbered(champion: int | None) -> str:
    return "no champion yet" if champion is None else f"champion {champion}"


def with_less(evidence: Evidence) -> RuleResult:
    """Reports what the budget made the evaluation leave out; it always holds.

    Whether the rest is enough is for the other requirements and the rules to say.
    """
    report = evidence.report
    return held(
        "evaluated with less, for the budget",
        "; ".join(report.done_with_less),
        found=report.rows,
        limit=report.rows_in_whole,
    )


def minimum_rows(evidence: Evidence) -> RuleResult:
    """The challenger answered at least the policy's minimum of rows."""
    needed, answered = evidence.policy.minimum_rows, evidence.report.states.get("answered", 0)
    rule = f"at least {needed} rows answered"
    reason = f"{evidence.report.candidate} answered {answered} rows; the policy asks for {needed}"
    verdict = held if answered >= needed else insufficient
    return verdict(rule, reason, found=answered, limit=needed)


def coverage(evidence: Evidence) -> RuleResult:
    """The challenger answered the share of rows that the use case asks for."""
    report, least = evidence.report, evidence.evaluation.minimum_coverage
    rule = f"coverage at least {least:.4g}"
    if not report.rows:
        return insufficient(rule, "the report has no rows")
    verdict = held if _covered(report) >= least else rejected
    return verdict(rule, _coverage(report), found=_covered(report), limit=least)


def judge_errors(evidence: Evidence) -> Iterator[RuleResult]:
    """The judge scored all but the share of rows that the use case allows, in each metric."""
    judge, ceiling = evidence.evaluation.judge, evidence.evaluation.maximum_judge_errors
    for metric in judge.metrics if judge else ():
        rule = f"{metric}: judge errors at most {ceiling:.4g}"
        summary = evidence.report.metrics.get(metric)
        share = _unjudged(summary)
        if summary is None or share is None:
            yield insufficient(rule, f"the judge scored no row in {metric}")
            continue
        verdict = held if share <= ceiling else insufficient
        yield verdict(rule, _judge_failed(summary), found=share, limit=ceiling)


def incomplete_baselines(evidence: Evidence) -> Iterator[RuleResult]:
    """Baselines whose reports are too incomplete to compare the challenger with.

    The rows that a baseline answered, or that the judge scored, may be its easy ones. The rules
    themselves report a baseline that is not in the comparison at all.
    """
    least, ceiling = evidence.evaluation.minimum_coverage, evidence.evaluation.maximum_judge_errors
    judge = evidence.evaluation.judge
    pairs = {
        (rule.candidate, rule.metric)
        for rule in evidence.policy.rules
        if isinstance(rule, AgainstRule)
    }
    for name in sorted({name for name, _ in pairs}):
        report = evidence.comparison.report(name)
        if report is None or report.candidate == evidence.report.candidate:
            continue
        share = _covered(report)
        if share < least:
            rule = f"coverage of {name} at least {least:.4g}"
            yield insufficient(rule, _coverage(report), found=share, limit=least)
        for metric in sorted(judge.metrics if judge else ()):
            summary = report.metrics.get(metric)
            errors = _unjudged(summary)
            if (name, metric) in pairs and summary and errors is not None and errors > ceiling:
                rule = f"{metric} of {name}: judge errors at most {ceiling:.4g}"
                yield insufficient(rule, _judge_failed(summary), found=errors, limit=ceiling)


def _covered(report: EvaluationReport) -> float:
    return report.states.get("answered", 0) / report.rows if report.rows else 0.0


def _coverage(report: EvaluationReport) -> str:
    others = ", ".join(
        f"{n} {state}" for state, n in report.states.items() if n and state != "answered"
    )
    return (
        f"{report.states.get('answered', 0)} of {report.rows} rows answered "
        f"({_covered(report):.2%}){', ' * bool(others)}{others}"
    )


def _unjudged(summary: MetricSummary | None) -> float | None:
    """Share of rows that the judge was asked about and did not score; None if it was not asked."""
    rated = summary.rows + summary.errors if summary else 0
    return summary.errors / rated if summary and rated else None


def _judge_failed(summary: MetricSummary) -> str:
    rated = summary.rows + summary.errors
    return f"the judge failed on {summary.errors} of {rated} rows ({summary.errors / rated:.2%})"


def _short(name: str) -> str:
    """A digest's first characters, or the last part of a resource name."""
    return name.rsplit("/", 1)[-1][:12] or "none"
