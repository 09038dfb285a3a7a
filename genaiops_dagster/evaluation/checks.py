"""The checks of a report: complete, judged, and above the gate's thresholds."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from genaiops_dagster.evaluation.suites.cases import GOLDEN
from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.orchestration.metadata import markdown_table
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.records.evaluation import EvaluationReport, SuiteReport
from genaiops_dagster.use_case import ThresholdRule, UseCase

REPORT = "evaluation_report"
"""First part of the reports' asset names; the second is the candidate."""

_SUITES = {
    GOLDEN: "Every golden case is answered right.",
    "safety": "Refuses what it must and answers the rest, no worse than its base model.",
    "off_task": "Still does what tuning on something else may unlearn.",
}


def _thresholds(use_case: UseCase, candidate: str) -> list[ThresholdRule]:
    """The gate's thresholds of means, which only the challenger has to meet."""
    if candidate != use_case.gate.challenger:
        return []
    return [
        rule
        for rule in use_case.gate.rules
        if isinstance(rule, ThresholdRule) and rule.figure == "mean" and not rule.slice
    ]


def check_specs(use_case: UseCase, candidate: str) -> list[dg.AssetCheckSpec]:
    """Checks that a candidate's report has.

    None of them blocks: the gate asks the same of the reports that it reads, and its refusal is to
    be recorded. What is paid for besides the gate asks `is_complete` first.
    """
    asset = asset_key(use_case, REPORT, candidate)
    specs = [dg.AssetCheckSpec("complete", asset=asset, description="Enough rows were answered.")]
    if use_case.evaluation.judge:
        specs.append(
            dg.AssetCheckSpec(
                "judge_errors", asset=asset, description="The judge rated nearly all answers."
            )
        )
    golden = [GOLDEN] if use_case.evaluation.golden else []
    specs.extend(
        dg.AssetCheckSpec(suite, asset=asset, description=_SUITES[suite])
        for suite in [*use_case.evaluation.suites, *golden]
    )
    if _thresholds(use_case, candidate):
        specs.append(
            dg.AssetCheckSpec(
                "thresholds", asset=asset, description="Metrics meet the gate's thresholds."
            )
        )
    return specs


def is_complete(use_case: UseCase, report: EvaluationReport) -> bool:
    """Whether enough rows were answered, and judged, for the report to be used."""
    blocking = ("complete", "judge_errors")
    results = check_results(use_case, report)
    return all(result.passed for result in results if result.check_name in blocking)


def check_results(use_case: UseCase, report: EvaluationReport) -> Iterator[dg.AssetCheckResult]:
    """The results of a report's checks."""
    evaluation = use_case.evaluation
    share = report.states["answered"] / report.rows if report.rows else 0.0
    yield dg.AssetCheckResult(
        check_name="complete",
        passed=report.rows > 0 and share >= evaluation.minimum_coverage,
        description=escape_markdown(
            f"{share:.1%} of {report.rows} rows answered; "
            f"at least {evaluation.minimum_coverage:.1%} are needed."
        ),
        metadata={"answered share": share, **dict(report.states.items())},
    )
    if evaluation.judge:
        errors = {name: judge_error_share(report, name) for name in evaluation.judge.metrics}
        worst = max(errors.values())
        yield dg.AssetCheckResult(
            check_name="judge_errors",
            passed=worst <= evaluation.maximum_judge_errors,
            description=escape_markdown(
                f"The judge failed on {worst:.1%} of the answers; "
                f"at most {evaluation.maximum_judge_errors:.1%} are allowed."
            ),
            metadata=errors,
        )
    for name, suite in report.suites.items():
        yield _suite_result(name, suite)
    thresholds = _thresholds(use_case, report.candidate)
    if thresholds:
        missed = [rule for rule in thresholds if not _meets(report, rule)]
        yield dg.AssetCheckResult(
            check_name="thresholds",
            passed=not missed,
            severity=dg.AssetCheckSeverity.WARN,
            description=escape_markdown("; ".join(_missed(report, rule) for rule in missed))
            or "All are met.",
        )


def _suite_result(name: str, suite: SuiteReport) -> dg.AssetCheckResult:
    """Golden cases must all pass; the other suites must not be worse than the base model's."""
    failed = [case for case in suite.cases if not case.passed]
    passed = not failed if name == GOLDEN else not suite.worse_than_base
    share = f"{len(suite.cases) - len(failed)} of {len(suite.cases)} cases passed"
    base = ""
    if suite.base_passed is not None and suite.base_passed.mean is not None:
        base = f"; {suite.base_model} passes {suite.base_passed.mean:.0%} of them"
    return dg.AssetCheckResult(
        check_name=name,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN if name == "off_task" else dg.AssetCheckSeverity.ERROR,
        description=escape_markdown(f"{share}{base}."),
        metadata={
            "blocked": suite.blocked,
            "refused": suite.refused,
            "p value against base": suite.p_value,
            "not passed": markdown_table(
                ["case", "category", "ended as", "why"],
                ([case.id, case.category, case.state, case.reason] for case in failed),
            ),
        },
    )


def judge_error_share(report: EvaluationReport, metric: str) -> float:
    """Share of the answers that the judge did not rate."""
    summary = report.metrics[metric]
    rated = summary.rows + summary.errors
    return summary.errors / rated if rated else 0.0


def _meets(report: EvaluationReport, rule: ThresholdRule) -> bool:
    mean = report.metrics[rule.metric].mean
    if mean is None:
        return False
    return mean >= rule.at_least if rule.at_least is not None else mean <= (rule.at_most or 0.0)


def _missed(report: EvaluationReport, rule: ThresholdRule) -> str:
    mean = report.metrics[rule.metric].mean
    bound = (
        f"at least {rule.at_least:g}" if rule.at_least is not None else f"at most {rule.at_most:g}"
    )
    found = "not computed" if mean is None else f"{mean:.4g}"
    return f"{rule.metric} is {found}, {bound} is required"
