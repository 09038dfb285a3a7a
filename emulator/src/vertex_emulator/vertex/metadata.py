"""The metadata store, as far as Vertex AI Experiments needs it.

Contexts, executions and artifacts with their events and lineage. TensorBoard is refused.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.metadataStores
"""

from __future__ import annotations

import re
import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.vertex import metadata_graph as graph
from vertex_emulator.vertex import operations
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.database import ResourceStore
from vertex_emulator.vertex.http import (
    PARENT,
    Handler,
    Served,
    both_versions_of,
    parent_name,
    refuse,
    resource_name,
)
from vertex_emulator.vertex.listing import Function, Predicate, camel, page_answer, select
from vertex_emulator.vertex.messages import Document, parse
from vertex_emulator.vertex.model_versions import etag, visible

_STORE = PARENT + "/metadataStores/{store}"
_MESSAGES = {"contexts": "Context", "executions": "Execution", "artifacts": "Artifact"}
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_OUTPUT_ONLY = {"name", "createTime", "updateTime", "etag", "parentContexts"}
_MOST_HOPS = 100


def routes(context: VertexContext) -> list[Route]:
    """The routes of `projects.locations.metadataStores`, and the refusal of TensorBoard."""
    service = _Metadata(context)
    served: list[Served] = [
        ("POST", PARENT + "/metadataStores", "metadataStores.create", service.create_store),
        ("GET", PARENT + "/metadataStores", "metadataStores.list", service.list_stores),
        ("GET", _STORE, "metadataStores.get", service.get_store),
    ]
    custom: dict[str, list[tuple[str, str, Handler]]] = {
        "contexts": [
            ("POST", "addContextArtifactsAndExecutions", service.add_members),
            ("POST", "addContextChildren", service.add_children),
            ("POST", "removeContextChildren", service.remove_children),
            ("GET", "queryContextLineageSubgraph", service.context_lineage),
        ],
        "executions": [
            ("POST", "addExecutionEvents", service.add_events),
            ("GET", "queryExecutionInputsAndOutputs", service.execution_lineage),
        ],
        "artifacts": [("GET", "queryArtifactLineageSubgraph", service.artifact_lineage)],
    }
    for collection, methods in custom.items():
        many, name = f"{_STORE}/{collection}", f"metadataStores.{collection}"
        one = many + "/{identifier}"
        served += [(verb, f"{one}:{method}", f"{name}.{method}", f) for verb, method, f in methods]
        served += [
            ("POST", many + ":purge", f"{name}.purge", refuse(f"purging {collection}")),
            ("POST", many, f"{name}.create", service.create),
            ("GET", many, f"{name}.list", service.list_all),
            ("GET", one, f"{name}.get", service.get),
            ("PATCH", one, f"{name}.patch", service.patch),
            ("DELETE", one, f"{name}.delete", service.delete),
        ]
    no_tensorboard = refuse("TensorBoard; use experiments without it (`backing_tensorboard=False`)")
    for verb, method in (("GET", "list"), ("POST", "create")):
        served.append((verb, PARENT + "/tensorboards", f"tensorboards.{method}", no_tensorboard))
    return both_versions_of(context.stats, served)


def put_node(
    resources: ResourceStore, name: str, fields: Document, time: str, *, replace: bool = False
) -> Document:
    """Create the context, execution or artifact `name` in the default store of its location.

    Args:
        resources: The store of all resources.
        name: Full name, `.../metadataStores/S/contexts/ID` and the like.
        fields: What the caller may set.
        time: When, as the API prints it.
        replace: Whether one that exists is overwritten.

    Raises:
        ApiError: 409 when it exists and may not be replaced.
    """
    if not replace and resources.get(name) is not None:
        raise ApiError(409, f"{name} already exists.")
    document = {**fields, "name": name, "createTime": time, "updateTime": time, "etag": etag(time)}
    resources.put(name, name.split("/")[-2], document)
    return document


class _Metadata:
    def __init__(self, context: VertexContext) -> None:
        self._resources = context.resources
        self._now = context.now

    async def create_store(self, request: Request) -> Response:
        body = parse("MetadataStore", await request.body())
        identifier = _new_id(request.query_params.get("metadataStoreId") or "default")
        name = f"{parent_name(request)}/metadataStores/{identifier}"
        if self._resources.get(name) is not None:
            raise ApiError(409, f"The MetadataStore {name} already exists.")
        time = self._now()
        store = {**_settable(body), "name": name, "createTime": time, "updateTime": time}
        self._resources.put(name, "metadataStores", store)
        return JSONResponse(
            operations.done(
                request,
                self._resources,
                name,
                time,
                metadata="CreateMetadataStoreOperationMetadata",
                response="MetadataStore",
                fields=store,
            )
        )

    async def get_store(self, request: Request) -> Response:
        return JSONResponse(self._find(resource_name(request)))

    async def list_stores(self, request: Request) -> Response:
        stores = self._resources.list("metadataStores", parent_name(request))
        return JSONResponse(page_answer("metadataStores", stores, request.query_params))

    async def create(self, request: Request) -> Response:
        parent, collection = _collection(request)
        self._find(parent)
        message = _MESSAGES[collection]
        body = parse(message, await request.body())
        given = request.query_params.get(f"{message.lower()}Id") or str(uuid.uuid4())
        name = f"{parent}/{collection}/{_new_id(given)}"
        return JSONResponse(visible(put_node(self._resources, name, _settable(body), self._now())))

    async def get(self, request: Request) -> Response:
        return JSONResponse(visible(self._find(resource_name(request))))

    async def list_all(self, request: Request) -> Response:
        parent, collection = _collection(request)
        self._find(parent)
        functions: dict[str, Function] = {"in_context": self._in_context}
        found = select(
            self._resources.list(collection, parent),
            request.query_params.get("filter", ""),
            functions,
        )
        order = request.query_params.get("orderBy", "")
        if order:
            found = _ordered(found, order)
        shown = [visible(document) for document in found]
        return JSONResponse(page_answer(collection, shown, request.query_params))

    async def patch(self, request: Request) -> Response:
        name = resource_name(request)
        message = _MESSAGES[name.split("/")[-2]]
        body = parse(message, await request.body())
        if self._resources.get(name) is None:
            if request.query_params.get("allowMissing") == "true":
                return JSONResponse(
                    visible(put_node(self._resources, name, _settable(body), self._now()))
                )
            self._find(name)
        mask = request.query_params.get("updateMask", "")
        fields = {camel(path.partition(".")[0]) for path in mask.split(",") if path} - {"*"}
        time = self._now()

        def change(document: Document) -> None:
            if body.get("etag") and body["etag"] != document["etag"]:
                raise ApiError(409, f"The etag of {name} has changed.", status="ABORTED")
            written = _settable(body)
            document.update({key: written[key] for key in fields or written if key in written})
            for key in fields - written.keys() - _OUTPUT_ONLY:
                document.pop(key, None)
            document["updateTime"], document["etag"] = time, etag(time)

        changed = self._resources.update(name, change)
        return JSONResponse(visible(changed or {}))

    async def delete(self, request: Request) -> Response:
        name = resource_name(request)
        self._find(name)
        self._resources.delete(name)
        return JSONResponse(
            operations.done(
                request,
                self._resources,
                name.rpartition("/")[0].rpartition("/")[0],
                self._now(),
                metadata="DeleteOperationMetadata",
            )
        )

    async def add_members(self, request: Request) -> Response:
        body = parse("AddContextArtifactsAndExecutionsRequest", await request.body())
        names = [*body.get("artifacts", []), *body.get("executions", [])]
        for name in names:
            self._find(name)
        self._find(resource_name(request))
        graph.add_members(self._resources, resource_name(request), names)
        return JSONResponse({})

    async def add_children(self, request: Request) -> Response:
        body = parse("AddContextChildrenRequest", await request.body())
        return self._change_children(request, body, add=True)

    async def remove_children(self, request: Request) -> Response:
        body = parse("RemoveContextChildrenRequest", await request.body())
        return self._change_children(request, body, add=False)

    def _change_children(self, request: Request, body: Document, *, add: bool) -> Response:
        context = self._find(resource_name(request))
        children = body.get("childContexts", [])
        for child in children:
            self._find(child)
            if add and graph.descends_from(self._resources, context, child):
                raise ApiError(400, f"{child} is above {context['name']}: no cycles are allowed.")
        graph.change_children(self._resources, context["name"], children, add=add)
        return JSONResponse({})

    async def add_events(self, request: Request) -> Response:
        body = parse("AddExecutionEventsRequest", await request.body())
        name = resource_name(request)
        self._find(name)
        events = body.get("events", [])
        for event in events:
            self._find(event.get("artifact", ""))
            if event.get("type") not in ("INPUT", "OUTPUT"):
                raise ApiError(400, "The type of an event must be INPUT or OUTPUT.")
        graph.add_events(self._resources, name, events, self._now())
        return JSONResponse({})

    async def context_lineage(self, request: Request) -> Response:
        context = self._find(resource_name(request))
        return JSONResponse(graph.context_subgraph(self._resources, context))

    async def execution_lineage(self, request: Request) -> Response:
        execution = self._find(resource_name(request))
        return JSONResponse(graph.execution_subgraph(self._resources, execution))

    async def artifact_lineage(self, request: Request) -> Response:
        artifact = self._find(resource_name(request))
        if request.query_params.get("filter"):
            raise not_served("`filter` of queryArtifactLineageSubgraph")
        hops = request.query_params.get("maxHops") or str(_MOST_HOPS)
        if not re.fullmatch(r"\d{1,4}", hops):
            raise ApiError(400, f"max_hops must be a non-negative integer, not {hops!r}.")
        return JSONResponse(
            graph.artifact_subgraph(self._resources, artifact, min(int(hops), _MOST_HOPS))
        )

    def _in_context(self, arguments: list[str]) -> Predicate:
        """`in_context("name")`: the members of a context."""
        members: set[str] = set()
        for name in arguments:
            members |= set((self._resources.get(name) or {}).get("_members", []))
        return lambda document: document["name"] in members

    def _find(self, name: str) -> Document:
        document = self._resources.get(name) if "/metadataStores/" in name else None
        if document is None:
            raise ApiError(404, f"{name or 'A resource without a name'} was not found.")
        return document


def _collection(request: Request) -> tuple[str, str]:
    parent, _, collection = resource_name(request).rpartition("/")
    return parent, collection


def _new_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ApiError(400, f"Invalid id {text!r}: it must match [a-z0-9][a-z0-9-]{{0,127}}.")
    return text


def _settable(body: Document) -> Document:
    return {key: value for key, value in body.items() if key not in _OUTPUT_ONLY}


def _ordered(documents: list[Document], order: str) -> list[Document]:
    """Sort by `field [desc], ...`; a document without the field comes first."""
    for part in reversed(order.split(",")):
        field, _, direction = part.strip().partition(" ")
        key = camel(field)

        def value(document: Document, key: str = key) -> tuple[bool, str]:
            return key in document, str(document.get(key, ""))

        documents = sorted(documents, key=value, reverse=direction.strip() == "desc")
    return documents
