"""Figures of a load test, from samples whose truth is known."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest

from genaiops_dagster.budget.pricing import PriceList
from genaiops_dagster.evaluation.asking.inference import Model
from genaiops_dagster.promotion.objective import check_objective
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.prompts.tokens import user_message
from genaiops_dagster.serving.load_testing.generator import Arrivals
from genaiops_dagster.serving.load_testing.load_test import (
    LoadTask,
    build_load_test,
    estimate_load,
    summarize_step,
)
from genaiops_dagster.use_case import GenerationConfig, Prompt
from genaiops_dagster.use_case.budget import ModelPrice
from genaiops_dagster.use_case.serving import LoadObjective, LoadStep, LoadTestPolicy


def closed(users: int, latency: float, rounds: int) -> list[dict[str, Any]]:
    """A closed loop whose users each wait `latency` seconds for every answer."""
    return [
        sample(begin := round_ * latency, begin, begin + latency)
        for round_ in range(rounds)
        for _ in range(users)
    ]


def opened(rate: float, capacity: float, seconds: float) -> list[dict[str, Any]]:
    """An open loop on a service that answers `capacity` requests a second, one by one."""
    free, samples = 0.0, []
    for number in range(int(rate * seconds)):
        intended = number / rate
        sent = max(intended, free)
        free = sent + 1 / capacity
        samples.append(sample(intended, sent, free))
    return samples


def sample(intended: float, sent: float, done: float, error: str | None = None) -> dict[str, Any]:
    first = sent + (done - sent) / 2
    return {"intended": intended, "sent": sent, "first": first, "done": done, "error": error}


def test_a_closed_loop_has_as_many_answers_as_its_users_have_time_for() -> None:
    result = summarize_step(LoadStep(users=4, seconds=10), closed(4, 0.5, 20))
    assert result.throughput == pytest.approx(8.0)
    assert result.latency.p50 == result.latency.p99 == pytest.approx(0.5)
    assert result.first_token.p95 == pytest.approx(0.25)
    assert (result.requests, result.failed, result.lateness_p95_seconds) == (80, 0, 0)


def test_waiting_for_a_busy_service_counts_as_latency() -> None:
    """Counted from sending, each of these requests took 0.1 s: the waiting was left out."""
    result = summarize_step(LoadStep(rate=20, seconds=10), opened(20, 10, 10))
    assert result.throughput == pytest.approx(10, rel=0.01)
    waits = [0.1 + n * 0.05 for n in range(200)]
    assert result.latency.p50 == pytest.approx(sorted(waits)[100], rel=0.02)
    assert result.latency.p95 == pytest.approx(sorted(waits)[190], rel=0.02)
    assert result.lateness_p95_seconds > 9


def test_below_its_capacity_a_service_answers_what_arrives() -> None:
    result = summarize_step(LoadStep(rate=5, seconds=20), opened(5, 10, 20))
    assert result.throughput == pytest.approx(5)
    assert result.latency.p99 == pytest.approx(0.1)


def test_errors_are_counted_and_are_not_fast_answers() -> None:
    samples = [
        *closed(1, 0.5, 15),
        *(sample(9.0, 9.0, 9.001, "429 RESOURCE_EXHAUSTED") for _ in range(5)),
    ]
    result = summarize_step(LoadStep(users=1), samples)
    assert result.errors == {"429 RESOURCE_EXHAUSTED": 5}
    assert result.error_rate == 0.25
    assert result.latency.p50 == pytest.approx(0.5)


def test_nothing_answered_is_no_figure() -> None:
    result = summarize_step(LoadStep(users=1), [sample(0, 0, 1, "503 UNAVAILABLE")])
    assert (result.latency.p50, result.throughput, result.error_rate) == (None, 0.0, 1.0)
    assert summarize_step(LoadStep(users=1), []).error_rate == 1.0


def steps() -> list[Any]:
    return [
        summarize_step(LoadStep(rate=rate, seconds=10), opened(rate, 10, 10)) for rate in (5, 8, 20)
    ]


@pytest.mark.parametrize(
    ("objective", "met"),
    [
        ({"at_most_seconds": 0.2, "rate": 5}, True),
        ({"at_most_seconds": 0.2, "rate": 8}, True),
        ({"at_most_seconds": 0.2, "rate": 10}, False),
        ({"at_most_seconds": 0.2}, False),
        ({"at_most_seconds": 20.0}, True),
        ({"at_most_seconds": 0.05, "rate": 5}, False),
    ],
)
def test_an_objective_holds_up_to_its_rate(objective: dict[str, Any], met: bool) -> None:
    assert check_objective(LoadObjective.model_validate(objective), steps())[0] is met


def test_errors_miss_the_objective() -> None:
    samples = [sample(n, n, n + 0.1, "503 UNAVAILABLE" if n < 2 else None) for n in range(100)]
    step = summarize_step(LoadStep(rate=1, seconds=100), samples)
    met, reasons, _ = check_objective(LoadObjective(at_most_seconds=1), [step])
    assert (met, reasons) == (False, ["1 requests a second: 2 of 100 requests failed"])


def test_arrivals_do_not_wait_for_answers() -> None:
    even = Arrivals({"rate": 10.0, "arrivals": "even", "seconds": 2}, 1000, seed=0)
    found = []
    while (at := even.take()) is not None:
        found.append(at - even.start)
    assert found == pytest.approx([n / 10 for n in range(20)], abs=1e-3)
    poisson = Arrivals({"rate": 10.0, "arrivals": "poisson", "seconds": 1000}, 100_000, seed=0)
    found = []
    while (at := poisson.take()) is not None:
        found.append(at - poisson.start)
    assert len(found) == pytest.approx(10_000, rel=0.04)
    gaps = [b - a for a, b in itertools.pairwise(found)]
    assert sum(gap > 0.1 for gap in gaps) / len(gaps) == pytest.approx(0.368, rel=0.05)


def test_no_more_requests_are_sent_than_were_paid_for() -> None:
    arrivals = Arrivals({"users": 3, "seconds": 60}, 5, seed=0)
    assert len([1 for _ in range(10) if arrivals.take() is not None]) == 5


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"steps": [{"users": 1, "rate": 1}]}, "exactly one of users and rate"),
        ({"steps": [{}]}, "exactly one of users and rate"),
        ({"objective": {"at_most_seconds": 1, "rate": 5}}, "no step has the objective's rate"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoadTestPolicy.model_validate(policy)


def test_what_may_be_sent_is_known_before() -> None:
    steps = [{"rate": 10, "seconds": 10}, {"rate": 2, "seconds": 50}]
    policy = LoadTestPolicy.model_validate({"steps": steps})
    assert 200 < policy.expected_requests < 300
    with_users = LoadTestPolicy.model_validate({"steps": [{"users": 1}], "most_requests": 70})
    assert with_users.expected_requests == 70


@pytest.mark.parametrize(("tools", "searches"), [([], 0.0), (["google_search"], 0.5)])
def test_every_request_of_a_load_test_is_paid(tools: Any, searches: float) -> None:
    prices = {"mine": ModelPrice(input=1.0, output=10.0, search=0.5)}
    listed = PriceList(dt.datetime(2026, 11, 20, tzinfo=dt.UTC), prices)
    policy = LoadTestPolicy.model_validate({"steps": [{"rate": 1, "seconds": 100}]})
    generation = GenerationConfig(max_output_tokens=100, tools=tools)
    task = LoadTask(
        use_case="words",
        policy=policy,
        candidate="flash",
        model=Model("mine", "mine", generation),
        prompt=version(Prompt(template="{{ question }}")),
        questions=[[user_message("one")], [user_message("two")]],
    )
    estimate = estimate_load(task, lambda _: 10, listed, emulated=False)
    one_request = (10 * 1 + 100 * 10) / 1e6 + searches
    assert estimate.maximum_usd == pytest.approx((policy.expected_requests + 1) * one_request)
    assert estimate.largest_request_usd == pytest.approx(one_request)

    sent = [
        {**found, "step": 0, "input_tokens": 10, "output_tokens": 100}
        for found in opened(1, 10, 100)
    ]
    test = build_load_test(task, sent, "gs://bucket/samples", listed, "2026-11-20", emulated=False)
    assert test.cost_usd == pytest.approx(100 * one_request)
