"""From a comparison to a decision, and from a decision, made again, to a champion."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genaiops_dagster.evaluation.report import read_measured_rows
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.promotion.approve import find_approval
from genaiops_dagster.promotion.champion import (
    ChampionBooks,
    ChampionError,
    OvertakenError,
    change_champion,
    settle,
)
from genaiops_dagster.promotion.decide import Challenge, changes, decide, next_champion
from genaiops_dagster.promotion.log import champions, latest_decision, record_decision
from genaiops_dagster.promotion.rollback import SmokeTest
from genaiops_dagster.promotion.rollout import start
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.measurements import UnmeasuredError
from genaiops_dagster.records.promotion import Champion, Decision, LogEntry
from genaiops_dagster.use_case import UseCase


class Refused(RuntimeError):  # noqa: N818 - a refusal is an outcome, not a malfunction
    """The challenger is not promoted; the message gives the reasons and what to do."""


def decide_and_record(present: Challenge, comparison: Comparison, books: ChampionBooks) -> LogEntry:
    """Decide on the challenger; the log's entry of the decision.

    A champion that was changed outside the gate is a reason not to promote, and the verdict says
    so. The same decision is not recorded twice.

    Raises:
        BrokenLogError: the log is not what was written.
    """
    tampering = ""
    try:
        entries, champion = settle(books)
    except ChampionError as error:
        entries, tampering = books.log.read(), str(error)
        champion = next(reversed(champions(entries)), None)
    unmeasured = _unmeasured(books.store, comparison, present.measured)
    decision = decide(
        present, comparison, champion, books.clock.now(), entries, tampering, unmeasured
    )
    return _standing_decision(books, entries, champion, decision) or record_decision(
        books.log, decision
    )


def _unmeasured(store: ObjectStore, comparison: Comparison, digests: Mapping[str, str]) -> str:
    """Which report of a comparison is not what was measured, in a sentence; empty if all are."""
    try:
        for report in comparison.leaderboard:
            read_measured_rows(store, report, digests)
    except UnmeasuredError as error:
        return str(error)
    return ""


def _standing_decision(
    books: ChampionBooks,
    entries: Sequence[LogEntry],
    champion: Champion | None,
    decision: Decision,
) -> LogEntry | None:
    """The decision that promoted the present champion, if it rests on just what `decision` does.

    Deciding on a champion again on the same evidence changes nothing.
    """
    for entry in entries if champion else ():
        found = entry.decision
        if (
            found is not None
            and champion is not None
            and champion.decision_uri == books.log.uri(entry.number)
            and found.verdict.outcome == decision.verdict.outcome
            and not [*changes(found, decision)]
        ):
            return entry
    return None


@dataclass(frozen=True)
class Promotion:
    """How a promotion ended.

    Attributes:
        champion: What production serves now.
        changed: Whether this promotion made it so; False if it serves already.
    """

    champion: Champion
    changed: bool


def promote(
    present: Challenge,
    decision: Decision,
    comparison: Comparison,
    books: ChampionBooks,
    smoke_test: SmokeTest,
) -> Promotion:
    """Make the challenger champion if the decision is still valid.

    Where the use case has a rollout policy and there is a champion to fall back on, the challenger
    begins its first stage instead, alongside that champion. A challenger that serves already, or is
    being rolled out, changes nothing. Of two promotions at the same moment one changes the log; the
    other decides again on the new state, as if it had come later.

    Args:
        present: The present challenger, policy and evidence.
        decision: What was decided.
        comparison: Computed again from the reports and rows that are stored now.
        books: Where the champion is written down.
        smoke_test: Run on the challenger before anything changes; raises when it does not answer.

    Raises:
        Refused: the decision is not in the log, not the newest, no longer rests on the present
            state, or waits for approval; or the gate says no.
        ChampionError: somebody changed the champion outside the gate.
        BrokenLogError: the log is not what was written.
    """
    while True:
        try:
            return _promote(present, decision, comparison, books, smoke_test)
        except OvertakenError:
            continue


def _promote(
    present: Challenge,
    decision: Decision,
    comparison: Comparison,
    books: ChampionBooks,
    smoke_test: SmokeTest,
) -> Promotion:
    entries, champion = settle(books)
    decided = _find(entries, decision)
    number = len(champions(entries)) + 1
    challenger = next_champion(
        present,
        decision,
        books.log.uri(decided.number),
        number,
        books.clock.timestamp(),
    )
    if champion is not None and _serves(champion, challenger):
        return Promotion(champion, changed=False)
    _require_standing(present, decision, comparison, champion, entries, books.clock.now())
    by = _require_approval(present.use_case, decision, entries)
    reason, policy = f"follows decision {decided.number}", present.use_case.serving.rollout
    if champion is not None and champion.rollout is not None:
        under_way = champion.rollout
        raise Refused(
            f"{decision.challenger} is not promoted: {under_way.candidate.candidate} of "
            f"{under_way.started[:10]} is being rolled out (stage {under_way.stage}); wait for "
            f"its end, or end it with `genaiops rollback {books.use_case}`"
        )
    smoke_test(challenger)
    if policy is not None and champion is not None:
        begun = start(books, entries, challenger, policy, by=by, reason=reason)
        return Promotion(begun, changed=True)
    promoted = change_champion(
        books, entries, "promotion", champion=challenger, by=by, reason=reason
    )
    return Promotion(promoted, changed=True)


def _serves(pointer: Champion, challenger: Champion) -> bool:
    """Whether a challenger is the champion already, or on its way."""
    rolled_out = pointer.rollout and pointer.rollout.candidate
    return pointer.serves_as(challenger) or bool(rolled_out and rolled_out.serves_as(challenger))


def _find(entries: Sequence[LogEntry], decision: Decision) -> LogEntry:
    for entry in reversed(entries):
        if entry.decision == decision:
            return entry
    raise Refused(
        f"the decision on {decision.challenger} of {decision.created} is not in the decision log; "
        "materialize promotion_decision"
    )


def _require_standing(
    present: Challenge,
    decision: Decision,
    comparison: Comparison,
    champion: Champion | None,
    entries: Sequence[LogEntry],
    now: dt.datetime,
) -> None:
    """The decision is the newest, and deciding again on the present state gives the same."""
    again = decide(present, comparison, champion, now, entries)
    changed = [*changes(decision, again)]
    if decision.champion_before != again.champion_before:
        changed.append("champion")
    latest = latest_decision(entries)
    if latest and latest.decision != decision:
        changed.append(f"newest decision (now {latest.number} in the log)")
    if changed:
        raise Refused(
            f"{decision.challenger} is not promoted: since the decision of {decision.created} "
            f"there was a change of: {', '.join(changed)}; materialize model_comparison and "
            "promotion_decision again"
        )
    for verdict in (decision.verdict, again.verdict):
        if verdict.outcome != "PROMOTE":
            raise Refused(
                f"{decision.challenger} is not promoted: {verdict.outcome}: "
                f"{'; '.join(verdict.reasons)}"
            )


def _require_approval(use_case: UseCase, decision: Decision, entries: Sequence[LogEntry]) -> str:
    """Who approved the decision; empty where the policy asks for nobody."""
    if use_case.gate.approval is None:
        return ""
    approval = find_approval(entries, use_case.gate.approval, decision)
    if approval is None:
        raise Refused(f"{decision.challenger} is not promoted: {approval_request(use_case)}")
    return approval.by


def approval_request(use_case: UseCase) -> str:
    """The approval that a decision waits for, and how to give it."""
    approvers = use_case.gate.approval.approvers if use_case.gate.approval else []
    who = f" by {' or '.join(approvers)}" if approvers else ""
    return (
        f"the decision waits for approval{who}: "
        f"`genaiops approve {use_case.name} --by NAME --reason TEXT`"
    )
