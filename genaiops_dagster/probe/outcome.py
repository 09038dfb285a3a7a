"""How the check of an assumption ends."""

from __future__ import annotations

from typing import Literal

Outcome = Literal["holds", "differs", "not tried"]


class DiffersError(Exception):
    """Google does something else than assumed; the message says what was seen."""


class NotTriedError(Exception):
    """A check could not be made; the message says why."""


def expect(holds: object, seen: str) -> None:
    """Go on if the first argument is true.

    Raises:
        DiffersError: it is not; `seen` says what was seen instead.
    """
    if not holds:
        raise DiffersError(seen)
