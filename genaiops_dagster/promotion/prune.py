"""Clean-up: tuned models that nobody needs any more, and their endpoints, which cost money."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genaiops_dagster.google_cloud.base_models import location_in
from genaiops_dagster.promotion.log import champions, latest_decision, moves
from genaiops_dagster.promotion.registry import ALIAS, list_models
from genaiops_dagster.records.promotion import Champion, LogEntry

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI

KEEP = 5
"""How many of the newest tuned models stay, whatever became of them."""


@dataclass(frozen=True)
class StaleModel:
    """A tuned model that may go.

    Attributes:
        model: Resource name, without version.
        created: When it was made, ISO 8601 in UTC.
        deployments: Endpoint and id of each deployment; they go first.
    """

    model: str
    created: str
    deployments: tuple[tuple[str, str], ...]


def stale_models(
    vertex_ai: VertexAI, use_case: str, entries: Sequence[LogEntry], keep: int = KEEP
) -> list[StaleModel]:
    """Tuned models of a use case that may be deleted, oldest first.

    Never the champion or its predecessor, whatever carries the champion's alias, what the newest
    decision is about, or one of the newest `keep`.

    Args:
        vertex_ai: Clients of the project.
        use_case: Name of the use case.
        entries: Its decision log.
        keep: How many of the newest to keep.
    """
    needed, found = _needed(entries), list_models(vertex_ai, use_case)
    newest_first = sorted(found, key=lambda model: model.create_time, reverse=True)
    stale = []
    for model in newest_first[keep:]:
        name = model.name.partition("@")[0]
        deployments = tuple((d.endpoint, d.deployed_model_id) for d in model.deployed_models)
        names = {name, *(endpoint for endpoint, _ in deployments)}
        if names & needed or ALIAS in model.version_aliases:
            continue
        stale.append(StaleModel(name, model.create_time.isoformat(), deployments))
    return stale[::-1]


def delete_model(vertex_ai: VertexAI, stale: StaleModel) -> None:
    """Delete a tuned model with its endpoints; what is gone already is not an error."""
    from google.api_core.exceptions import NotFound

    for endpoint in dict.fromkeys(endpoint for endpoint, _ in stale.deployments):
        deployed = [model for of, model in stale.deployments if of == endpoint]
        delete_endpoint(vertex_ai, endpoint, deployed)
    clients = vertex_ai.at(location_in(stale.model) or vertex_ai.settings.location)
    try:
        clients.models.delete_model(name=stale.model).result()
    except NotFound:
        return


def delete_endpoint(vertex_ai: VertexAI, endpoint: str, deployed: Iterable[str]) -> None:
    """Delete an endpoint with its deployments, by their ids, in the location that its name has."""
    from google.api_core.exceptions import NotFound

    endpoints = vertex_ai.serving(endpoint).endpoints
    try:
        for model in deployed:
            endpoints.undeploy_model(
                endpoint=endpoint, deployed_model_id=model, traffic_split={}
            ).result()
        endpoints.delete_endpoint(name=endpoint).result()
    except NotFound:
        return


def _needed(entries: Sequence[LogEntry]) -> set[str]:
    """Models and endpoints of the champion, of its predecessor, of a candidate that is being
    rolled out, and of the newest decision.
    """
    history = champions(entries)
    needed = {model for champion in _last_two(history) for model in _names(champion)}
    for change in moves(entries)[-1:]:
        if change.pointer.rollout:
            needed |= _names(change.pointer.rollout.candidate)
    latest = latest_decision(entries)
    if latest and latest.decision:
        needed.add(latest.decision.model)
    return needed


def _last_two(history: Sequence[Champion]) -> list[Champion]:
    """The champion, and the one before it that was another."""
    if not history:
        return []
    champion = history[-1]
    former = next((c for c in reversed(history) if not c.serves_as(champion)), champion)
    return [champion, former]


def _names(champion: Champion) -> set[str]:
    return {champion.model, (champion.registered_model or "").partition("@")[0]}
