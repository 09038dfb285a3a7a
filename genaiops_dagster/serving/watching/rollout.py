"""One look at a rollout: read the online figures, decide on the stage, and act."""

from __future__ import annotations

import datetime as dt
from typing import Any

from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.promotion.champion import ChampionBooks, settle
from genaiops_dagster.promotion.rollout import advance, withdraw
from genaiops_dagster.records.promotion import Champion, Rollout
from genaiops_dagster.records.record import Record
from genaiops_dagster.serving.watching.online import (
    Action,
    OnlineFigures,
    decide_stage,
    latency_limit,
    read_figures,
)
from genaiops_dagster.serving.watching.tables import ROLLOUTS
from genaiops_dagster.use_case.serving import RolloutPolicy


class RolloutLook(Record):
    """The result of a look at a rollout.

    Attributes:
        champion: Number of the champion after the look; None if there is none.
        rollout: The stage that was looked at; None if no rollout was under way.
        action: What was done.
        reasons: Why.
        stage_after: The stage after the look; None if the rollout has ended.
        candidate_figures, champion_figures: What was seen; None where it could not be read.
    """

    champion: int | None
    rollout: Rollout | None = None
    action: Action = "wait"
    reasons: list[str]
    stage_after: str | None = None
    candidate_figures: OnlineFigures | None = None
    champion_figures: OnlineFigures | None = None


def look_at_rollout(
    books: ChampionBooks,
    warehouse: Warehouse,
    policy: RolloutPolicy,
) -> RolloutLook:
    """Look at the rollout of a use case, if one is under way, and do what follows.

    Args:
        books: Where the champion is written down.
        warehouse: Dataset of the request log.
        policy: Stages and limits.

    Raises:
        ChampionError: somebody changed the champion outside the gate, or at the same moment.
        BrokenLogError: the log is not what was written.
    """
    moment = books.clock.now()
    _, pointer = settle(books)
    if pointer is None or pointer.rollout is None:
        number = pointer.number if pointer else None
        return RolloutLook(champion=number, reasons=["no rollout is under way"])
    rollout = pointer.rollout
    candidate, champion, problem = _figures(warehouse, policy, pointer, rollout)
    decision = decide_stage(policy, rollout, candidate, champion, moment)
    reasons = [*decision.reasons, *([problem] if problem else [])]
    after = pointer
    if decision.action == "advance":
        after = advance(books, rollout, policy, reason="; ".join(reasons))
    elif decision.action == "withdraw":
        after = withdraw(
            books, rollout, reason="; ".join(reasons), is_candidate=decision.is_candidate
        )
    look = RolloutLook(
        champion=after.number,
        rollout=rollout,
        action=decision.action,
        reasons=reasons,
        stage_after=after.rollout.stage if after.rollout else None,
        candidate_figures=candidate,
        champion_figures=champion,
    )
    if not problem:
        warehouse.merge(ROLLOUTS, [rollout_row(books.use_case, look, moment)])
    return look


def rollout_row(use_case: str, look: RolloutLook, moment: dt.datetime) -> dict[str, Any]:
    """A look's row of the table `rollouts`.

    Raises:
        ValueError: there was no rollout to look at.
    """
    rollout = look.rollout
    if rollout is None:
        raise ValueError("no rollout was under way")
    candidate = look.candidate_figures or OnlineFigures()
    champion = look.champion_figures or OnlineFigures()
    return {
        "use_case": use_case,
        "looked": moment.isoformat(),
        "started": rollout.started,
        "candidate": rollout.candidate.candidate,
        "model": rollout.candidate.model,
        "decision": rollout.candidate.decision_id,
        "stage": rollout.stage,
        "share": rollout.share,
        "action": look.action,
        "reasons": look.reasons,
        "requests": candidate.requests,
        "failed": candidate.failed,
        "blocked": candidate.blocked,
        "latency_p95_seconds": candidate.latency_p95_seconds,
        "champion_latency_p95_seconds": champion.latency_p95_seconds,
        "quality": candidate.quality,
        "champion_quality": champion.quality,
    }


def _figures(
    warehouse: Warehouse, policy: RolloutPolicy, pointer: Champion, rollout: Rollout
) -> tuple[OnlineFigures | None, OnlineFigures | None, str]:
    """Of candidate and champion; and what went wrong when they cannot be read."""
    from google.api_core.exceptions import GoogleAPIError

    quality = policy.limits.quality
    try:
        champion = read_figures(
            warehouse,
            pointer.use_case,
            pointer,
            ["champion"],
            rollout.started,
            quality=quality,
        )
        candidate = read_figures(
            warehouse,
            pointer.use_case,
            rollout.candidate,
            ["candidate", "mirror"],
            rollout.since,
            slower_than=latency_limit(policy, champion),
            quality=quality,
        )
    except GoogleAPIError as error:
        return None, None, str(error)[:300]
    return candidate, champion, ""
