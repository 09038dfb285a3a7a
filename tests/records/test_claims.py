"""Claims: one process at a time, and how long the others respect it."""

from __future__ import annotations

import pytest

from genaiops_dagster.records.claims import Claim
from tests.machines.cloud import Cloud


def contender(cloud: Cloud) -> Claim:
    return Claim(cloud.store, "u/claim.json", 4.0, cloud.simulation.clock_of())


@pytest.mark.parametrize(("seconds", "taken"), [(3.9, False), (4.0, True)])
def test_a_claim_is_respected_for_its_time_after_it_was_first_seen(
    seconds: float, taken: bool
) -> None:
    cloud = Cloud()
    assert contender(cloud).take()
    cloud.simulation.seconds += 100.0
    other = contender(cloud)
    assert not other.take()
    cloud.simulation.seconds += seconds
    assert other.take() == taken


def test_the_time_begins_anew_with_a_new_holder() -> None:
    cloud = Cloud()
    first, waiting, second = contender(cloud), contender(cloud), contender(cloud)
    assert first.take()
    assert not waiting.take()
    cloud.simulation.seconds += 3.0
    first.release()
    assert second.take()
    cloud.simulation.seconds += 3.0
    assert not waiting.take()


@pytest.mark.parametrize(("seconds", "fresh"), [(0.9, True), (1.0, False)])
def test_a_claim_is_used_at_once_or_not_at_all(seconds: float, fresh: bool) -> None:
    cloud = Cloud()
    claim = contender(cloud)
    assert not claim.is_fresh()
    assert claim.take()
    cloud.simulation.seconds += seconds
    assert claim.is_fresh() == fresh


def test_a_claim_that_was_given_back_is_not_held() -> None:
    cloud = Cloud()
    claim, other = contender(cloud), contender(cloud)
    assert claim.take()
    claim.release()
    assert not claim.is_fresh()
    assert other.take()
