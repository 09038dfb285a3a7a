"""Requests get through as fast as a quota allows, each exactly once, whatever goes wrong."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from google.genai.errors import APIError

from genaiops_dagster.evaluation.asking.concurrency import (
    AdaptiveLimit,
    Patience,
    RequestFailedError,
    ServiceUnusableError,
    map_in_order,
    persist,
)

pytestmark = pytest.mark.looptime  # the event loop's time passes only where something waits


def now() -> float:
    return asyncio.get_running_loop().time()


class Service:
    """A service with a quota (requests a second, one second's worth at once) and a latency."""

    def __init__(self, per_second: float = 1e9, latency: float = 0.01) -> None:
        self.per_second, self.latency = per_second, latency
        self.tokens, self.filled = per_second, now()
        self.accepted = self.refused = self.busiest = self.in_flight = 0

    async def answer(self) -> str:
        passed = now() - self.filled
        self.tokens = min(self.per_second, self.tokens + passed * self.per_second)
        self.filled += passed
        if self.tokens < 1:
            self.refused += 1
            raise APIError(429, {"error": {"message": "Resource exhausted"}})
        self.tokens -= 1
        self.accepted += 1
        self.in_flight += 1
        self.busiest = max(self.busiest, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.in_flight -= 1
        return "yes"


async def ask_all(requests: int, send: Any, maximum: int = 32, **patience: Any) -> list[Any]:
    """Answers, or the errors that came instead."""
    limit, shared = AdaptiveLimit(maximum), Patience(**patience)
    found = await asyncio.gather(
        *(persist(send, limit, shared) for _ in range(requests)), return_exceptions=True
    )
    return [one if isinstance(one, BaseException) else one[0] for one in found]


async def test_takes_the_quota_and_hardly_more() -> None:
    service = Service(per_second=200, latency=0.05)
    started = now()
    answers = await ask_all(800, lambda _: service.answer())
    seconds = now() - started
    assert answers == ["yes"] * 800
    assert service.accepted == 800
    bound = (800 - 200) / 200  # the first second's worth is free
    assert seconds < 1.5 * bound + 0.5
    assert service.refused < 200, "refusals are the exception"


async def test_never_more_in_flight_than_allowed() -> None:
    service = Service(latency=0.01)
    await ask_all(100, lambda _: service.answer(), maximum=7)
    assert service.busiest == 7


async def test_two_evaluations_share_one_limit() -> None:
    service = Service(latency=0.01)
    limit = AdaptiveLimit(6)
    await asyncio.gather(
        *(persist(lambda _: service.answer(), limit, Patience()) for _ in range(60)),
        *(persist(lambda _: service.answer(), limit, Patience()) for _ in range(60)),
    )
    assert service.busiest == 6


async def test_evaluations_that_do_not_know_of_each_other_share_a_quota() -> None:
    service = Service(per_second=200, latency=0.05)
    started = now()
    first, second = AdaptiveLimit(32), AdaptiveLimit(32)
    done = {"first": 0.0, "second": 0.0}

    async def evaluate(name: str, limit: AdaptiveLimit) -> None:
        await asyncio.gather(
            *(persist(lambda _: service.answer(), limit, Patience()) for _ in range(300))
        )
        done[name] = now() - started

    await asyncio.gather(evaluate("first", first), evaluate("second", second))
    bound = (600 - 200) / 200
    assert max(done.values()) < 1.6 * bound + 0.5, "together they take the quota"
    assert min(done.values()) > 0.5 * max(done.values()), "neither starves the other"


async def test_errors_that_may_pass_are_tried_again() -> None:
    dice = random.Random(1)
    calls = 0

    async def send(_: float) -> str:
        nonlocal calls
        calls += 1
        if dice.random() < 0.3:
            raise APIError(dice.choice([500, 503, 429]), {})
        return "yes"

    answers = await ask_all(60, send)
    assert answers == ["yes"] * 60
    assert calls > 60


async def test_wrong_requests_are_not_tried_again() -> None:
    calls = 0

    async def send(_: float) -> str:
        nonlocal calls
        calls += 1
        raise APIError(400, {"error": {"message": "too long"}})

    with pytest.raises(RequestFailedError, match="400 too long"):
        await persist(send, AdaptiveLimit(4), Patience())
    assert calls == 1


async def test_a_model_that_is_not_there_ends_everything() -> None:
    async def send(_: float) -> str:
        raise APIError(404, {"error": {"message": "no such model"}})

    with pytest.raises(ServiceUnusableError, match="no such model"):
        await persist(send, AdaptiveLimit(4), Patience())


async def test_a_dead_service_is_not_hammered() -> None:
    calls = 0

    async def send(_: float) -> str:
        nonlocal calls
        calls += 1
        raise APIError(500, {})

    answers = await ask_all(100, send, retries_left=5)
    assert all(isinstance(answer, RequestFailedError) for answer in answers)
    assert calls <= 100 + 5 + 50, "each row once, and the retry budget"


async def test_retry_after_is_honoured() -> None:
    times = []

    async def send(_: float) -> str:
        times.append(now())
        if len(times) == 1:
            raise APIError(503, {}, SimpleNamespace(headers={"Retry-After": "0.4"}))
        return "yes"

    assert await persist(send, AdaptiveLimit(4), Patience()) == ("yes", 1)
    assert times[1] - times[0] >= 0.4


async def test_deadline_of_a_row_ends_refusals_that_never_end() -> None:
    async def send(_: float) -> str:
        raise APIError(429, {"error": {"message": "Resource exhausted"}})

    with pytest.raises(RequestFailedError, match=r"0\.5 seconds are over"):
        await persist(send, AdaptiveLimit(4), Patience(deadline_seconds=0.5))


async def test_a_request_that_hangs_is_sent_again() -> None:
    hung = False

    async def send(_: float) -> str:
        nonlocal hung
        if not hung:
            hung = True
            await asyncio.sleep(60)
        return "yes"

    found = await persist(send, AdaptiveLimit(4), Patience(request_seconds=0.1))
    assert found == ("yes", 2)  # the first may have been answered, too late


def test_timeout_follows_the_service() -> None:
    patience = Patience(request_seconds=120)
    assert patience.timeout() == 120
    for _ in range(100):
        patience.observe(0.2)
    assert patience.timeout() == 5
    for _ in range(400):
        patience.observe(3.0)
    assert patience.timeout() == pytest.approx(24)


async def test_a_bug_is_raised_and_not_retried() -> None:
    async def send(_: float) -> str:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await persist(send, AdaptiveLimit(4), Patience())


async def test_a_request_that_hangs_among_the_first_is_given_up_once_the_latency_is_known() -> None:
    asked = 0

    async def send(_: float) -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(3600 if asked == 1 else 0.1)
        return "yes"

    started = now()
    assert await ask_all(80, send) == ["yes"] * 80
    assert asked == 81
    assert now() - started < 10, "and not the 120 seconds that one request may take"


async def test_refusals_that_come_whatever_the_rate_do_not_throttle() -> None:
    dice = random.Random(1)

    async def send(_: float) -> str:
        await asyncio.sleep(0.005)
        if dice.random() < 0.1:
            raise APIError(429, {})
        return "yes"

    limit, patience = AdaptiveLimit(32), Patience(pause_seconds=0.002)
    await asyncio.gather(*(persist(send, limit, patience) for _ in range(1500)))
    assert limit.limit > 8


async def test_refusals_of_everything_end_the_hurry() -> None:
    limit = AdaptiveLimit(32, limit=32)

    async def send(_: float) -> str:
        raise APIError(429, {})

    patience = Patience(deadline_seconds=0.3, pause_seconds=0.01)
    await asyncio.gather(
        *(persist(send, limit, patience) for _ in range(32)), return_exceptions=True
    )
    assert limit.limit == 1


async def test_refusals_of_requests_before_the_first_one_count_as_one() -> None:
    limit = AdaptiveLimit(32, limit=32)
    started = now()
    await asyncio.sleep(1)
    for _ in range(8):
        limit.refused(started)
    assert limit.limit == 16
    limit.refused(now())
    assert limit.limit == 15.5


async def hold(limit: AdaptiveLimit, seconds: float, starts: list[float]) -> None:
    async with limit.slot():
        starts.append(now())
        await asyncio.sleep(seconds)


async def test_a_turn_that_nobody_takes_goes_to_the_next() -> None:
    """A row is cancelled at the moment when its turn comes."""
    limit, starts = AdaptiveLimit(1), list[float]()
    async with limit.slot():
        second, third = (asyncio.create_task(hold(limit, 1, starts)) for _ in range(2))
        await asyncio.sleep(1)
    second.cancel()
    await asyncio.wait_for(third, timeout=10)
    assert len(starts) == 1


async def test_who_waits_behind_one_that_was_cancelled_starts_in_time() -> None:
    limit, starts = AdaptiveLimit(2, limit=2), list[float]()
    begun = now()
    _, _, third, fourth = (
        asyncio.create_task(hold(limit, seconds, starts)) for seconds in (1, 100, 1, 1)
    )
    await asyncio.sleep(0.5)
    third.cancel()
    await fourth
    assert starts[2:] == [pytest.approx(begun + 1)]


async def test_a_row_is_sent_as_often_as_it_may_be() -> None:
    calls = 0

    async def send(_: float) -> str:
        nonlocal calls
        calls += 1
        raise APIError(500, {})

    with pytest.raises(RequestFailedError, match="3 attempts"):
        await persist(send, AdaptiveLimit(4), Patience(attempts=3))
    assert calls == 3


async def test_no_row_waits_for_what_comes_after_its_deadline() -> None:
    calls = 0

    async def send(_: float) -> str:
        nonlocal calls
        calls += 1
        raise APIError(503, {}, SimpleNamespace(headers={"Retry-After": "60"}))

    started = now()
    with pytest.raises(RequestFailedError, match="30 seconds are over"):
        await persist(send, AdaptiveLimit(4), Patience(deadline_seconds=30))
    assert (calls, now()) == (1, started)


async def test_the_first_error_ends_all_work() -> None:
    """Rows that are still asked would be paid for nothing."""
    done = 0

    async def work(row: int) -> None:
        nonlocal done
        await asyncio.sleep(1 + row)
        if row == 0:
            raise KeyError("bug")
        done += 1

    with pytest.raises(KeyError, match="bug"):
        await map_in_order(work, 100, 4, lambda *_: None)
    assert done == 0


class WindowService:
    """A service as the emulator makes one: after its latency it counts requests of the last second.

    Args:
        seed: Of latency and faults.
        errors: Share of the requests within the quota that get 429 or 503.
        hangs: Share of them that never end.
    """

    def __init__(self, seed: int, errors: float = 0.0, hangs: float = 0.0) -> None:
        self._dice = random.Random(seed)
        self._errors, self._hangs = errors, hangs
        self._recent: deque[float] = deque()
        self.answered: Counter[int] = Counter()

    async def answer(self, row: int, _: float) -> int:
        await asyncio.sleep(0.2 + 0.02 * self._dice.random())
        while self._recent and self._recent[0] <= now() - 1:
            self._recent.popleft()
        if len(self._recent) >= 50:
            raise APIError(429, {}, SimpleNamespace(headers={"Retry-After": "1"}))
        self._recent.append(now())
        fate = self._dice.random()
        if fate < self._hangs:
            await asyncio.sleep(1e6)
        if fate < self._hangs + self._errors:
            raise APIError(self._dice.choice([429, 503]), {})
        self.answered[row] += 1
        return row


@pytest.mark.parametrize(
    ("errors", "hangs", "most"), [(0.0, 0.0, 1.1), (0.1, 0.01, 1.5)], ids=["well", "badly"]
)
async def test_rows_that_two_services_handle_in_turn_take_little_more_than_the_quota_allows(
    errors: float, hangs: float, most: float
) -> None:
    random.seed(3)  # of the pauses before another attempt
    services = [WindowService(seed, errors, hangs) for seed in (1, 2)]
    ways = [(service, AdaptiveLimit(32), Patience()) for service in services]

    async def handle(row: int) -> int:
        for service, limit, patience in ways:
            row, _ = await persist(partial(service.answer, row), limit, patience)
        return row

    started = now()
    rows = await map_in_order(handle, 2000, 64, lambda *_: None)
    assert rows == list(range(2000))
    assert all(set(service.answered.values()) == {1} for service in services)
    assert now() - started < most * 2000 / 50
