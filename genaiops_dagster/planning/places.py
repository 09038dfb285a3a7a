"""Whether the models of a use case are asked and tuned where, and as, the service has them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from genaiops_dagster.google_cloud.base_models import facts_of
from genaiops_dagster.google_cloud.thinking import ignores_sampling
from genaiops_dagster.use_case import TUNED, UseCase
from genaiops_dagster.use_case.candidates import Candidate

_NEWER_METRICS_BY = "gemini-3.5-flash"
_FIRST_VERSIONS = {"final_response_match": 2}
"""First versions of the service's metrics that are not 1."""


class MisplacedModelError(RuntimeError):
    """A model is not where, or not as, the use case wants it; the message says how it is."""


def misplaced(use_case: UseCase, location: str | None = None) -> list[str]:
    """What the service does not have where, or as, the use case wants it, with what it has.

    Nothing is said of models that the facts do not have.

    Args:
        use_case: Whose file is looked at.
        location: Where it is tuned and evaluated, `GOOGLE_CLOUD_LOCATION`; not looked at if None.
    """
    return [
        *_asked(use_case),
        *_thinking(use_case),
        *_same(use_case),
        *_metrics(use_case, location),
        *_tuned(use_case, location),
    ]


def require_in_place(use_case: UseCase, location: str) -> None:
    """Stop before anything is paid for a use case that cannot complete.

    Raises:
        MisplacedModelError: a model is not served, or not tuned, where it would be, or does not
            take the settings of a candidate.
    """
    if found := misplaced(use_case, location):
        raise MisplacedModelError("\n".join([f"{use_case.name}: {found[0]}", *found[1:]]))


def _asked(use_case: UseCase) -> Iterator[str]:
    """Places that the file names for candidates and the judge."""
    judge = use_case.evaluation.judge
    wanted = {
        f"candidates.{name}.location": (candidate.model, candidate.location)
        for name, candidate in use_case.candidates.items()
        if candidate.model != TUNED
    }
    if judge is not None:
        wanted["evaluation.judge.location"] = (judge.model, judge.location)
    for field, (model, place) in wanted.items():
        facts = facts_of(model)
        if place and facts and facts.locations and place not in facts.locations:
            served = ", ".join(facts.locations)
            yield f"{field} is {place}, and {facts.name} is served in: {served}"


def _metrics(use_case: UseCase, location: str | None) -> Iterator[str]:
    """Versions of the service's metrics that need a model which is not served there.

    Source: agentplatform/_genai/_evals_constant.py of google-cloud-aiplatform 2.7.0: those after
    the first versions are backed by Gemini 3.5 Flash.
    """
    judge, behind = use_case.evaluation.judge, facts_of(_NEWER_METRICS_BY)
    if judge is None or location is None or behind is None or location in behind.locations:
        return
    for name, metric in judge.metrics.items():
        family, _, version = (metric.predefined or "").rpartition("_v")
        first = _FIRST_VERSIONS.get(family, 1)
        if family and int(version) > first:
            yield (
                f"evaluation.judge.metrics.{name}.predefined is {metric.predefined}, which "
                f"{_NEWER_METRICS_BY} computes; {location} has {family}_v{first}"
            )


def _base(use_case: UseCase, candidate: Candidate) -> str:
    return use_case.tuning.base_model if candidate.model == TUNED else candidate.model


def _thinking(use_case: UseCase) -> Iterator[str]:
    """Thinking that a candidate's model does not take."""
    for name, candidate in use_case.candidates.items():
        facts, generation = facts_of(_base(use_case, candidate)), candidate.generation
        if facts is None or not facts.thinking_levels:
            continue
        levels = ", ".join(facts.thinking_levels)
        if generation.thinking_budget is not None:
            yield (
                f"candidates.{name}.generation.thinking_budget: {facts.name} takes thinking_level: "
                f"{levels}"
            )
        elif generation.thinking_level and generation.thinking_level not in facts.thinking_levels:
            yield (
                f"candidates.{name}.generation.thinking_level is {generation.thinking_level}, and "
                f"{facts.name} takes: {levels}"
            )


def _same(use_case: UseCase) -> Iterator[str]:
    """Candidates that differ only in what their model ignores."""
    for (name, one), (other_name, other) in itertools.combinations(use_case.candidates.items(), 2):
        base = _base(use_case, one)
        if ignores_sampling(base) and one != other and _heard(one) == _heard(other):
            yield (
                f"candidates {name} and {other_name} differ only in temperature, top_p or top_k, "
                f"which {base} ignores; let them differ in thinking_level"
            )


def _heard(candidate: Candidate) -> Candidate:
    """A candidate without what a model ignores that ignores sampling."""
    plain = candidate.generation.model_copy(
        update={"temperature": 0.0, "top_p": None, "top_k": None}
    )
    return candidate.model_copy(update={"generation": plain})


def _tuned(use_case: UseCase, location: str | None) -> Iterator[str]:
    """The base model, its method, and the region in which it is tuned."""
    tuning = use_case.tuning
    facts = facts_of(tuning.base_model)
    if facts is None or not facts.sources or facts.ended:
        return  # nothing is known of it, or its end is what is reported
    if not facts.tuning_methods:
        yield f"tuning.base_model is {facts.name}, which the service does not tune"
    elif (place := tuning.location or location) and place not in facts.tuned_in:
        regions = " or ".join(facts.tuned_in)
        owner = "tuning.location" if tuning.location else "GOOGLE_CLOUD_LOCATION"
        yield f"{facts.name} is tuned in {regions}; {owner} is {place}"
