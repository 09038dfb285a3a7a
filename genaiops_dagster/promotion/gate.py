"""The gate: whether a challenger may become champion, and why.

One pure function over the comparison and the policy. It fails closed: whatever is missing, unknown,
stale or too little is a reason not to promote, and no rule is skipped.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from genaiops_dagster.promotion.evidence import Current, Evidence, insufficient, rejected
from genaiops_dagster.promotion.requirements import requirements
from genaiops_dagster.promotion.rules import apply
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.promotion import Outcome, RuleResult, Verdict
from genaiops_dagster.use_case.evaluation import Evaluation
from genaiops_dagster.use_case.gate import Gate


def evaluate_gate(
    comparison: Comparison, policy: Gate, evaluation: Evaluation, current: Current
) -> Verdict:
    """Apply the policy to its challenger.

    Args:
        comparison: All candidates on the same rows, and the champion if there is one.
        policy: Rules that must all hold.
        evaluation: Metrics, judge and completeness that the use case asks of a report.
        current: The present state; a comparison of anything else says nothing.

    Returns:
        PROMOTE when every rule holds or is waived. Else REJECT when a rule is known to fail, and
        INSUFFICIENT when the evidence does not say.
    """
    report = comparison.report(policy.challenger)
    if report is None:
        words = f"a report of {policy.challenger}"
        return _verdict([insufficient(words, f"the comparison lacks {words}")])
    if not policy.rules:
        reason = "the policy has no rules, so nothing can be shown"
        return _verdict([rejected("at least one rule", reason)])
    evidence = Evidence(comparison, report, policy, evaluation, current)
    return _verdict(
        [
            *requirements(evidence),
            *(_waive(apply(rule, evidence), policy, current.now.date()) for rule in policy.rules),
        ]
    )


def _waive(result: RuleResult, policy: Gate, today: dt.date) -> RuleResult:
    """A rule known to fail, waived while somebody answers for it; missing evidence never is."""
    if result.outcome != "REJECT":
        return result
    for waiver in policy.waivers:
        if waiver.rule != result.rule:
            continue
        if today > waiver.expires:
            why = f"the waiver of {waiver.owner} expired on {waiver.expires}"
        elif waiver.expires > today + dt.timedelta(days=policy.maximum_waiver_days):
            why = (
                f"the waiver of {waiver.owner} ends on {waiver.expires}, later than the policy's "
                f"{policy.maximum_waiver_days} days"
            )
        else:
            reason = f"waived by {waiver.owner} until {waiver.expires}: {waiver.reason}"
            return result.model_copy(
                update={"outcome": "WAIVED", "reason": f"{reason} ({result.reason})"}
            )
        return result.model_copy(update={"reason": f"{result.reason} ({why})"})
    return result


def _verdict(results: Iterable[RuleResult]) -> Verdict:
    found = list(results)
    outcomes = {result.outcome for result in found}
    outcome: Outcome = "PROMOTE"
    if "REJECT" in outcomes:
        outcome = "REJECT"
    elif not outcomes <= {"PROMOTE", "WAIVED"}:
        outcome = "INSUFFICIENT"
    return Verdict(outcome=outcome, rules=found)
