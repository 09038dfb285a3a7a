"""A small web application behind the guard of `genaiops dev`, served on a free port."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from genaiops_dagster.cli.ui_address import UiAddress
from genaiops_dagster.cli.web_guard import WebGuard


@dataclass
class Guarded:
    """The application that is served.

    Attributes:
        address: Where, and with which token.
        port: Port of it.
        reached: `METHOD path` of each request that the guard let pass.
    """

    address: UiAddress
    port: int
    reached: list[str] = field(default_factory=list)


@contextlib.contextmanager
def guarded(token: str, clock: Callable[[], float] = time.monotonic) -> Iterator[Guarded]:
    """Serve until the end of the block; routes are of the kinds that Dagster has."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    served = Guarded(UiAddress(f"http://127.0.0.1:{port}", token), port)

    async def page(request: Request) -> Response:
        served.reached.append(f"{request.method} {request.url.path}")
        policy = {"Content-Security-Policy": "object-src 'none'", "Referrer-Policy": "unsafe-url"}
        return HTMLResponse("<title>Dagster</title>", headers=policy)

    async def graphql(request: Request) -> Response:
        if request.method == "GET" and "text/html" not in request.headers.get("accept", ""):
            served.reached.append(f"executed {request.query_params.get('query')}")
        return await page(request)

    async def subscription(websocket: WebSocket) -> None:
        served.reached.append("websocket")
        await websocket.accept(subprotocol="graphql-ws")
        await websocket.send_text("data")
        await websocket.close()

    routes = [
        Route("/graphql", graphql, methods=["GET", "POST"]),
        WebSocketRoute("/graphql", subscription),
        Route("/{path:path}", page),
    ]
    app = Starlette(routes=[Mount("/prefix", routes=routes), *routes])
    server = uvicorn.Server(
        uvicorn.Config(WebGuard(app, token, port, clock), log_level="warning", access_log=False)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield served
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
