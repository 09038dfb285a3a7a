"""What is known of Google's models: where they are served and tuned, how they think, their end.

The facts are in `models.toml`, with their sources and their date. A tuned model is retired together
with its base.
"""

from __future__ import annotations

import datetime as dt
import functools
import importlib.resources
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel as _Plain
from pydantic import ConfigDict

WARN_DAYS = 120
"""How long before its first possible retirement a model is warned of."""

STALE_DAYS = 90
"""Age at which the facts should be looked up again."""

Standing = Literal["unknown", "available", "closing", "retired"]
ThinkingLevel = Literal["MINIMAL", "LOW", "MEDIUM", "HIGH"]
TuningMethod = Literal["supervised", "preference"]


class _Facts(_Plain):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Published(_Facts):
    """A published price or factor.

    Attributes:
        value: The figure, in the unit of its table.
        as_of: When the source said so, or since when it holds.
        source: Name of the source.
    """

    value: float
    as_of: dt.date
    source: str


class ThinkingTokens(_Facts):
    """Room for thoughts by thinking level, in tokens of one request."""

    MINIMAL: int
    LOW: int
    MEDIUM: int
    HIGH: int
    as_of: dt.date
    source: str


class BaseModel(_Facts):
    """Facts about one base model; what no source says is None or empty.

    Attributes:
        name: As in `publishers/google/models/<name>`.
        locations: Where it is served.
        thinking_levels: Those that it takes, from the least.
        thinking_default: The level that it uses unless a request says otherwise.
        sampling: Whether temperature, top-p and top-k have an effect.
        model_turn: Whether contents may end with a turn of the model.
        context_tokens, output_tokens: The most that a request may have in and out together, and
            out, thoughts included.
        cache_tokens: The least that an explicit cache may hold.
        tuned_in: Regions in which it is tuned; it is served, tuned, from their multi-region.
        tuning_methods: How it may be tuned.
        tuning_usd: US dollars for a million training tokens: those of the data times the epochs.
        retires_from: The first day on which it may be retired.
        ended: The day on which it was.
        successor: Recommended model to move to.
        sources: Names of the sources.
    """

    name: str
    locations: tuple[str, ...] = ()
    thinking_levels: tuple[ThinkingLevel, ...] = ()
    thinking_default: ThinkingLevel | None = None
    sampling: Literal["honoured", "ignored"] | None = None
    model_turn: Literal["answered", "refused"] | None = None
    context_tokens: int | None = None
    output_tokens: int | None = None
    cache_tokens: int | None = None
    tuned_in: tuple[str, ...] = ()
    tuning_methods: tuple[TuningMethod, ...] = ()
    tuning_usd: Published | None = None
    retires_from: dt.date | None = None
    ended: dt.date | None = None
    successor: str | None = None
    sources: tuple[str, ...]


class ModelFacts(_Facts):
    """The whole file.

    Attributes:
        as_of: When the facts were collected.
        sources: Addresses of the sources by name.
        tuned_factor: What requests to a tuned model cost, in prices of its base, from Gemini 3 on.
        regional_factor: What requests to another location than `global` cost, in prices there.
        batch_factor: What requests of a batch job cost, in prices of single ones.
        thinking_tokens: Room for thoughts that a request leaves, by thinking level.
        models: By name.
    """

    as_of: dt.date
    sources: Mapping[str, str]
    tuned_factor: Published
    regional_factor: Published
    batch_factor: Published
    thinking_tokens: ThinkingTokens
    models: Mapping[str, BaseModel]


class RetiredModelError(RuntimeError):
    """A model that can no longer be used; the message names its successor."""


class Availability(_Facts):
    """Where a model stands on a day, and a sentence to show."""

    model: str
    standing: Standing
    sentence: str


@functools.cache
def model_facts() -> ModelFacts:
    """The facts that this release was made with."""
    file = importlib.resources.files("genaiops_dagster.google_cloud") / "models.toml"
    content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    models = {entry["name"]: entry for entry in content.pop("model")}
    return ModelFacts.model_validate({**content, "models": models})


def base_model_name(model: str) -> str:
    """The bare name by which a base model is known.

    Args:
        model: `gemini-2.5-flash`, with a version (`-001`, `@default`), as `publishers/...` or
            `projects/...` resource, or as an emulated model version (`gemini-2.5-flash-emulated`).
    """
    name = model.rsplit("/", 1)[-1].partition("@")[0].removesuffix("-emulated")
    return re.sub(r"(?<=\d-)(pro|flash|flash-lite)-\d{3}$", r"\1", name)


def facts_of(model: str) -> BaseModel | None:
    """What is known of a model, by its name or resource; None if nothing is."""
    return model_facts().models.get(base_model_name(model))


def multi_region(location: str) -> str:
    """The multi-region that a region is in; `global` for one that is in none.

    Source: https://docs.cloud.google.com/gemini-enterprise-agent-platform/resources/locations
    """
    continents = {"us": "us", "europe": "eu"}
    return continents.get(location.partition("-")[0], "global")


def serving_location(model: str, default: str) -> str:
    """Where a base model is asked: in `default`, in its multi-region or at `global`.

    Args:
        model: Name of the model; one that the facts do not have is asked in `default`.
        default: Where everything else is.
    """
    facts = facts_of(model)
    if facts is None or not facts.locations:
        return default
    near = (default, multi_region(default), "global")
    return next((place for place in near if place in facts.locations), facts.locations[0])


def tuning_location(base_model: str, default: str) -> str:
    """Where a model is tuned: in `default`, in a region of the same continent, or elsewhere.

    Args:
        base_model: Name of the model; one that the facts do not have is tuned in `default`.
        default: Where everything else is.
    """
    facts = facts_of(base_model)
    regions = facts.tuned_in if facts else ()
    if not regions or default in regions:
        return default
    near = multi_region(default)
    return next((region for region in regions if multi_region(region) == near), regions[0])


def location_in(resource: str) -> str | None:
    """The location in a resource name; None if it has none."""
    found = re.search(r"(?:^|/)locations/([^/]+)/", resource)
    return found[1] if found else None


def stale_facts(today: dt.date) -> str:
    """A sentence where the facts are older than `STALE_DAYS`; empty if they are not."""
    collected = model_facts().as_of
    if (today - collected).days <= STALE_DAYS:
        return ""
    return (
        f"What is known of models was collected on {collected}: where they are served, prices and "
        "retirements may have changed; upgrade genaiops_dagster"
    )


def availability(model: str, today: dt.date) -> Availability:
    """Whether `model` can be used, and for how long at least.

    Args:
        model: Name or resource of a base model.
        today: The day to judge by.
    """
    name = base_model_name(model)
    facts = facts_of(model)
    if facts is None:
        return Availability(
            model=name, standing="unknown", sentence=f"{name}: no retirement facts are known"
        )
    advice = f"; move to {facts.successor}" if facts.successor else ""
    if facts.ended is not None and today > facts.ended:
        sentence, standing = f"{name} was retired on {facts.ended}{advice}", "retired"
    elif (first := facts.retires_from or facts.ended) is None:
        sentence, standing = f"{name}: no retirement was announced", "available"
    else:
        near = (first - today).days <= WARN_DAYS
        sentence = (
            f"{name} is retired not before {first}{advice}"
            if today < first
            else f"{name} may have been retired since {first}, the first possible day{advice}"
        )
        standing = "closing" if near else "available"
    return Availability.model_validate({"model": name, "standing": standing, "sentence": sentence})


def require_available(model: str, today: dt.date) -> None:
    """Stop before a model that may be gone, and takes what is tuned on it along, is paid for.

    Raises:
        RetiredModelError: the first possible day of its retirement has come.
    """
    found = availability(model, today)
    if found.standing == "retired":
        raise RetiredModelError(found.sentence)


def concerns(models: Iterable[str], today: dt.date) -> list[Availability]:
    """Those of `models` that may be retired now or soon, each once."""
    found = {model: availability(model, today) for model in sorted(set(models))}
    return [one for one in found.values() if one.standing in ("closing", "retired")]
