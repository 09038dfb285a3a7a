"""The emulator as one web application, and the process that serves it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_emulator.access import Access
from vertex_emulator.bigquery.service import BigQueryService
from vertex_emulator.calls import describe
from vertex_emulator.config import EmulatorConfig
from vertex_emulator.environment import (
    CREDENTIALS_FILE,
    client_variables,
    write_credentials,
    write_environment_file,
)
from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.fault_injection import FaultInjector
from vertex_emulator.fault_injection import routes as fault_routes
from vertex_emulator.fault_kinds import parse_plan
from vertex_emulator.faults import FaultBook
from vertex_emulator.guard import PROOF_PATH, Guard
from vertex_emulator.iam import IamCheck, permission_routes, read_policy
from vertex_emulator.private_files import keep_private
from vertex_emulator.protocol import EmulatorProtocol
from vertex_emulator.public_data import AfterPublicData, PublicData
from vertex_emulator.stats import Stats
from vertex_emulator.storage.service import StorageService
from vertex_emulator.vertex.service import VertexService

ENVIRONMENT_FILE = "environment"
"""File in the state folder with the variables of the emulator that serves it, or last did."""

SERVER = "vertex-emulator"
"""The `Server` header of every answer: it tells a client that this is the emulator."""

_LOCK = "lock"
_FREE_SECONDS = 0.5
_FULL = {errno.ENOSPC, errno.EDQUOT}
_LOCK_SECONDS = 10
_OWN_ENTRIES = {
    *("bigquery", "storage", "vertex"),
    *(CREDENTIALS_FILE, ENVIRONMENT_FILE, _LOCK, "server.log"),
}
_BARE_CLIENT = (
    " genai.Client(vertexai=True) with another base URL forgets project and location of the"
    " environment and sends requests without a path: pass both, or call genai.Client()."
)
_API_PATHS = (
    *("/v1/", "/v1beta1/", "/bigquery/v2/", "/upload/bigquery/v2/"),
    *("/storage/v1/", "/upload/storage/v1/", "/download/storage/v1/"),
)


class StateInUseError(RuntimeError):
    """Two emulators cannot serve one state folder."""


def create_app(config: EmulatorConfig, stats: Stats | None = None) -> Starlette:
    """Build the application with its services on the state folder of `config`.

    Raises:
        OSError: The fault file cannot be read.
        FaultPlanError: The fault file is not of the form that `emulator/docs/faults.md` gives.
        IamFileError: The file of permissions is not of the form that `emulator/docs/iam.md` gives.
    """
    stats = stats or Stats()
    faults = FaultBook(parse_plan(config.faults.read_bytes()) if config.faults else None)
    config.state.mkdir(parents=True, exist_ok=True)
    storage = StorageService(config, stats)
    bigquery = BigQueryService(config, storage, stats)
    access = Access(config.state / CREDENTIALS_FILE)
    vertex = VertexService(config, storage, bigquery, stats, faults, access)
    storage.ensure_bucket(config.bucket)
    policy = read_policy(config.iam) if config.iam else None
    public_data = PublicData(bigquery) if config.seed_public_data else None

    async def token(request: Request) -> Response:
        token = access.exchange(await request.body())
        return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    async def show_stats(_: Request) -> Response:
        return JSONResponse(stats.snapshot())

    async def clear_stats(_: Request) -> Response:
        stats.clear()
        return Response(status_code=204)

    async def show_log(_: Request) -> Response:
        return JSONResponse(stats.log())

    async def ready(_: Request) -> Response:
        return JSONResponse({"status": "ready", "process": os.getpid()})

    async def prove(request: Request) -> Response:
        challenge = request.query_params.get("challenge", "")
        return JSONResponse({"proof": access.proof(challenge, config.port)})

    async def on_api_error(_: Request, error: Exception) -> Response:
        if not isinstance(error, ApiError):
            raise error
        return error.response()

    async def on_full_disk(_: Request, error: Exception) -> Response:
        if getattr(error, "errno", None) not in _FULL and "disk is full" not in str(error):
            raise error
        message = f"no space is left on the disk of {config.state}, where the emulator keeps it"
        return ApiError(507, message, reason="insufficientStorage").response()

    async def on_unknown_path(request: Request, _: Exception) -> Response:
        error = _unserved(request)
        call = describe(request.method, request.url.path)
        if error.code == 501:
            stats.record(call.service, call.method, status=501, milliseconds=0.0)
        return error.response()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # Slow work begins when all else is ready, and only its users wait for it.
        vertex.context.catalog.prepare()
        if public_data:
            public_data.start()
        yield
        vertex.close()
        if public_data:
            public_data.stop()
        bigquery.close()
        storage.close()

    app = Starlette(
        routes=[
            Route("/token", token, methods=["POST"]),
            Route(PROOF_PATH, prove),
            Route("/emulator/ready", ready),
            Route("/emulator/stats", show_stats),
            Route("/emulator/stats", clear_stats, methods=["DELETE"]),
            Route("/emulator/log", show_log),
            *fault_routes(faults),
            *permission_routes(policy),
            *storage.routes(),
            *bigquery.routes(),
            *vertex.routes(),
            *storage.xml_routes(),
        ],
        exception_handlers={
            ApiError: on_api_error,
            OSError: on_full_disk,
            sqlite3.OperationalError: on_full_disk,
            404: on_unknown_path,
            405: on_unknown_path,
        },
        lifespan=lifespan,
    )
    app.add_middleware(FaultInjector, book=faults, stats=stats)
    if policy:
        app.add_middleware(IamCheck, policy=policy, project=config.project)
    if public_data:
        app.add_middleware(AfterPublicData, public_data=public_data)
    app.add_middleware(Guard, access=access)
    return app


def _unserved(request: Request) -> ApiError:
    """The refusal of a request that no route takes: by name when it is for one of the APIs."""
    path = request.url.path
    # A name with a slash in it names nothing.
    named = b"%2f" not in request.scope["raw_path"].lower()
    if named and path.startswith(_API_PATHS):
        method = describe(request.method, path).method
        return not_served(f"the method {method} ({request.method} {path[:200]})")
    hint = _BARE_CLIENT if path == "/" else ""
    return ApiError(404, f"The emulator serves no {request.method} {path[:200]}.{hint}")


def serve(
    config: EmulatorConfig,
    *,
    on_ready: Callable[[str, dict[str, str]], None] | None = None,
    stop_when_input_ends: bool = False,
    stop_when_free: Path | None = None,
    reset: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        config: Settings; `port` 0 takes a free port.
        on_ready: Called once requests are answered, with the URL and the client variables.
        stop_when_input_ends: Stop when standard input closes, as it does when the parent dies.
        stop_when_free: Stop when no process holds a lock (`flock`) on this file any more.
        reset: Clear the state folder first.

    Raises:
        StateInUseError: another emulator serves the same state folder.
        OSError: the port is taken, or the fault file cannot be read.
        FaultPlanError: the fault file is not of its form.
    """
    keep_private(config.state, _OWN_ENTRIES)
    with _only_server_of(config.state):
        if reset:
            _clear(config.state)
        _serve(config, on_ready, stop_when_input_ends, stop_when_free)


def _serve(
    config: EmulatorConfig,
    on_ready: Callable[[str, dict[str, str]], None] | None,
    stop_when_input_ends: bool,
    stop_when_free: Path | None,
) -> None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((config.host, config.port))
    config = replace(config, port=listener.getsockname()[1])
    url = f"http://{config.host}:{config.port}"
    variables = client_variables(config, url, write_credentials(config, url))
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(config),
            http=EmulatorProtocol,
            log_level="warning",
            access_log=False,
            server_header=False,
            headers=[("Server", SERVER)],
            lifespan="on",
            timeout_graceful_shutdown=2,
        )
    )

    def watch() -> None:
        while not server.started and not server.should_exit:
            time.sleep(0.01)
        if server.started:
            write_environment_file(config.state / ENVIRONMENT_FILE, variables)
            if on_ready:
                on_ready(url, variables)
        if stop_when_input_ends:
            sys.stdin.buffer.read()
            server.should_exit = True
        if stop_when_free:
            _wait_until_free(stop_when_free)
            server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run(sockets=[listener])


def _wait_until_free(file: Path) -> None:
    """Wait until nobody holds a lock on a file; then hold it until this process ends.

    A process that comes in the meantime waits for the lock, finds no server, and starts one.
    """
    held = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_FREE_SECONDS)
        else:
            return


def _clear(state: Path) -> None:
    """Remove everything in the state folder but the lock that is held."""
    for entry in state.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            entry.unlink()


@contextmanager
def _only_server_of(state: Path) -> Iterator[None]:
    """Hold the state folder; waits for a server that is just stopping."""
    lock = FileLock(state / _LOCK, timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise StateInUseError(
            f"another emulator serves {state}; stop it, or choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
