"""Relations in the metadata store: events, memberships, lineage.

An execution has events that name the artifacts it read and wrote; a context has members and
parents. They are kept in the documents of executions and contexts, under keys that begin with `_`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vertex_emulator.vertex.database import ResourceStore
from vertex_emulator.vertex.model_versions import visible

Document = dict[str, Any]


def add_events(resources: ResourceStore, execution: str, events: list[Document], time: str) -> None:
    """Add events to an execution; the same one twice counts once."""

    def change(document: Document) -> None:
        known = {(event["artifact"], event["type"]) for event in document.setdefault("_events", [])}
        for event in events:
            if (event["artifact"], event["type"]) not in known:
                document["_events"].append({"execution": execution, "eventTime": time, **event})

    resources.update(execution, change)


def add_members(resources: ResourceStore, context: str, names: Iterable[str]) -> None:
    """Put artifacts and executions into a context."""

    def change(document: Document) -> None:
        members = document.setdefault("_members", [])
        members.extend(name for name in names if name not in members)

    resources.update(context, change)


def change_children(
    resources: ResourceStore, context: str, children: Iterable[str], *, add: bool
) -> None:
    """Add `context` to the parents of `children`, or take it away."""

    def change(document: Document) -> None:
        parents = [name for name in document.get("parentContexts", []) if name != context]
        document["parentContexts"] = [*parents, context] if add else parents

    with resources.transaction():
        for child in children:
            resources.update(child, change)


def descends_from(resources: ResourceStore, child: Document, context: str) -> bool:
    """Whether `context` is `child` or one of the contexts above it."""
    seen: set[str] = set()
    waiting = [child["name"]]
    while waiting:
        name = waiting.pop()
        if name == context:
            return True
        if name not in seen:
            seen.add(name)
            waiting.extend((resources.get(name) or {}).get("parentContexts", []))
    return False


def context_subgraph(resources: ResourceStore, context: Document) -> Document:
    """Members of a context and of the contexts below it, with the events of its executions."""
    parent = context["name"].rpartition("/contexts/")[0]
    members: dict[str, None] = {}
    for candidate in resources.list("contexts", parent):
        if descends_from(resources, candidate, context["name"]):
            members.update(dict.fromkeys(candidate.get("_members", [])))
    return _subgraph(resources, members)


def execution_subgraph(resources: ResourceStore, execution: Document) -> Document:
    """An execution with its events and their artifacts."""
    names = [execution["name"], *(event["artifact"] for event in execution.get("_events", []))]
    return _subgraph(resources, names)


def artifact_subgraph(resources: ResourceStore, artifact: Document, hops: int) -> Document:
    """What is at most `hops` events away from an artifact, in either direction."""
    parent = artifact["name"].rpartition("/artifacts/")[0]
    executions = resources.list("executions", parent)
    reached = {artifact["name"]: None}
    frontier = {artifact["name"]}
    for _ in range(hops):
        found: set[str] = set()
        for execution in executions:
            artifacts = {event["artifact"] for event in execution.get("_events", [])}
            if execution["name"] in frontier:
                found |= artifacts
            if artifacts & frontier:
                found.add(execution["name"])
        frontier = found - reached.keys()
        if not frontier:
            break
        reached.update(dict.fromkeys(sorted(frontier)))
    return _subgraph(resources, reached)


def _subgraph(resources: ResourceStore, names: Iterable[str]) -> Document:
    artifacts, executions, events = [], [], []
    included = dict.fromkeys(names)
    for name in included:
        document = resources.get(name)
        if document is None:
            continue
        if "/artifacts/" in name:
            artifacts.append(visible(document))
        else:
            executions.append(visible(document))
            events += [
                event for event in document.get("_events", []) if event["artifact"] in included
            ]
    return {"artifacts": artifacts, "executions": executions, "events": events}
