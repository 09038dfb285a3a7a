"""How fast to ask a service: as many requests at once as it takes, and again what may yet pass.

Several evaluations may use one quota at the same time, even from several processes: each grows by
a number and shrinks by a share, as TCP's congestion control does, so that they share it without
knowing of each other (Chiu and Jain 1989, https://doi.org/10.1016/0169-7552(89)90019-6).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from genaiops_dagster.budget.ledger import Usage
from genaiops_dagster.evaluation.asking.cache import RecordCache
from genaiops_dagster.evaluation.asking.counting import Counter
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.record import Record

T = TypeVar("T")
R = TypeVar("R", bound=Record)

Progress = Callable[[int, int], None]
"""Takes how many rows are done, and of how many."""

_PROGRESS_SECONDS = 10.0

_TRANSPORT_LIBRARIES = {"aiohttp", "httpx", "httpx2", "requests", "urllib3"}
_OVERLOAD = {429, 503}
_TRANSIENT = {408, 500, 502, 503, 504}
_ACCESS = {401, 403, 404}
_NOT_SENT = ("Connect", "ClientConnect", "NewConnection", "Pool", "gaierror")
"""With what the names of errors begin that say that no request has left."""

_ENOUGH_LATENCIES = 40


class ServiceUnusableError(RuntimeError):
    """No request of this kind can succeed: no such model, or no permission."""


class RequestFailedError(RuntimeError):
    """One request ended without an answer, after all that could be tried."""


@dataclass
class AdaptiveLimit:
    """How many requests may be in flight: more while all go well, fewer when some are refused.

    It doubles with each round of clean answers until the first refusal (429 or 503), which halves
    it. From then on it grows by one a round, and each refusal takes a half: as much as the share of
    refused requests asks for, so that a service that refuses one request in ten whatever comes is
    still used to the full, and one that refuses all is left alone within a few rounds (Alizadeh et
    al. 2010, "Data Center TCP", https://doi.org/10.1145/1851182.1851192). Requests also start
    evenly over a round, because a burst is refused where the same requests in turn are not.

    Args:
        maximum: Never more than this.
        limit: Where it starts, in requests.
    """

    maximum: int
    limit: float = 4.0
    in_flight: int = 0
    _steep: bool = True
    _first_cut: float = 0.0
    _round_seconds: float = 0.0
    _next_start: float = 0.0
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.limit = min(self.limit, self.maximum)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait until a request may start; it is in flight until the block ends."""
        while self.in_flight >= max(1, int(self.limit)):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()
                raise
        self.in_flight += 1
        try:
            if not self._steep:
                await self._pace()
            yield
        finally:
            self.in_flight -= 1
            self._wake()

    async def _pace(self) -> None:
        """Wait for the start of the next request, when a round's are spread evenly over it."""
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        self._next_start = start + self._round_seconds / self.limit
        if start > now:
            await asyncio.sleep(start - now)

    def answered(self, latency_seconds: float) -> None:
        """A request went well; the limit grows if it was in use."""
        self._round_seconds += (latency_seconds - self._round_seconds) / 10
        if self.in_flight >= int(self.limit):
            self.limit = min(self.maximum, self.limit + (1.0 if self._steep else 1 / self.limit))
        self._wake()

    def refused(self, started: float) -> None:
        """A request that started at `started`, in seconds of the event loop, was too much."""
        if self._steep:
            self._steep = False
            self._first_cut = asyncio.get_running_loop().time()
            self.limit = max(1.0, self.limit / 2)
        elif started >= self._first_cut:  # the halving was for all that were in flight then
            self.limit = max(1.0, self.limit - 0.5)

    def _wake(self) -> None:
        free = max(1, int(self.limit)) - self.in_flight
        while free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1


@dataclass
class Patience:
    """How long to wait for a service and how often to ask again, for all requests to it together.

    Attributes:
        request_seconds: Longest wait for one response. Once enough responses came, it is 8 times
            the 95th percentile of their latency if that is less, and 5 seconds at least, so that
            a request that hangs does not hold everybody up.
        deadline_seconds: Longest time for one row, all attempts together.
        attempts: Most attempts for one row, refusals for quota (429) not counted.
        retries_left: Retry budget: each row adds half a retry, each retry takes one. When most
            requests fail it runs out, and rows fail at once instead of hammering the service.
        pause_seconds: Mean wait before the first retry of a row; it doubles with each, to 30.
    """

    request_seconds: float = 120.0
    deadline_seconds: float = 900.0
    attempts: int = 8
    retries_left: float = 20.0
    pause_seconds: float = 0.25
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=400))
    _under_way: set[asyncio.Timeout] = field(default_factory=set)

    def timeout(self) -> float:
        """How long the next request may take, in seconds."""
        if len(self._latencies) < _ENOUGH_LATENCIES:
            return self.request_seconds
        slow = sorted(self._latencies)[int(0.95 * len(self._latencies))]
        return min(self.request_seconds, max(5.0, 8 * slow))

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[float]:
        """A request under way, which is given up after the time that this gives, in seconds."""
        async with asyncio.timeout(seconds := self.timeout()) as timeout:
            self._under_way.add(timeout)
            try:
                yield seconds
            finally:
                self._under_way.discard(timeout)

    def pause_before_retry(self, attempts: int) -> float:
        """How long to wait after a number of attempts, in seconds, with jitter."""
        doubled: float = self.pause_seconds * 2.0 ** min(attempts - 1, 16)
        return min(30.0, doubled) * random.uniform(0.5, 1.5)  # noqa: S311 - no secret

    def observe(self, latency_seconds: float) -> None:
        """Learn from a request that went well."""
        self._latencies.append(latency_seconds)
        if len(self._latencies) == _ENOUGH_LATENCIES:
            self._hurry()

    def _hurry(self) -> None:
        """Hold the first requests, too, to what is known now: one of them may hang."""
        for timeout in self._under_way:
            latest = asyncio.get_running_loop().time() + self.timeout()
            timeout.reschedule(min(latest, timeout.when() or latest))


@dataclass
class PaidService(Generic[R]):
    """A service that is paid by request: asked only on a cache miss, and cached at once.

    Attributes:
        cache: What was paid for before.
        limit: Shared by all that use the same quota.
        patience: With this service.
        counter: Counts each record that is paid for; None where somebody else does.
    """

    cache: RecordCache[R]
    limit: AdaptiveLimit
    patience: Patience
    counter: Counter[R] | None = None

    async def get(self, key: str, send: Callable[[float], Awaitable[R]]) -> R:
        """The record filed under `key`, or what `send` brings if there is none.

        Raises:
            RequestFailedError, ServiceUnusableError: as `persist` does.
            CacheMissError: the run is strict and there is none.
        """
        found = self.cache.get(key)
        if found is not None:
            return found
        answer, requests = await persist(send, self.limit, self.patience)
        self.keep(key, answer, requests)
        return answer

    def keep(self, key: str, record: R, requests: int = 1) -> None:
        """Cache and count a record that was paid for, with `requests` that used as much each."""
        if self.counter is None:
            self.cache.put(key, record)
            return
        used = sum([self.counter.used(record)] * requests, Usage())
        self.cache.put(key, record, self.counter.payment.receipt(used))
        self.counter.payment.add(used)


async def persist(
    send: Callable[[float], Awaitable[T]], limit: AdaptiveLimit, patience: Patience
) -> tuple[T, int]:
    """Send a request until it is answered, or until trying again is pointless.

    A request whose answer was lost on the way may have been answered, and so is charged;
    its usage is assumed to be that of the same request when it is answered.

    Args:
        send: Sends the request once; its argument is the timeout in seconds.
        limit: Shared by all requests that use one quota.
        patience: Shared by all requests to one service.

    Returns:
        The answer, and how many requests were answered for it: those whose answers were lost, and
        the last one.

    Raises:
        RequestFailedError: the request was wrong, or attempts, time or retries ran out.
        ServiceUnusableError: 401, 403 or 404, which every other request would get, too.
    """
    deadline = asyncio.get_running_loop().time() + patience.deadline_seconds
    patience.retries_left += 0.5
    failures = refusals = lost = 0
    while True:
        async with limit.slot():
            started = asyncio.get_running_loop().time()
            try:
                async with patience.waiting() as timeout_seconds:
                    result = await send(timeout_seconds)
            except Exception as error:  # what it is decides what happens next
                failure = _read(error)
                if failure is None:
                    raise
                if failure.overload:
                    limit.refused(started)
            else:
                latency = asyncio.get_running_loop().time() - started
                patience.observe(latency)
                limit.answered(latency)
                return result, lost + 1
        if failure.kind == "access":
            raise ServiceUnusableError(failure.message)
        lost += failure.answer_lost
        refusals += failure.kind == "quota"
        failures += failure.kind != "quota"
        wait = failure.retry_after
        if wait is None:
            wait = patience.pause_before_retry(failures + refusals)
        gave_up = _reason_to_give_up(
            failure, failures, patience, deadline - asyncio.get_running_loop().time() - wait
        )
        if gave_up:
            raise RequestFailedError(f"{failure.message} ({gave_up})")
        await asyncio.sleep(wait)


def log_progress(log: logging.Logger, subject: str, clock: Clock) -> Progress:
    """Logs how many rows of `subject` are done, every ten seconds and at the end."""
    last = clock.elapsed()

    def report(done: int, total: int) -> None:
        nonlocal last
        if done == total or clock.elapsed() - last >= _PROGRESS_SECONDS:
            last = clock.elapsed()
            log.info("%s: %s of %s rows (%s)", subject, done, total, f"{done / total:.0%}")

    return report


async def map_in_order(
    work: Callable[[int], Awaitable[T]], count: int, workers: int, progress: Progress
) -> list[T]:
    """Results of `work` for 0 to `count` - 1, in this order, `workers` at a time.

    The first exception ends all work under way and is raised.
    """
    results: dict[int, T] = {}
    indexes = iter(range(count))

    async def run() -> None:
        for index in indexes:
            results[index] = await work(index)
            progress(len(results), count)

    tasks = [asyncio.create_task(run()) for _ in range(min(workers, count))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [results[index] for index in range(count)]


def _reason_to_give_up(
    failure: _Failure, failures: int, patience: Patience, seconds_left: float
) -> str | None:
    if failure.kind == "wrong":
        return "not tried again"
    if seconds_left <= 0:
        return f"{patience.deadline_seconds:g} seconds are over"
    if failure.kind == "quota":
        return None
    if failures >= patience.attempts:
        return f"{failures} attempts"
    if patience.retries_left < 1:
        return "most requests fail"
    patience.retries_left -= 1
    return None


@dataclass(frozen=True)
class _Failure:
    """The meaning of a client library's exception for its request."""

    kind: Literal["quota", "transient", "access", "wrong"]
    overload: bool
    retry_after: float | None
    message: str
    answer_lost: bool = False


def _read(error: Exception) -> _Failure | None:
    """The meaning of an exception, or None when no service or network raised it."""
    status = getattr(error, "code", None)
    if isinstance(status, int):
        kind: Literal["quota", "transient", "access", "wrong"] = "wrong"
        if status == 429:
            kind = "quota"
        elif status in _TRANSIENT:
            kind = "transient"
        elif status in _ACCESS:
            kind = "access"
        message = getattr(error, "message", None) or str(error)
        return _Failure(
            kind, status in _OVERLOAD, _retry_after(error), f"{int(status)} {message}"[:500]
        )
    library = type(error).__module__.partition(".")[0]
    if isinstance(error, (TimeoutError, OSError)) or library in _TRANSPORT_LIBRARIES:
        name = type(error).__name__
        return _Failure("transient", False, None, name, not name.startswith(_NOT_SENT))
    return None


def _retry_after(error: Exception) -> float | None:
    """Seconds of the response's Retry-After header, where there is one in seconds."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    value = headers.get("retry-after") or headers.get("Retry-After")
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:  # an HTTP date
        return None
