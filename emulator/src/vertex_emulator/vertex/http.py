"""Routes of the Vertex AI API, counted and timed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.stats import Stats

Handler = Callable[[Request], Awaitable[Response]]
Served = tuple[str, str, str, Handler]
"""HTTP verb, path below the version, the API's name of the method, and its handler."""

VERSIONS = ("v1", "v1beta1")
PARENT = "/projects/{project}/locations/{location}"


def both_versions(stats: Stats, verb: str, path: str, method: str, handler: Handler) -> list[Route]:
    """Serve `path` under each version of the API.

    Args:
        stats: Where each answered request is counted.
        verb: HTTP verb.
        path: Path below the version, such as `PARENT + "/tuningJobs"`.
        method: The API's name of the method, such as `tuningJobs.create`.
        handler: Answers the request; sets `request.state.model` where a model is named.
    """

    async def counted(request: Request) -> Response:
        started = time.perf_counter()
        status = 500
        try:
            response = await handler(request)
            status = response.status_code
            return response
        except ApiError as error:
            status = error.code
            raise
        finally:
            stats.record(
                "vertex",
                method,
                status=status,
                milliseconds=(time.perf_counter() - started) * 1000,
                model=getattr(request.state, "model", None),
            )

    return [
        Route(f"/{version}{path}", counted, methods=[verb], name=method) for version in VERSIONS
    ]


def both_versions_of(stats: Stats, served: Iterable[Served]) -> list[Route]:
    """The routes of several methods; see `both_versions`."""
    return [route for method in served for route in both_versions(stats, *method)]


def refuse(what: str) -> Handler:
    """A handler that refuses a method of the API by name."""

    async def refusing(_: Request) -> Response:
        raise not_served(what)

    return refusing


def resource_name(request: Request) -> str:
    """Name of the resource in the request's path, without version and custom verb."""
    name: str = request.scope["path"].split("/", 2)[2]
    return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name


def parent_name(request: Request) -> str:
    """`projects/<project>/locations/<location>` of the request's path."""
    return "/".join(request.scope["path"].split("/")[2:6])
