"""Of several runs that want the same evaluation, one is at it; the others wait, but not forever."""

from __future__ import annotations

import logging

from genaiops_dagster.evaluation.alone import (
    CLAIM_SECONDS,
    LONGEST_WAIT_SECONDS,
    StillEvaluatedError,
    alone,
)
from genaiops_dagster.records.claims import Claim
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.layout import Layout
from tests.machines.cloud import Cloud
from tests.machines.simulation import Worker

LOG = logging.getLogger(__name__)


def begin(cloud: Cloud, subject: str = "model") -> Worker:
    """A run that evaluates; its result is when it got to it."""

    def evaluate(clock: Clock) -> float:
        with alone(cloud.store, "u", subject, clock, LOG):
            return clock.elapsed()

    return cloud.simulation.start("evaluation", evaluate)


def go_on(cloud: Cloud, worker: Worker) -> None:
    """Let a run go on until it waits or ends."""
    while not worker.ended and (worker.wakes is None or worker.wakes <= cloud.simulation.seconds):
        cloud.simulation.step(worker)


def test_a_run_waits_until_the_other_has_ended_and_no_longer() -> None:
    cloud = Cloud()
    with alone(cloud.store, "u", "model", cloud.simulation.clock_of(), LOG):
        waiting, other = begin(cloud), begin(cloud, "another model")
        go_on(cloud, other)
        assert other.result == 0.0
        for _ in range(20):
            cloud.simulation.seconds += 1.0
            go_on(cloud, waiting)
        assert not waiting.ended
    cloud.simulation.rest()
    assert waiting.result == 21.0


def test_a_run_that_died_holds_nobody_up() -> None:
    cloud = Cloud()
    name = Layout("u").evaluation_claim("model")
    assert Claim(cloud.store, name, CLAIM_SECONDS, cloud.simulation.clock_of()).take()
    waiting = begin(cloud)
    cloud.simulation.rest()
    assert waiting.result == CLAIM_SECONDS


def test_a_run_gives_up_when_another_never_ends() -> None:
    cloud = Cloud()
    name = Layout("u").evaluation_claim("model")
    holder = Claim(cloud.store, name, CLAIM_SECONDS, cloud.simulation.clock_of())
    assert holder.take()
    waiting = begin(cloud)
    while not waiting.ended:
        go_on(cloud, waiting)
        assert cloud.simulation.seconds <= LONGEST_WAIT_SECONDS
        cloud.simulation.seconds += 600.0
        holder.release()
        assert holder.take()
    assert isinstance(waiting.error, StillEvaluatedError)
    assert "Nothing was paid here" in str(waiting.error)
