"""The HTTP endpoints of the JSON API: plain calls, media, uploads and batches.

Each is an ASGI application that turns a request into a call, has it answered and records it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.storage.batch import BatchRequest, format_batch, read_batch
from vertex_emulator.storage.calls import Call, Reply, call_of, parse_json, read_json
from vertex_emulator.storage.context import StorageContext
from vertex_emulator.storage.downloads import download
from vertex_emulator.storage.methods import ApiMethod, resolve_method
from vertex_emulator.storage.object_methods import object_address
from vertex_emulator.storage.partial_response import select_fields
from vertex_emulator.storage.resumable import cancel_resumable, continue_resumable
from vertex_emulator.storage.uploads import (
    insert_media,
    insert_multipart,
    start_resumable,
)

_JSON_ROOT = "/storage/v1"
_DOWNLOAD_ROOT = "/download/storage/v1"
_UPLOAD_ROOT = "/upload/storage/v1"
_BATCH_ROOT = "/batch/storage/v1"

# Answers a request; sets `scope["storage.method"]` to the name of the API's method.
Handler = Callable[[StorageContext, Request], Awaitable[Response]]


class Endpoint:
    """An ASGI application that answers with a handler, and records what it answered.

    Args:
        context: The stores.
        handler: Answers a request.
        on_error: The response for an error; JSON when left out.
    """

    def __init__(
        self,
        context: StorageContext,
        handler: Handler,
        on_error: Callable[[ApiError], Response] | None = None,
    ) -> None:
        self._context = context
        self._handler = handler
        self._on_error = on_error or error_response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        scope["storage.method"] = "unknown"
        try:
            response = await self._handler(self._context, Request(scope, receive))
        except ApiError as error:
            response = self._on_error(error)
        except ClientDisconnect:
            return
        self._context.stats.record(
            "storage",
            scope["storage.method"],
            status=response.status_code,
            milliseconds=(time.perf_counter() - started) * 1000,
        )
        await response(scope, receive, send)


def routes(context: StorageContext) -> list[BaseRoute]:
    """The routes of the JSON API."""
    handlers: dict[str, Handler] = {
        _JSON_ROOT: serve_json,
        _DOWNLOAD_ROOT: serve_download,
        _UPLOAD_ROOT: serve_upload,
        _BATCH_ROOT: serve_batch,
    }
    found: list[BaseRoute] = []
    for root, handler in handlers.items():
        application = Endpoint(context, handler)
        found += [Route(root, application), Route(f"{root}/{{path:path}}", application)]
    return found


def error_response(error: ApiError) -> Response:
    """The error as JSON; a 304 has no body."""
    if error.code == 304:
        return Response(status_code=304)
    return error.response()


async def serve_json(context: StorageContext, request: Request) -> Response:
    """`/storage/v1`: everything but bytes, and `alt=media`."""
    call = call_of(request.scope, _JSON_ROOT)
    if call.query.get("alt") == "media":
        return await _serve_media(context, request, call)
    method = resolve_method(call)
    request.scope["storage.method"] = method.name
    if call.method in {"POST", "PUT", "PATCH"}:
        call = call.with_body(await read_json(request))
    return _render(await _run(context, method, call), call)


async def serve_download(context: StorageContext, request: Request) -> Response:
    """`/download/storage/v1`: the bytes of objects."""
    return await _serve_media(context, request, call_of(request.scope, _DOWNLOAD_ROOT))


async def serve_upload(context: StorageContext, request: Request) -> Response:
    """`/upload/storage/v1`: `objects.insert`."""
    call = call_of(request.scope, _UPLOAD_ROOT)
    if len(call.path) != 3 or (call.path[0], call.path[2]) != ("b", "o"):
        raise ApiError(404, "Uploads go to /upload/storage/v1/b/BUCKET/o.")
    request.scope["storage.method"] = "objects.insert"
    match call.method, call.query.get("uploadType"), "upload_id" in call.query:
        case (("PUT" | "POST"), _, True):
            reply = await continue_resumable(context, call, request)
        case "DELETE", _, True:
            reply = await cancel_resumable(context, call)
        case "POST", "media", _:
            reply = await insert_media(context, call, request)
        case "POST", "multipart", _:
            reply = await insert_multipart(context, call, request)
        case "POST", "resumable", _:
            reply = await start_resumable(context, call, request)
        case "POST", kind, _:
            raise ApiError(400, f"Invalid uploadType {kind!r}: media, multipart or resumable.")
        case method, _, _:
            raise ApiError(405, f"{method} is not a method here without an upload_id.")
    return _render(reply, call)


async def serve_batch(context: StorageContext, request: Request) -> Response:
    """`/batch/storage/v1`: many calls in one request, answered in their order."""
    request.scope["storage.method"] = "batch"
    if request.method != "POST":
        raise ApiError(405, "A batch is sent with POST.")
    host = call_of(request.scope, _BATCH_ROOT).host
    parts = await read_batch(request, host)
    responses = [await _answer_part(context, part) for part in parts]
    content, content_type = format_batch(parts, responses)
    return Response(content, headers={"content-type": content_type})


async def _answer_part(context: StorageContext, part: BatchRequest) -> Response:
    try:
        if not part.target.startswith(f"{_JSON_ROOT}/"):
            raise ApiError(404, f"A batch has calls below {_JSON_ROOT} alone.")
        call = part.call(_JSON_ROOT)
        if call.query.get("alt") == "media":
            raise not_served("downloads within a batch")
        call = call.with_body(parse_json(part.body))
        return _render(await _run(context, resolve_method(call), call), call)
    except ApiError as error:
        return error_response(error)


async def _serve_media(context: StorageContext, request: Request, call: Call) -> Response:
    request.scope["storage.method"] = "objects.get"
    if call.method != "GET" or len(call.path) != 4 or (call.path[0], call.path[2]) != ("b", "o"):
        raise ApiError(404, "The bytes of an object are at b/BUCKET/o/OBJECT?alt=media.")
    return await download(
        context,
        *object_address(call),
        call.headers,
        generation=call.integer("generation"),
        conditions=call.preconditions(),
    )


async def _run(context: StorageContext, method: ApiMethod, call: Call) -> Reply:
    if method.slow:
        return await run_in_threadpool(method.run, context, call)
    return method.run(context, call)


def _render(reply: Reply, call: Call) -> Response:
    if reply.body is None:
        return Response(status_code=reply.status, headers=dict(reply.headers))
    body = reply.body if call.selection is None else select_fields(reply.body, call.selection)
    content = json.dumps(body, separators=(",", ":")).encode()
    headers = {"content-type": "application/json; charset=UTF-8", **reply.headers}
    return Response(content, reply.status, headers)
