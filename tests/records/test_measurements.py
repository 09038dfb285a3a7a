"""What was measured: noted once, never taken back, and looked up by its newest digest."""

from __future__ import annotations

import pytest

from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.measurements import anchor, differences, measured, measurement_log
from tests.machines.cloud import Cloud


def test_the_newest_digest_counts_and_each_was_measured() -> None:
    cloud = Cloud()
    clock = cloud.simulation.clock_of()
    anchor(cloud.store, "u", {"report/1": "a", "report/2": "b"}, clock)
    anchor(cloud.store, "u", {"report/1": "c"}, clock)
    assert measured(cloud.store, "u") == {"report/1": "c", "report/2": "b"}
    entries = measurement_log(cloud.store, "u").read()
    assert [*differences(entries, {"report/1": "a"})] == []
    forged = {"report/1": "b", "report/2": "b", "report/3": "a"}
    assert [*differences(entries, forged)] == ["report/1", "report/3"]


@pytest.mark.parametrize(
    ("again", "noted"),
    [
        ({"report/1": "a"}, []),
        ({}, []),
        ({"report/1": "a", "report/2": "b"}, [{"report/2": "b"}]),
        ({"report/1": "b"}, [{"report/1": "b"}]),
    ],
)
def test_only_what_is_new_is_noted(again: dict[str, str], noted: list[dict[str, str]]) -> None:
    cloud = Cloud()
    clock = cloud.simulation.clock_of()
    anchor(cloud.store, "u", {"report/1": "a"}, clock)
    anchor(cloud.store, "u", again, clock)
    entries = measurement_log(cloud.store, "u").read()
    assert [entry.digests for entry in entries[1:]] == noted


def test_two_that_measure_at_the_same_moment_are_both_noted() -> None:
    cloud = Cloud()

    def task(clock: Clock) -> None:
        anchor(cloud.store, "u", {"report/1": "a"}, clock)

    worker = cloud.simulation.start("first", task)
    while not worker.call.startswith(f"write {Layout('u').measurement(1)}"):
        cloud.simulation.step(worker)
    anchor(cloud.store, "u", {"report/2": "b"}, cloud.simulation.clock_of())
    cloud.simulation.rest()
    assert worker.error is None
    assert measured(cloud.store, "u") == {"report/1": "a", "report/2": "b"}
