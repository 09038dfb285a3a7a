"""What online figures mean for a rollout."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from genaiops_dagster.records.promotion import Rollout
from genaiops_dagster.serving.watching.online import OnlineFigures, decide_stage
from genaiops_dagster.use_case.serving import RolloutPolicy
from tests.promotion.examples import make_champion

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
POLICY = RolloutPolicy.model_validate(
    {
        "stages": [{"share": 0.1}, {"share": 1, "minimum_requests": 1000}],
        "minimum_requests": 100,
        "dwell_minutes": 60,
        "silence_minutes": 30,
        "limits": {
            "error_rate": 0.02,
            "blocked_rate": 0.05,
            "latency_p95_seconds": 2.0,
            "quality": {"metric": "rating", "no_worse_by": 0.1, "minimum_rows": 20},
        },
    }
)
GOOD: dict[str, Any] = {
    "requests": 200,
    "answered": 199,
    "failed": 1,
    "slow": 3,
    "latency_p95_seconds": 1.0,
    "newest": (NOW - dt.timedelta(minutes=1)).isoformat(),
    "quality": 0.8,
    "quality_variance": 0.04,
    "quality_rows": 50,
}
CHAMPION = OnlineFigures(**GOOD)


def judge(minutes: float = 90, share: float = 0.1, **changes: Any) -> tuple[str, str]:
    since = (NOW - dt.timedelta(minutes=minutes)).isoformat()
    rollout = Rollout(
        candidate=make_champion(2),
        stage="10 %",
        share=share,
        mirrored=0,
        started=since,
        since=since,
    )
    found = decide_stage(POLICY, rollout, OnlineFigures(**GOOD | changes), CHAMPION, NOW)
    return found.action, "; ".join(found.reasons)


def test_good_figures_go_on() -> None:
    assert judge() == ("advance", "all limits hold over 200 requests")


@pytest.mark.parametrize(
    "changes",
    [{"requests": 99}, {"minutes": 59}, {"share": 1.0}, {"share": 1.0, "requests": 999}],
)
def test_a_stage_has_its_minimum_of_requests_and_time(changes: dict[str, Any]) -> None:
    assert judge(**changes)[0] == "wait"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"failed": 5}, "5 of 200 requests failed"),
        ({"blocked": 11}, "11 of 200 requests blocked"),
        ({"slow": 10}, "10 of 199 requests slower than 2 s"),
        ({"quality": 0.69}, "rating is 0.69"),
    ],
)
def test_a_crossed_limit_ends_it(changes: dict[str, Any], reason: str) -> None:
    action, said = judge(**changes)
    assert action == "withdraw"
    assert reason in said


def test_early_in_a_stage_only_what_is_beyond_doubt_ends_it() -> None:
    assert judge(minutes=5, requests=30, answered=29, failed=1)[0] == "wait"
    assert judge(minutes=5, requests=30, answered=22, failed=8)[0] == "withdraw"
    assert judge(minutes=5, requests=3, answered=0, failed=3)[0] == "wait"
    assert judge(minutes=5, requests=30, answered=30, slow=12)[0] == "withdraw"
    assert judge(minutes=5, quality=0.65, quality_rows=20)[0] == "wait"
    assert judge(minutes=5, quality=0.2, quality_rows=20)[0] == "withdraw"


def test_chance_alone_rarely_ends_a_stage_early() -> None:
    """A candidate with half of the errors that are allowed, looked at after every request."""
    import random

    dice, ended = random.Random(7), 0
    for _ in range(200):
        failed = 0
        for requests in range(1, 100):
            failed += dice.random() < 0.01
            figures = {"requests": requests, "answered": requests - failed, "failed": failed}
            if judge(minutes=5, **figures, slow=0)[0] == "withdraw":
                ended += 1
                break
    assert ended <= 4


def test_missing_data_ends_it_without_blaming_the_candidate() -> None:
    late = (NOW - dt.timedelta(minutes=31)).isoformat()
    action, reason = judge(newest=late)
    assert (action, "no request of the candidate" in reason) == ("withdraw", True)
    assert judge(requests=0, answered=0, failed=0, slow=0, newest=None, minutes=31)[0] == "withdraw"
    assert judge(requests=0, answered=0, failed=0, slow=0, newest=None, minutes=29)[0] == "wait"
    assert judge(quality_rows=3)[0] == "wait"
    assert judge(quality_rows=3, minutes=91)[0] == "withdraw"


def test_figures_that_cannot_be_read_are_missing_data() -> None:
    def at(minutes: float) -> Any:
        since = (NOW - dt.timedelta(minutes=minutes)).isoformat()
        rollout = Rollout(
            candidate=make_champion(2), stage="10 %", share=0.1, mirrored=0, started=since,
            since=since,
        )  # fmt: skip
        return decide_stage(POLICY, rollout, None, None, NOW)

    assert at(29).action == "wait"
    assert (at(31).action, at(31).is_candidate) == ("withdraw", False)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([{"share": 0.5}, {"share": 0.25}], "must grow"),
        ([{"share": 0.5}, {"share": 0.5}], "must grow"),
        ([{"share": 0}], "sends the candidate no request"),
        ([{"share": 1.5}], "less than or equal to 1"),
        ([], "at least 1 item"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(
    stages: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RolloutPolicy.model_validate({"stages": stages})


def test_a_changed_file_changes_what_follows() -> None:
    assert POLICY.at(0.3).share == 0.1
    following = POLICY.after(0.3)
    assert following is not None
    assert following.share == 1
    assert POLICY.after(1.0) is None
