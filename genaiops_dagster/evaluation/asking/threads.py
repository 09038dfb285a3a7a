"""Threads for blocking calls that an event loop waits for, and may give up."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TypeVar, cast

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
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():  # given up
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast("T", result))

    def call() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    _THREADS.submit(call)
    return future
