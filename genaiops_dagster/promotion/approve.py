"""Approval: where the policy asks for it, a person says yes before the champion changes."""

from __future__ import annotations

from collections.abc import Sequence

from genaiops_dagster.promotion.log import DecisionLog, latest_decision
from genaiops_dagster.records.chain import LogMovedError
from genaiops_dagster.records.promotion import Decision, LogEntry
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.gate import Approval


class ApprovalError(RuntimeError):
    """The approval is not possible; the message says why."""


def find_approval(
    entries: Sequence[LogEntry], policy: Approval, decision: Decision
) -> LogEntry | None:
    """The approval of just this decision by somebody who may give it, or None."""
    return next(
        (
            entry
            for entry in entries
            if entry.approves == decision.id
            and entry.by.strip()
            and entry.reason.strip()
            and (not policy.approvers or entry.by in policy.approvers)
        ),
        None,
    )


def approver(use_case: UseCase, *, named: str, signed_in: str, unknown: str) -> str:
    """Who approves by a run of Dagster, where names can be typed but not trusted.

    Args:
        use_case: Whose policy names approvers, or none.
        named: Who the run's config says it is; empty if it names nobody.
        signed_in: Who launched the run, as a proxy in front of Dagster says; empty if unknown.
        unknown: Why that is unknown; empty if it is not.

    Raises:
        ApprovalError: the policy names approvers, and it is unknown who launched the run or the
            config names somebody else; or nobody is named at all.
    """
    policy = use_case.gate.approval
    if policy is None or not policy.approvers:
        return named or signed_in
    if not signed_in:
        raise ApprovalError(
            f"the policy of {use_case.name} names who may approve, and {unknown}; approve with "
            f"`genaiops approve {use_case.name}` at a terminal, or launch this job through a proxy "
            "that authenticates, as docs/how-to/production.md shows"
        )
    if named and named != signed_in:
        raise ApprovalError(
            f"this run was launched by {signed_in}, but its config says `by: {named}`; "
            "leave `by` out, and launch it again"
        )
    return signed_in


def approve(
    use_case: UseCase, log: DecisionLog, *, by: str, reason: str, account: str = ""
) -> LogEntry:
    """Approve the newest decision of a use case; a second approval of it changes nothing.

    Args:
        use_case: Whose policy asks for it.
        log: The decision log.
        by: Who approves.
        reason: Why.
        account: What is known of who that is, besides the name given.

    Raises:
        ApprovalError: nothing waits for approval, or `by` may not approve.
    """
    policy = use_case.gate.approval
    if policy is None:
        raise ApprovalError(f"{use_case.name}: its gate asks for no approval")
    if not by.strip() or not reason.strip():
        raise ApprovalError("an approval needs the name of who gives it, and a reason")
    if policy.approvers and by not in policy.approvers:
        raise ApprovalError(f"{by} may not approve; who may: {', '.join(policy.approvers)}")
    while True:
        entries = log.read()
        decided = latest_decision(entries)
        decision = decided.decision if decided else None
        if decision is None:
            raise ApprovalError(f"{use_case.name}: there is no decision to approve")
        if decision.verdict.outcome != "PROMOTE":
            raise ApprovalError(
                f"{use_case.name}: the newest decision is {decision.verdict.outcome}, which no "
                f"approval changes: {'; '.join(decision.verdict.reasons)}"
            )
        found = find_approval(entries, policy, decision)
        if found:
            return found
        try:
            return log.append(
                entries, "approval", approves=decision.id, by=by, reason=reason, account=account
            )
        except LogMovedError:
            continue
