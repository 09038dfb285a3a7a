"""Controlled rollout: a candidate that passed the gate takes over from the champion in stages.

Each stage is an entry of the decision log and a traffic split in the pointer `champion.json`. The
last step is a promotion like any other. A withdrawal ends a rollout at whatever stage it is: the
champion answers everybody again, and the candidate is not promoted until it is another one.
"""

from __future__ import annotations

from collections.abc import Sequence

from genaiops_dagster.promotion.champion import (
    ChampionBooks,
    ChampionError,
    change_champion,
    settle,
    write_asset_record,
)
from genaiops_dagster.records.promotion import Champion, LogEntry, Rollout
from genaiops_dagster.use_case.serving import RolloutPolicy, RolloutStage

AUTOMATIC = "rollout"
"""Author of a step that no person made."""


def start(
    books: ChampionBooks,
    entries: Sequence[LogEntry],
    candidate: Champion,
    policy: RolloutPolicy,
    *,
    by: str,
    reason: str,
) -> Champion:
    """Begin the first stage of a candidate; what the pointer says then."""
    now = books.clock.now().isoformat()
    rollout = _at(candidate, policy.stages[0], started=now, since=now)
    return change_champion(books, entries, "rollout", rollout=rollout, by=by, reason=reason)


def advance(
    books: ChampionBooks,
    rollout: Rollout,
    policy: RolloutPolicy,
    *,
    reason: str,
    by: str = AUTOMATIC,
) -> Champion:
    """Begin the next stage, or after the last one make the candidate champion.

    Args:
        books: Where the champion is written down.
        rollout: The stage that is left; another one may have begun since it was looked at.
        policy: The stages.
        reason: Why it may go on.
        by: Who says so.

    Raises:
        ChampionError: the rollout is no longer at that stage, or somebody changed the champion.
    """
    entries = _entries_at(books, rollout)
    now = books.clock.now().isoformat()
    following = policy.after(rollout.share)
    if following is not None:
        return change_champion(
            books,
            entries,
            "rollout",
            rollout=_at(rollout.candidate, following, started=rollout.started, since=now),
            by=by,
            reason=reason,
        )
    champion = rollout.candidate.model_copy(update={"promoted": now})
    promoted = change_champion(books, entries, "promotion", champion=champion, by=by, reason=reason)
    write_asset_record(books.store, promoted)
    return promoted


def withdraw(
    books: ChampionBooks,
    rollout: Rollout,
    *,
    reason: str,
    by: str = AUTOMATIC,
    is_candidate: bool = True,
    account: str = "",
) -> Champion:
    """End a rollout; the champion, who answers everybody again.

    Args:
        books: Where the champion is written down.
        rollout: The rollout, at the stage at which it was looked at.
        reason: Why.
        by: Who says so.
        is_candidate: Whether the candidate is the reason, so that it is not promoted again.
        account: What is known of who that is, besides the name given.

    Raises:
        ChampionError: the rollout is no longer at that stage, or somebody changed the champion.
    """
    entries = _entries_at(books, rollout)
    ended = rollout.model_copy(update={"is_candidate": is_candidate})
    return change_champion(
        books, entries, "withdrawal", rollout=ended, by=by, reason=reason, account=account
    )


def _entries_at(books: ChampionBooks, rollout: Rollout) -> list[LogEntry]:
    """The log, as long as it still says that `rollout` is the present stage."""
    entries, pointer = settle(books)
    if pointer is None or pointer.rollout != rollout:
        raise ChampionError(
            f"{books.use_case}: the rollout of {rollout.candidate.candidate} is no longer at "
            f"stage {rollout.stage}; look again"
        )
    return entries


def _at(candidate: Champion, stage: RolloutStage, *, started: str, since: str) -> Rollout:
    return Rollout(
        candidate=candidate,
        stage=stage.title,
        share=stage.share,
        mirrored=stage.mirrored,
        started=started,
        since=since,
    )
