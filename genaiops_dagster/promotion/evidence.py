"""The gate's evidence, and the three outcomes of a rule."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.evaluation import EvaluationReport
from genaiops_dagster.records.promotion import Champion, RuleOutcome, RuleResult
from genaiops_dagster.records.serving import LoadTest
from genaiops_dagster.use_case.evaluation import Evaluation
from genaiops_dagster.use_case.gate import Gate
from genaiops_dagster.use_case.serving import LoadObjective


@dataclass(frozen=True)
class Current:
    """The state at the moment of the decision, to tell current evidence from stale evidence.

    Attributes:
        model: Endpoint or base model that the challenger is now.
        report_fingerprint: Of the report that an evaluation would make now.
        evaluation_digest, prompt_digest, judge_digest: Of evaluation set, prompt and judge.
        champion: What production serves; None before the first promotion.
        now: The moment, in UTC.
        tampering: What somebody changed about the champion outside the gate, in a sentence.
        unmeasured: Which report is not what was measured, in a sentence.
        withdrawn: Who rolled back from the challenger and why, in a sentence.
        serves: Whether the challenger is what the champion serves already.
        load_test: The newest load test, of whatever model; None if there is none.
        load_test_measured: Whether that load test is what was measured.
        objective: What it has to show, as the use case file says now; None without an objective.
    """

    model: str
    report_fingerprint: str
    evaluation_digest: str
    prompt_digest: str
    judge_digest: str
    champion: Champion | None
    now: dt.datetime
    tampering: str = ""
    unmeasured: str = ""
    withdrawn: str = ""
    serves: bool = False
    load_test: LoadTest | None = None
    load_test_measured: bool = False
    objective: LoadObjective | None = None


@dataclass(frozen=True)
class Evidence:
    """The evidence that a rule may use.

    Attributes:
        comparison: All candidates on the same rows.
        report: The challenger's.
        policy, evaluation: Sections of the use case file.
        current: The present state.
    """

    comparison: Comparison
    report: EvaluationReport
    policy: Gate
    evaluation: Evaluation
    current: Current


def held(rule: str, reason: str, **figures: float | None) -> RuleResult:
    """A rule that holds."""
    return _result(rule, "PROMOTE", reason, figures)


def rejected(rule: str, reason: str, **figures: float | None) -> RuleResult:
    """A rule that is known not to hold."""
    return _result(rule, "REJECT", reason, figures)


def insufficient(rule: str, reason: str, **figures: float | None) -> RuleResult:
    """A rule of which the evidence does not say whether it holds."""
    return _result(rule, "INSUFFICIENT", reason, figures)


def _result(
    rule: str, outcome: RuleOutcome, reason: str, figures: dict[str, float | None]
) -> RuleResult:
    return RuleResult(rule=rule, outcome=outcome, reason=reason, **figures)


def figure(value: float | None) -> str:
    """A figure as sentences show it."""
    return "unknown" if value is None else f"{value:.4g}"
