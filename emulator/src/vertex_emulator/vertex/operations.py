"""Long-running operations: the answers of methods that Google runs in the background.

Here they are done at once; clients may still ask for them again.

https://google.aip.dev/151
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_emulator.errors import ApiError
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.database import ResourceStore
from vertex_emulator.vertex.http import PARENT, both_versions
from vertex_emulator.vertex.listing import page_answer

Document = dict[str, Any]

KIND = "operations"
EMPTY = "google.protobuf.Empty"
_TYPES = "type.googleapis.com/"
_MESSAGES = "google.cloud.aiplatform."


def done(
    request: Request,
    resources: ResourceStore,
    target: str,
    time: str,
    *,
    metadata: str,
    response: str = EMPTY,
    fields: Document | None = None,
) -> Document:
    """Record and return a finished operation on the resource `target`.

    Args:
        request: The request that is answered; its version of the API names the messages.
        resources: Where it is recorded.
        target: Resource that was worked on; the operation's name begins with it.
        time: When, as the API prints it.
        metadata: Message name of its metadata, such as `DeleteOperationMetadata`.
        response: Full message name of the result, or one of the API's.
        fields: The result.
    """
    messages = f"{_MESSAGES}{request.url.path.split('/')[1]}."
    full_name = response if "." in response else messages + response
    operation: Document = {
        "name": f"{target}/operations/{resources.new_id()}",
        "metadata": {
            "@type": _TYPES + messages + metadata,
            "genericMetadata": {"createTime": time, "updateTime": time},
        },
        "done": True,
        "response": {"@type": _TYPES + full_name, **(fields or {})},
    }
    resources.put(operation["name"], KIND, operation)
    return operation


def routes(context: VertexContext) -> list[Route]:
    """The routes of operations, on a location and on models and endpoints."""
    resources = context.resources

    async def get(request: Request) -> Response:
        return JSONResponse(_find(resources, _name(request)))

    async def wait(request: Request) -> Response:
        return JSONResponse(_find(resources, _name(request).removesuffix(":wait")))

    async def cancel(request: Request) -> Response:
        _find(resources, _name(request).removesuffix(":cancel"))
        return JSONResponse({})

    async def delete(request: Request) -> Response:
        _find(resources, _name(request))
        resources.delete(_name(request))
        return JSONResponse({})

    async def list_all(request: Request) -> Response:
        found = resources.list(KIND, _name(request).removesuffix("/operations"))
        return JSONResponse(page_answer("operations", found, request.query_params))

    handlers: tuple[tuple[str, str, str, Callable[[Request], Any]], ...] = (
        ("POST", "/{operation}:wait", "operations.wait", wait),
        ("POST", "/{operation}:cancel", "operations.cancel", cancel),
        ("GET", "/{operation}", "operations.get", get),
        ("DELETE", "/{operation}", "operations.delete", delete),
        ("GET", "", "operations.list", list_all),
    )
    return [
        route
        for parent in ("", "/models/{target}", "/endpoints/{target}", "/metadataStores/{target}")
        for verb, path, method, handler in handlers
        for route in both_versions(
            context.stats, verb, f"{PARENT}{parent}/operations{path}", method, handler
        )
    ]


def _find(resources: ResourceStore, name: str) -> Document:
    operation = resources.get(name)
    if operation is None:
        raise ApiError(404, f"The operation {name} was not found.")
    return operation


def _name(request: Request) -> str:
    return request.url.path.split("/", 2)[2]
