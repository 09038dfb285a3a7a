"""Applies faults to requests: a layer around the application, and the routes that set faults."""

from __future__ import annotations

import asyncio

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vertex_emulator.calls import Call, describe
from vertex_emulator.errors import ApiError
from vertex_emulator.fault_kinds import (
    Drop,
    Error,
    FaultPlan,
    FaultPlanError,
    Hang,
    Latency,
    Quota,
    Truncate,
    parse_plan,
)
from vertex_emulator.faults import FaultBook
from vertex_emulator.protocol import ABORT
from vertex_emulator.stats import Stats


class FaultInjector:
    """Applies the faults of the fault book to requests; passes all others through untouched."""

    def __init__(self, app: ASGIApp, book: FaultBook, stats: Stats) -> None:
        self._app = app
        self._book = book
        self._stats = stats

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or spoil its answer."""
        if scope["type"] != "http" or not self._book:
            await self._app(scope, receive, send)
            return
        call = describe(scope["method"], scope["raw_path"].decode("latin-1"))
        if not call.service:
            await self._app(scope, receive, send)
            return
        await self._meet(call, scope, receive, send)

    async def _meet(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        if self._book.has_patterns:  # a path may be long; other requests are answered meanwhile
            rules = await run_in_threadpool(self._book.matching, call)
        else:
            rules = self._book.matching(call)
        for latency, dice in self._book.strike(rules, Latency):
            await asyncio.sleep(latency.draw(dice))
        over = self._book.over_quota(rules)
        if over:
            await self._refuse(call, quota_error(*over), scope, receive, send)
            return
        for fault, _ in self._book.strike(rules, Hang, Drop, Error, Truncate):
            if isinstance(fault, Hang):
                await _wait_for_disconnect(receive, fault.seconds)
                await _cut(scope, receive)
            elif isinstance(fault, Drop):
                if fault.when == "after":
                    await self._app(scope, receive, _swallow)
                await _cut(scope, receive)
            elif isinstance(fault, Error):
                if fault.work_done:
                    await self._app(scope, receive, _swallow)
                await self._refuse(call, _error(fault), scope, receive, send)
            elif isinstance(fault, Truncate):
                await _truncated(self._app, fault.after_bytes, scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _refuse(
        self, call: Call, error: ApiError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._stats.record(
            call.service, call.method, status=error.code, milliseconds=0.0, model=call.model
        )
        await error.response()(scope, receive, send)


def quota_error(quota: Quota, wait_seconds: int) -> ApiError:
    """The 429 that Vertex AI answers; the forms of the details are those of google.rpc.

    https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429
    """
    return ApiError(
        429,
        "Resource exhausted. Please try again later. Please refer to"
        " https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details."
        f" (emulated quota: {quota.requests_per_minute} per minute)",
        headers={"Retry-After": str(wait_seconds)},
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "aiplatform.googleapis.com",
                "metadata": {
                    "quota_metric": f"aiplatform.googleapis.com/{quota.metric}",
                    "quota_limit_value": str(quota.requests_per_minute),
                },
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{wait_seconds}s"},
        ],
    )


def _error(fault: Error) -> ApiError:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    message = fault.message or f"The emulator was configured to answer {fault.status} here."
    return ApiError(fault.status, message, headers=headers)


async def _swallow(_: Message) -> None:
    """Take an answer and discard it."""


async def _wait_for_disconnect(receive: Receive, seconds: float) -> None:
    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(gone(), seconds)
    except TimeoutError:
        return


async def _cut(scope: Scope, receive: Receive) -> None:
    """Close the connection at once and wait until the server knows.

    Raises:
        RuntimeError: The application runs under a server that cannot.
    """
    abort = scope.get("extensions", {}).get(ABORT)
    if abort is None:
        raise RuntimeError("only a server with EmulatorProtocol can cut connections")
    abort["call"]()
    await _wait_for_disconnect(receive, 5)


async def _truncated(
    app: ASGIApp, after_bytes: int, scope: Scope, receive: Receive, send: Send
) -> None:
    left = after_bytes
    over = False

    async def send_some(message: Message) -> None:
        nonlocal left, over
        if over:
            return
        if message["type"] != "http.response.body":
            await send(message)
            return
        body = message.get("body", b"")
        if len(body) <= left and message.get("more_body", False):
            left -= len(body)
            await send(message)
            return
        over = True
        await send({"type": "http.response.body", "body": body[:left], "more_body": True})

    await app(scope, receive, send_some)
    await asyncio.sleep(0.01)  # lets the transport write what it was given before it is cut
    await _cut(scope, receive)


def routes(book: FaultBook) -> list[Route]:
    """`/emulator/faults`: POST adds faults, PUT replaces them, GET shows and DELETE clears them."""

    async def show(_: Request) -> Response:
        return JSONResponse(book.snapshot())

    async def add(request: Request) -> Response:
        book.add(_plan(await request.body()))
        return JSONResponse(book.snapshot())

    async def replace(request: Request) -> Response:
        book.replace(_plan(await request.body()))
        return JSONResponse(book.snapshot())

    async def clear(_: Request) -> Response:
        book.clear()
        return Response(status_code=204)

    path = "/emulator/faults"
    return [
        Route(path, show),
        Route(path, add, methods=["POST"]),
        Route(path, replace, methods=["PUT"]),
        Route(path, clear, methods=["DELETE"]),
    ]


def _plan(body: bytes) -> FaultPlan:
    try:
        return parse_plan(body)
    except FaultPlanError as error:
        raise ApiError(400, f"Not a fault plan: {error}") from error
