"""Sending a request again whose connection broke."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_ATTEMPTS = 5


def read_patiently(read: Callable[[], T], sleep: Callable[[float], None]) -> T:
    """The answer to a request of the Gen AI SDK that changes nothing, asked for up to five times.

    The SDK itself sends again where a status, a timeout or a refused connection says that it may;
    a connection that breaks off it reports at once.

    Args:
        read: Sends the request.
        sleep: Waits for a number of seconds.

    Raises:
        httpx.TransportError: the connection broke each time.
    """
    import httpx
    import tenacity

    broken = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(broken),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
        sleep=sleep,
        reraise=True,
    )(read)
