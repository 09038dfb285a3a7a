"""The dice of faults: which calls are struck, and with what."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pytest

from vertex_emulator.calls import Call
from vertex_emulator.fault_kinds import (
    Error,
    FaultPlanError,
    Job,
    Judge,
    Latency,
    parse_plan,
)
from vertex_emulator.faults import FaultBook

CALL = Call("vertex", "generateContent", "gemini-3.5-flash", "/v1/x")


def book(text: str) -> FaultBook:
    return FaultBook(parse_plan(text.encode()))


def test_latencies_follow_their_distribution() -> None:
    dice = random.Random(1)
    uniform = Latency(kind="latency", distribution="uniform", seconds=0.1, max_seconds=0.3)
    drawn = [uniform.draw(dice) for _ in range(500)]
    assert 0.1 <= min(drawn) < 0.11
    assert 0.29 < max(drawn) <= 0.3
    lognormal = Latency(kind="latency", distribution="lognormal", seconds=0.2, sigma=0.5)
    drawn = [lognormal.draw(dice) for _ in range(4000)]
    assert statistics.median(drawn) == pytest.approx(0.2, rel=0.05)
    assert statistics.stdev(map(math.log, drawn)) == pytest.approx(0.5, rel=0.05)


def test_the_same_calls_meet_the_same_faults() -> None:
    plan = "{seed: 5, faults: [{kind: error, probability: 0.3}]}"
    runs = []
    for _ in range(2):
        faults = book(plan)
        runs.append([faults.first(CALL, Error) is not None for _ in range(50)])
    assert runs[0] == runs[1]
    assert 5 < sum(runs[0]) < 25


def test_dice_of_one_fault_do_not_depend_on_the_others() -> None:
    alone = book("[{kind: error, probability: 0.5}]")
    beside = book("[{kind: error, probability: 0.5}, {kind: latency, seconds: 1}]")
    for _ in range(30):
        beside.first(CALL, Latency)
        assert (alone.first(CALL, Error) is None) == (beside.first(CALL, Error) is None)


def test_a_judgement_meets_the_same_dice_in_any_order() -> None:
    plan = "{seed: 2, faults: [{kind: judge, noise: 1.0, model: gemini-*}]}"

    def noise(keys: Any) -> Any:
        faults = book(plan)
        drawn = {}
        for key in keys:
            matched = faults.judge("gemini-3.5-flash", key)
            assert matched is not None
            fault, dice = matched
            assert isinstance(fault, Judge)
            drawn[key] = dice.gauss(0, fault.noise)
        return drawn

    assert noise("abc") == noise("cba")
    assert len(set(noise("abc").values())) == 3
    assert book(plan).judge("other", "a") is None


def test_a_job_is_matched_by_collection_model_and_name() -> None:
    faults = book("{kind: job, method: tuningJobs.run, model: gemini-3.5-*, outcome: fail}")
    name = "projects/p/locations/l/tuningJobs/1"
    assert faults.job("batchPredictionJobs", "gemini-3.5-flash", name) is None
    assert faults.job("tuningJobs", "gemini-3.1-flash-lite", name) is None
    found = faults.job("tuningJobs", "gemini-3.5-flash", name)
    assert isinstance(found, Job)
    assert found.outcome == "fail"


def test_a_quota_lets_its_number_through_and_tells_when_to_come_back() -> None:
    faults = book("{kind: quota, requests_per_minute: 3, model: gemini-3.5-flash}")
    found = [faults.over_quota(faults.matching(CALL)) for _ in range(4)]
    assert found[:3] == [None, None, None]
    assert found[3] is not None
    quota, wait = found[3]
    assert quota.requests_per_minute == 3
    assert 1 <= wait <= 60
    other = Call("vertex", "generateContent", "other", "/")
    assert faults.over_quota(faults.matching(other)) is None


@pytest.mark.parametrize(
    "text",
    [
        "{kind: latency, seconds: 2, max_seconds: 1, distribution: uniform}",
        "{kind: latency, seconds: .nan}",
        "{kind: error, probability: 2}",
        "just text",
        "{faults: 3}",
    ],
)
def test_a_plan_that_is_none_names_what_is_wrong(text: str) -> None:
    with pytest.raises(FaultPlanError, match=r"\w+"):
        parse_plan(text.encode())
