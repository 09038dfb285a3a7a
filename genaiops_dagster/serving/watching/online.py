"""Online figures of the models that serve, and what they mean for a rollout."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.records.promotion import Champion, Rollout
from genaiops_dagster.records.record import Record
from genaiops_dagster.serving.watching.feedback import RATED_REQUESTS, ensure_rated_requests
from genaiops_dagster.serving.watching.tables import ONLINE_SCORES
from genaiops_dagster.use_case.serving import OnlineQuality, RolloutPolicy

RATING = "rating"
"""Users' ratings, as a metric of online quality."""

_SURE = 0.99
"""Confidence with which a limit must be crossed before a stage has its minimum of requests."""
_FEW = 5
"""Fewer requests are not evidence of a crossed limit, whatever they show."""

Action = Literal["wait", "advance", "withdraw"]


class OnlineFigures(Record):
    """Requests to one model in a stretch of time.

    Attributes:
        requests, failed, blocked: Counts.
        slow: Answered requests that took longer than the limit in force; None without a limit.
        latency_p95_seconds: Of the answered ones; None without any.
        newest: Time of the newest request, ISO 8601; None without any.
        quality, quality_variance, quality_rows: Mean of the quality metric, its variance and how
            many answers have it.
    """

    requests: int = 0
    answered: int = 0
    failed: int = 0
    blocked: int = 0
    slow: int | None = None
    latency_p95_seconds: float | None = None
    newest: str | None = None
    quality: float | None = None
    quality_variance: float | None = None
    quality_rows: int = 0


class StageDecision(NamedTuple):
    """What to do, and why; `is_candidate` says whether the candidate is to blame."""

    action: Action
    reasons: list[str]
    is_candidate: bool = True


def read_figures(
    warehouse: Warehouse,
    use_case: str,
    served: Champion,
    arms: Sequence[str],
    since: str,
    *,
    slower_than: float | None = None,
    quality: OnlineQuality | None = None,
) -> OnlineFigures:
    """Figures of one model's requests, without those refused before any model was asked.

    Args:
        warehouse: Dataset of the request log.
        use_case: Name of the use case.
        served: The model, known by the decision that let it pass.
        arms: Parts of the traffic: `champion`, `candidate`, `mirror`.
        since: From when on, ISO 8601.
        slower_than: Seconds; how many answered requests took longer is counted.
        quality: Which metric is the quality.
    """
    ensure_rated_requests(warehouse)
    parameters = {
        "use_case": use_case,
        "decision": served.decision_id,
        "arms": list(arms),
        "since": dt.datetime.fromisoformat(since),
    }
    whose = (
        "use_case = @use_case AND decision = @decision AND arm IN UNNEST(@arms) "
        "AND created >= @since"
    )
    view = warehouse.table_id(RATED_REQUESTS)
    limit = math.inf if slower_than is None else slower_than
    found = next(
        warehouse.rows(
            f"""
            SELECT COUNT(*) AS requests,
              COUNTIF(state IN ('answered', 'truncated')) AS answered,
              COUNTIF(state = 'failed') AS failed,
              COUNTIF(state = 'blocked') AS blocked,
              COUNTIF(state IN ('answered', 'truncated') AND latency_seconds > @limit) AS slow,
              APPROX_QUANTILES(
                IF(state IN ('answered', 'truncated'), latency_seconds, NULL), 100
              )[OFFSET(95)] AS latency,
              MAX(created) AS newest
            FROM `{view}` WHERE {whose} AND state != 'refused'
            """,  # noqa: S608 - names come from Table constants
            {**parameters, "limit": min(limit, 1e9)},
        )
    )
    scores = None
    if quality is not None:
        source, where = (view, "rating IS NOT NULL")
        if quality.metric != RATING:
            source, where = warehouse.ensure_table(ONLINE_SCORES), "metric = @metric"
            parameters["metric"] = quality.metric
        score = "rating" if quality.metric == RATING else "score"
        scores = next(
            warehouse.rows(
                f"SELECT AVG({score}) AS mean, VAR_SAMP({score}) AS variance, "  # noqa: S608
                f"COUNT({score}) AS count FROM `{source}` WHERE {whose} AND {where}",
                parameters,
            )
        )
    newest = found["newest"]
    return OnlineFigures(
        requests=found["requests"],
        answered=found["answered"],
        failed=found["failed"],
        blocked=found["blocked"],
        slow=None if slower_than is None else found["slow"],
        latency_p95_seconds=found["latency"],
        newest=newest.isoformat() if newest else None,
        quality=scores["mean"] if scores else None,
        quality_variance=scores["variance"] if scores else None,
        quality_rows=scores["count"] if scores else 0,
    )


def latency_limit(policy: RolloutPolicy, champion: OnlineFigures) -> float | None:
    """Seconds that 95 % of the candidate's requests may take at most; None for any."""
    limits, times = policy.limits, policy.limits.latency_p95_times_champion
    found = [limits.latency_p95_seconds]
    if times is not None and champion.latency_p95_seconds is not None:
        found.append(times * champion.latency_p95_seconds)
    return min((limit for limit in found if limit is not None), default=None)


def decide_stage(
    policy: RolloutPolicy,
    rollout: Rollout,
    candidate: OnlineFigures | None,
    champion: OnlineFigures | None,
    now: dt.datetime,
) -> StageDecision:
    """Whether a candidate goes on, waits or has to go.

    A limit is crossed when the figure is above it at the end of the stage, or before that beyond
    reasonable doubt. Missing figures are not a reason to go on, and after a while they are a reason
    to stop.

    Args:
        policy: Stages and limits.
        rollout: The present stage.
        candidate: Its requests in this stage; None if they cannot be read.
        champion: The champion's requests since the rollout began; None if they cannot be read.
        now: The moment, in UTC.
    """
    stage = policy.at(rollout.share)
    age = now - dt.datetime.fromisoformat(rollout.since)
    silence = dt.timedelta(minutes=policy.silence_minutes)
    if candidate is None or champion is None:
        action: Action = "withdraw" if age > silence else "wait"
        return StageDecision(action, ["the online figures cannot be read"], is_candidate=False)
    dwell = policy.dwell_minutes if stage.dwell_minutes is None else stage.dwell_minutes
    needed = stage.minimum_requests or policy.minimum_requests
    lived = age >= dt.timedelta(minutes=dwell)
    at_end = lived and candidate.requests >= needed
    crossed = [
        *_crossed_shares(policy, candidate, champion, at_end=at_end),
        *_crossed_quality(policy.limits.quality, candidate, champion, at_end=at_end),
    ]
    if crossed:
        return StageDecision("withdraw", crossed)
    newest = dt.datetime.fromisoformat(candidate.newest or rollout.since)
    if now - newest > silence:
        minutes = (now - newest) / dt.timedelta(minutes=1)
        reason = f"no request of the candidate was recorded for {minutes:.0f} minutes"
        return StageDecision("withdraw", [reason], is_candidate=False)
    if not at_end:
        return StageDecision(
            "wait",
            [
                f"{candidate.requests} of {needed} requests, "
                f"{age / dt.timedelta(minutes=1):.0f} of {dwell:g} minutes"
            ],
        )
    missing = _missing_quality(policy.limits.quality, candidate, champion)
    if missing:
        overdue = age > dt.timedelta(minutes=dwell) + silence
        return StageDecision("withdraw" if overdue else "wait", [missing], is_candidate=False)
    return StageDecision("advance", [f"all limits hold over {candidate.requests} requests"])


def _crossed_shares(
    policy: RolloutPolicy, candidate: OnlineFigures, champion: OnlineFigures, *, at_end: bool
) -> Iterator[str]:
    limits, slowest = policy.limits, latency_limit(policy, champion)
    shares = [
        ("failed", candidate.failed, candidate.requests, limits.error_rate),
        ("blocked", candidate.blocked, candidate.requests, limits.blocked_rate),
    ]
    if slowest is not None and candidate.slow is not None:
        # The 95th percentile is above a limit when more than 5 % of the requests are.
        words = f"slower than {slowest:.3g} s"
        shares.append((words, candidate.slow, candidate.answered, 0.05))
    for what, count, of, limit in shares:
        if of and (count / of > limit if at_end else _surely_above(count, of, limit)):
            yield f"{count} of {of} requests {what}; at most {limit:.2%} may be"


def _surely_above(count: int, of: int, limit: float) -> bool:
    """Whether a share is above a limit by its exact one-sided bound (Clopper and Pearson, 1934)."""
    from scipy.stats import beta

    if of < _FEW or not count:
        return False
    return bool(beta.ppf(1 - _SURE, count, of - count + 1) > limit)


def _crossed_quality(
    quality: OnlineQuality | None,
    candidate: OnlineFigures,
    champion: OnlineFigures,
    *,
    at_end: bool,
) -> Iterator[str]:
    if quality is None or _missing_quality(quality, candidate, champion):
        return
    difference = (candidate.quality or 0.0) - (champion.quality or 0.0)
    error = math.sqrt(
        sum(
            (figures.quality_variance or 0.0) / figures.quality_rows
            for figures in (candidate, champion)
        )
    )
    doubt = 0.0 if at_end else 2.326 * error  # the 99 % quantile of the normal distribution
    if difference + doubt < -quality.no_worse_by:
        yield (
            f"{quality.metric} is {candidate.quality:.4g} on {candidate.quality_rows} answers, the "
            f"champion's is {champion.quality:.4g}; it may be {quality.no_worse_by:g} lower"
        )


def _missing_quality(
    quality: OnlineQuality | None, candidate: OnlineFigures, champion: OnlineFigures
) -> str:
    if quality is None:
        return ""
    for who, figures in (("candidate", candidate), ("champion", champion)):
        if figures.quality_rows < quality.minimum_rows:
            return (
                f"only {figures.quality_rows} answers of the {who} have a {quality.metric}; "
                f"{quality.minimum_rows} are needed"
            )
    return ""
