"""Controlled rollout: a candidate that passed the gate takes over from the champion in stages.

Each stage is an entry of the decision log and a traffic split in the pointer `champion.json`. The
last step is a promotion like any other. A withdrawal ends a rollout at whatever stage it is: the
champion answers everybody again, and the candidate is not promoted until it is another one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from genaiops_dagster.promotion.champion import (
    ChampionError,
    Places,
    change_champion,
    settle,
    write_asset_record,
)
from genaiops_dagster.records.promotion import Champion, LogEntry, Rollout
from genaiops_dagster.use_case.serving import RolloutPolicy, RolloutStage

AUTOMATIC = "rollout"
"""Who a step is by when no person made it."""


def start(
    places: Places,
    entries: Sequence[LogEntry],
    candidate: Champion,
    policy: RolloutPolicy,
    *,
    by: str,
    reason: str,
) -> Champion:
    """Begin the first stage of a candidate; what the pointer says then."""
    rollout = _at(candidate, policy.stages[0], started=_now())
    return change_champion(places, entries, "rollout", rollout=rollout, by=by, reason=reason)


def advance(
    places: Places,
    rollout: Rollout,
    policy: RolloutPolicy,
    *,
    reason: str,
    by: str = AUTOMATIC,
) -> Champion:
    """Begin the next stage, or after the last one make the candidate champion.

    Args:
        places: Where the champion is written down.
        rollout: The stage that is left; another one may have begun since it was looked at.
        policy: The stages.
        reason: Why it may go on.
        by: Who says so.

    Raises:
        ChampionError: the rollout is no longer at that stage, or somebody changed the champion.
    """
    entries = _entries_at(places, rollout)
    following = policy.after(rollout.share)
    if following is not None:
        return change_champion(
            places,
            entries,
            "rollout",
            rollout=_at(rollout.candidate, following, started=rollout.started),
            by=by,
            reason=reason,
        )
    champion = rollout.candidate.model_copy(update={"promoted": _now()})
    promoted = change_champion(
        places, entries, "promotion", champion=champion, by=by, reason=reason
    )
    write_asset_record(places.store, promoted)
    return promoted


def withdraw(
    places: Places,
    rollout: Rollout,
    *,
    reason: str,
    by: str = AUTOMATIC,
    is_candidate: bool = True,
    account: str = "",
) -> Champion:
    """End a rollout; the champion, who answers everybody again.

    Args:
        places: Where the champion is written down.
        rollout: The rollout, at the stage at which it was looked at.
        reason: Why.
        by: Who says so.
        is_candidate: Whether the candidate is the reason, so that it is not promoted again.
        account: What is known of who that is, besides the name given.

    Raises:
        ChampionError: the rollout is no longer at that stage, or somebody changed the champion.
    """
    entries = _entries_at(places, rollout)
    ended = rollout.model_copy(update={"is_candidate": is_candidate})
    return change_champion(
        places, entries, "withdrawal", rollout=ended, by=by, reason=reason, account=account
    )


def _entries_at(places: Places, rollout: Rollout) -> list[LogEntry]:
    """The log, as long as it still says that `rollout` is the present stage."""
    entries, pointer = settle(places)
    if pointer is None or pointer.rollout != rollout:
        raise ChampionError(
            f"{places.use_case}: the rollout of {rollout.candidate.candidate} is no longer at "
            f"stage {rollout.stage}; look again"
        )
    return entries


def _at(candidate: Champion, stage: RolloutStage, *, started: str) -> Rollout:
    return Rollout(
        candidate=candidate,
        stage=stage.title,
        share=stage.share,
        mirrored=stage.mirrored,
        started=started,
        since=_now(),
    )


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()
