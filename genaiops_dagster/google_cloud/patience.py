"""Sending a request again that may succeed the next time, or one only once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from google.genai import types

T = TypeVar("T")

_ATTEMPTS = 5
_WRITE_ATTEMPTS = 8
_UNCLEAR_STATUSES = {408, 500, 502, 503, 504}


class AnswerLostError(Exception):
    """A request whose work may have been done, although no good answer came."""


class NoRoomError(Exception):
    """The service had no room for a request: nothing was done, and it may be sent again."""


def only_once(seconds: float) -> types.HttpOptions:
    """Options of a Gen AI request that the SDK is to send once, and to wait for so long."""
    from google.genai import types

    return types.HttpOptions(
        timeout=int(seconds * 1000), retry_options=types.HttpRetryOptions(attempts=1)
    )


@contextmanager
def sent_once() -> Iterator[None]:
    """Tell apart how a Gen AI request in the block failed that must not be done twice.

    Raises:
        AnswerLostError: only the service's lists can tell whether it was done.
        NoRoomError: it was refused for now.
        google.genai.errors.APIError: it was refused.
    """
    import httpx
    from google.genai import errors

    try:
        yield
    except errors.APIError as error:
        if error.code in _UNCLEAR_STATUSES:
            raise AnswerLostError(str(error)) from error
        if error.code == 429:
            raise NoRoomError(error.message or str(error)) from error
        raise
    except httpx.TransportError as error:
        raise AnswerLostError(f"{type(error).__name__}: {error}") from error


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


def try_again(
    do: Callable[[], T], is_passing: Callable[[BaseException], bool], sleep: Callable[[float], None]
) -> T:
    """What `do` returns, tried up to eight times, within about a minute.

    The pauses are random, so that those who were in each other's way do not meet again.

    Args:
        do: May fail without having changed anything.
        is_passing: Whether a failure is worth another attempt.
        sleep: Waits for a number of seconds.

    Raises:
        Exception: the last failure, as `do` raised it.
    """
    import tenacity

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_passing),
        stop=tenacity.stop_after_attempt(_WRITE_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=20),
        sleep=sleep,
        reraise=True,
    )(do)
