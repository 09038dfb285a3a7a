"""When a base model goes: what it is used as, what may follow it, and what tuning on it costs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from genaiops_dagster.budget.pricing import PriceList, tuning_cost
from genaiops_dagster.google_cloud.base_models import (
    BaseModel,
    availability,
    facts_of,
    model_facts,
)
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case import TUNED, UseCase


class Closing(Record):
    """A model of a use case that may be retired soon, or was.

    Attributes:
        use_case: Name of the use case.
        model: The model.
        used_as: What it is there, such as `tuning.base_model` or `candidates.flash`.
        sentence: When it goes.
        successors: Models that may follow it in all of that, the recommended one first.
        tuned_in: Where the first of them is tuned; empty if it is only asked.
        tuning_usd: What tuning on it costs with the data of the latest estimate, in US dollars;
            None if it is only asked, or if the price or the data are not known.
    """

    use_case: str
    model: str
    used_as: list[str]
    sentence: str
    successors: list[str]
    tuned_in: list[str]
    tuning_usd: float | None


def closing(
    use_case: UseCase, days: int, now: dt.datetime, estimate: CostEstimate | None
) -> Iterator[Closing]:
    """The models of a use case that may be retired within `days`.

    Args:
        use_case: Its tuned base, candidates and judge are looked at.
        days: How far to look ahead.
        now: The day to look from, whose prices apply.
        estimate: The latest estimate of a run, for the tokens of its training set; None if there
            is none.
    """
    horizon = now.date() + dt.timedelta(days=days)
    for model, used_as in _uses(use_case).items():
        facts = facts_of(model)
        if facts is None or not _goes_by(facts, horizon):
            continue
        is_base = "tuning.base_model" in used_as
        successors = _successors(facts, horizon, method=use_case.tuning.method if is_base else None)
        chosen = facts_of(successors[0]) if successors else None
        yield Closing(
            use_case=use_case.name,
            model=model,
            used_as=used_as,
            sentence=availability(model, now.date()).sentence,
            successors=successors,
            tuned_in=list(chosen.tuned_in) if chosen and is_base else [],
            tuning_usd=_tuning_usd(use_case, chosen.name, now, estimate)
            if chosen and is_base
            else None,
        )


def _uses(use_case: UseCase) -> dict[str, list[str]]:
    """What each model is used as."""
    found: dict[str, list[str]] = {use_case.tuning.base_model: ["tuning.base_model"]}
    for name, candidate in use_case.candidates.items():
        if candidate.model != TUNED:
            found.setdefault(candidate.model, []).append(f"candidates.{name}")
    judge = use_case.evaluation.judge
    if judge is not None:
        found.setdefault(judge.model, []).append("evaluation.judge")
    return found


def _goes_by(facts: BaseModel, day: dt.date) -> bool:
    first = facts.ended or facts.retires_from
    return first is not None and first <= day


def _successors(facts: BaseModel, horizon: dt.date, *, method: str | None) -> list[str]:
    """Models that stay longer, and are tuned by `method` unless it is None; best first."""
    fitting = [
        other
        for other in model_facts().models.values()
        if other.name != facts.name
        and other.locations
        and not _goes_by(other, horizon)
        and (method is None or method in other.tuning_methods)
    ]
    latest = dt.date.max
    ordered = sorted(
        fitting,
        key=lambda other: (other.name != facts.successor, latest - (other.retires_from or latest)),
    )
    return [other.name for other in ordered]


def _tuning_usd(
    use_case: UseCase, base: str, now: dt.datetime, estimate: CostEstimate | None
) -> float | None:
    tokens = sum(
        stage.input_tokens
        for stage in (estimate.stages if estimate else ())
        if stage.stage == "tuning" and not stage.candidate
    )
    if not tokens:
        return None
    prices = PriceList(now, use_case.budget.prices)
    return tuning_cost(base, tokens, method=use_case.tuning.method, prices=prices)
