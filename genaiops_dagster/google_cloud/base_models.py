"""Until when base models can be used: dated facts, with the model to move to.

A tuned model is retired together with its base.
Sources, as of November 2026:
https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/model-versions (dates, and
that access is blocked one month before retirement for projects that do not use a model yet);
Google's notice of September 2026 on Gemini 2.5, as quoted in
https://github.com/dimagi/open-chat-studio/issues/4509 (closed to new or inactive projects since
20 October 2026, last day by model).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

WARN_DAYS = 180
"""How long before its retirement a model is warned of."""

Standing = Literal["unknown", "available", "closing", "retired"]


@dataclass(frozen=True)
class BaseModel:
    """Facts about one base model.

    Attributes:
        name: As in `publishers/google/models/<name>`.
        released: First day.
        retires: Last day; None when no day was announced.
        closed: Since when projects that did not use it lately cannot begin to; None if it is open
            to all.
        successor: Recommended model to move to.
        tunable: Whether supervised tuning takes it as its base.
    """

    name: str
    released: dt.date
    retires: dt.date | None = None
    closed: dt.date | None = None
    successor: str | None = None
    tunable: bool = False


_CLOSED = dt.date(2026, 10, 20)
BASE_MODELS = {
    model.name: model
    for model in (
        BaseModel("gemini-3.8-flash", dt.date(2026, 9, 2)),
        BaseModel("gemini-3.7-flash", dt.date(2026, 8, 13)),
        BaseModel("gemini-3.6-flash", dt.date(2026, 7, 21)),
        BaseModel("gemini-3.5-flash", dt.date(2026, 5, 19), tunable=True),
        BaseModel("gemini-3.5-flash-lite", dt.date(2026, 7, 21), tunable=True),
        BaseModel("gemini-3.1-flash-lite", dt.date(2026, 5, 7), tunable=True),
        BaseModel("gemini-3.1-pro-preview", dt.date(2026, 2, 19)),
        BaseModel(
            "gemini-2.5-pro",
            dt.date(2025, 6, 17),
            retires=dt.date(2027, 3, 31),
            closed=_CLOSED,
            successor="gemini-3.5-flash",
            tunable=True,
        ),
        BaseModel(
            "gemini-2.5-flash",
            dt.date(2025, 6, 17),
            retires=dt.date(2027, 3, 31),
            closed=_CLOSED,
            successor="gemini-3.5-flash-lite",
            tunable=True,
        ),
        BaseModel(
            "gemini-2.5-flash-lite",
            dt.date(2025, 7, 22),
            retires=dt.date(2027, 1, 28),
            closed=_CLOSED,
            successor="gemini-3.1-flash-lite",
            tunable=True,
        ),
        BaseModel(
            "gemini-2.0-flash-001",
            dt.date(2025, 2, 5),
            retires=dt.date(2026, 6, 1),
            successor="gemini-3.5-flash-lite",
        ),
        BaseModel(
            "gemini-2.0-flash-lite-001",
            dt.date(2025, 2, 25),
            retires=dt.date(2026, 6, 1),
            successor="gemini-3.1-flash-lite",
        ),
    )
}


class RetiredModelError(RuntimeError):
    """A model that can no longer be used; the message names its successor."""


@dataclass(frozen=True)
class Availability:
    """Where a model stands on a day, and a sentence to show."""

    model: str
    standing: Standing
    sentence: str


def availability(model: str, today: dt.date) -> Availability:
    """Whether `model` can be used, and for how long.

    Args:
        model: Name or resource of a base model.
        today: The day to judge by.
    """
    name = model.rsplit("/", 1)[-1]
    facts = BASE_MODELS.get(name) or BASE_MODELS.get(f"{name}-001")
    if facts is None:
        return Availability(name, "unknown", f"{name}: no retirement facts are known")
    advice = f"; move to {facts.successor}" if facts.successor else ""
    if facts.retires is None:
        return Availability(name, "available", f"{name}: no retirement was announced")
    if today > facts.retires:
        return Availability(name, "retired", f"{name} was retired on {facts.retires}{advice}")
    closed = (
        f" and is closed to projects that did not use it before {facts.closed}"
        if facts.closed and today >= facts.closed
        else ""
    )
    sentence = f"{name} is retired on {facts.retires}{closed}{advice}"
    near = (facts.retires - today).days <= WARN_DAYS
    return Availability(name, "closing" if near or closed else "available", sentence)


def require_available(model: str, today: dt.date) -> None:
    """Stop before a model that is gone is paid for.

    Raises:
        RetiredModelError: it was retired.
    """
    found = availability(model, today)
    if found.standing == "retired":
        raise RetiredModelError(found.sentence)


def concerns(models: Iterable[str], today: dt.date) -> list[Availability]:
    """Those of `models` that are retired or soon will be, each once."""
    found = {model: availability(model, today) for model in sorted(set(models))}
    return [one for one in found.values() if one.standing in ("closing", "retired")]
