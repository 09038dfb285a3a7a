"""Workers that run the project's own code, one call to the outside at a time.

A worker is a thread that stops before every call to a service. The simulation decides which worker
goes on, and how its call ends: so a crash, a lost acknowledgement or somebody else's write
can come between any two calls, and a seed brings the same history back.
"""

from __future__ import annotations

import datetime as dt
import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from google.api_core.exceptions import ServiceUnavailable, TooManyRequests

from genaiops_dagster.records.clock import Clock

T = TypeVar("T")

START = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)


class Fault(enum.Enum):
    """How a call ends."""

    NONE = "answered"
    CRASH_BEFORE = "the process dies before the call"
    CRASH_AFTER = "the process dies after the call, without its answer"
    LOST = "done, but the answer is lost, and the client gives up"
    REPEATED = "done, but the answer is lost; the client sends it again and gets that answer"
    BUSY = "503, not done"
    TOO_MANY = "429, not done"


class Crash(BaseException):
    """The process of a worker is gone; nothing that it still does reaches a service."""


@dataclass
class Worker:
    """A process that does one thing after another.

    Attributes:
        name: Shown in a failing history.
        skew: Seconds by which its clock is ahead.
        call: The call that it waits for; empty while it sleeps or has ended.
        wakes: When it goes on, in seconds of the simulation; None if it does not sleep.
        error: What its task raised.
        result: What its task returned.
    """

    name: str
    skew: float = 0.0
    call: str = ""
    wakes: float | None = None
    ended: bool = False
    crashed: bool = False
    error: Exception | None = None
    result: Any = None
    fault: Fault = Fault.NONE
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Simulation:
    """Time, workers and the order in which they go on."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.workers: list[Worker] = []
        self.history: list[str] = []
        self._threads: dict[int, Worker] = {}
        self._back = threading.Semaphore(0)

    def start(self, name: str, task: Callable[[Clock], Any], skew: float = 0.0) -> Worker:
        """Begin `task` in a worker of its own, up to its first call."""
        worker = Worker(name, skew)
        self.workers.append(worker)
        self.history.append(f"{name} begins")

        def run() -> None:
            self._threads[threading.get_ident()] = worker
            worker.turn.acquire()
            try:
                worker.result = task(self.clock_of(worker))
            except Crash:
                worker.crashed = True
            except Exception as error:  # noqa: BLE001 - what it is, the machine judges
                worker.error = error
                worker.crashed = worker.crashed or isinstance(error.__context__, Crash)
            finally:
                worker.ended, worker.call = True, ""
                del self._threads[threading.get_ident()]
                self._back.release()

        threading.Thread(target=run, name=name, daemon=True).start()
        self._go(worker)
        return worker

    @property
    def running(self) -> list[Worker]:
        """Workers that have not ended."""
        return [worker for worker in self.workers if not worker.ended]

    @property
    def ready(self) -> list[Worker]:
        """Workers that can go on now."""
        return [w for w in self.running if w.wakes is None or w.wakes <= self.seconds]

    def step(self, worker: Worker, fault: Fault = Fault.NONE) -> None:
        """Let a worker go on, up to its next call, its next sleep or its end."""
        self.history.append(f"{worker.name}: {worker.call or 'wakes'}: {fault.value}")
        worker.fault, worker.wakes = fault, None
        self._go(worker)

    def rest(self, limit: int = 5000) -> None:
        """Let everybody go on without faults until all have ended.

        Raises:
            AssertionError: somebody does not come to an end.
        """
        for _ in range(limit):
            if not self.running:
                return
            if not self.ready:
                self.seconds = min(w.wakes for w in self.running if w.wakes is not None)
            self.step(self.ready[0])
        calls = [f"{worker.name} at {worker.call}" for worker in self.running]
        raise AssertionError(f"nothing comes to rest: {calls}")

    def stop(self) -> None:
        """Take down what still runs, as a machine that is switched off."""
        for worker in self.running:
            worker.crashed = True
            while not worker.ended:
                worker.fault = Fault.CRASH_BEFORE
                self._go(worker)

    def clock_of(self, worker: Worker | None = None) -> Clock:
        """The clock of a worker, whose sleep gives the turn to others."""
        skew = dt.timedelta(seconds=worker.skew if worker else 0.0)

        def sleep(seconds: float) -> None:
            if worker is None or threading.get_ident() not in self._threads:
                self.seconds += seconds
                return
            worker.wakes, worker.call = self.seconds + max(0.0, seconds), ""
            self._wait(worker)

        return Clock(
            now=lambda: START + dt.timedelta(seconds=self.seconds) + skew,
            elapsed=lambda: self.seconds,
            sleep=sleep,
        )

    @property
    def clock(self) -> Clock:
        """The clock of the worker whose thread reads it, each time."""
        return Clock(
            now=lambda: self._clock_here().now(),
            elapsed=lambda: self.seconds,
            sleep=lambda seconds: self._clock_here().sleep(seconds),
        )

    def _clock_here(self) -> Clock:
        return self.clock_of(self._threads.get(threading.get_ident()))

    def call(self, name: str, action: Callable[[], T], *, repeatable: bool = True) -> T:
        """Make a call as the worker of this thread; any other thread's is answered at once.

        Args:
            name: What the history calls it.
            action: Does it in the service.
            repeatable: Whether the client sends it again by itself when an answer is lost.
        """
        worker = self._threads.get(threading.get_ident())
        if worker is None:
            return action()
        if worker.crashed:
            raise Crash
        worker.call = name
        self._wait(worker)
        fault, worker.fault = worker.fault, Fault.NONE
        if fault is Fault.CRASH_BEFORE:
            worker.crashed = True
            raise Crash
        if fault is Fault.BUSY:
            raise ServiceUnavailable(f"{name}: the service is busy")
        if fault is Fault.TOO_MANY:
            raise TooManyRequests(f"{name}: too many requests")
        if fault is Fault.NONE:
            return action()
        try:
            action()
        except Exception:
            if fault is not Fault.CRASH_AFTER:
                raise
        if fault is Fault.CRASH_AFTER:
            worker.crashed = True
            raise Crash
        if fault is Fault.REPEATED and repeatable:
            return action()
        raise ServiceUnavailable(f"{name}: no answer")

    def _go(self, worker: Worker) -> None:
        worker.turn.release()
        self._back.acquire()

    def _wait(self, worker: Worker) -> None:
        """Give the turn back, and wait for the next one."""
        if worker.crashed:
            raise Crash
        self._back.release()
        worker.turn.acquire()
        if worker.crashed:
            raise Crash
