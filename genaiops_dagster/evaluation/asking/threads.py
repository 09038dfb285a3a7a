"""Threads for blocking calls that an event loop waits for, and may give up."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class DaemonThreads:
    """As many threads as there are calls under way; they keep no process from ending.

    An executor waits for its threads when the process ends, and a call that hangs would hold it
    until the library's own timeout.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)

    def submit(self, call: Callable[[], None]) -> None:
        """Have `call`, which must not raise, made by an idle thread or a new one."""
        self._calls.put(call)
        if not self._idle.acquire(blocking=False):
            threading.Thread(target=self._serve, name="evaluation-service", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._calls.get()()
            self._idle.release()


_THREADS = DaemonThreads()


def in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """The result of a blocking call; its thread goes on when nobody awaits it any more."""
    future: Future[T] = Future()

    def call() -> None:
        if not future.set_running_or_notify_cancel():  # given up before it began
            return
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            future.set_exception(error)

    _THREADS.submit(call)
    return asyncio.wrap_future(future)
