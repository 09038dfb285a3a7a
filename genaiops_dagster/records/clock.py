"""Time, as code reads it that somebody may want to run at another hour."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Tells the time and waits; everything below the edge is handed one.

    Attributes:
        now: The present moment, in UTC.
        elapsed: Seconds since some moment in the past; never goes back.
        sleep: Waits a number of seconds.
    """

    now: Callable[[], dt.datetime]
    elapsed: Callable[[], float]
    sleep: Callable[[float], None]

    def today(self) -> dt.date:
        """The present day, in UTC."""
        return self.now().date()

    def timestamp(self) -> str:
        """The present second in ISO 8601, as records hold it."""
        return self.now().isoformat(timespec="seconds")


SYSTEM_CLOCK = Clock(lambda: dt.datetime.now(dt.UTC), time.monotonic, time.sleep)
"""The clock of this machine. Commands and asset bodies take it, and pass it on."""
