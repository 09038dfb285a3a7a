"""HTTP requests to plain calls and back: JSON bodies, paging, errors in Google's form."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import duckdb
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_emulator.bigquery.shapes import check_shapes, is_number
from vertex_emulator.bigquery.sql.casts import FAILURE
from vertex_emulator.errors import ApiError
from vertex_emulator.stats import Stats

_THREADS = 64
_PAGE_SIZE = 1000

logger = logging.getLogger(__name__)

_MESSAGES = (
    (re.compile(rf"Could not convert string '{FAILURE}(.*?)' to INT64", re.DOTALL), r"\1"),
    (re.compile(r"while executing the UDF: \w+: (.*)", re.DOTALL), r"\1"),
    (
        re.compile("cannot affect the same target row more than once"),
        "UPDATE/MERGE must match at most one source row for each target row",
    ),
    (re.compile(r"NOT NULL constraint failed: \w+\.(.*)"), r"Required field \1 cannot be null"),
    (
        re.compile(r'column "(.*?)" must appear in the GROUP BY clause'),
        r"SELECT list expression references column \1 which is neither grouped nor aggregated"
        " (GROUP BY)",
    ),
    (
        re.compile("More than one row returned by a subquery"),
        "Scalar subquery produced more than one element",
    ),
)


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        path: Variables of the path, such as `project`.
        query: Query string; the last value of a repeated name.
        query_items: The whole query string.
        body: JSON object of the body; empty when there is none.
        headers: Request headers, by lower-case name.
        content: Bytes of the body.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: dict[str, Any]
    headers: Mapping[str, str]
    content: bytes = b""
    query_items: Sequence[tuple[str, str]] = ()

    def integer(self, name: str) -> int | None:
        """A whole number of the query string; None when absent.

        Raises:
            ApiError: 400 if it is not a number, or is negative.
        """
        value = self.query.get(name)
        if value is None:
            return None
        if not is_number(value) or int(value) < 0:
            raise ApiError(400, f"Invalid value for {name}: {value[:50]!r}")
        return int(value)

    def flag(self, name: str) -> bool:
        """Whether a boolean of the query string is true."""
        return self.query.get(name, "").lower() == "true"


Handler = Callable[[Call], dict[str, Any] | Response | None]


class Change(Protocol):
    """Answers a request that changes a resource; `replace` forgets the fields it leaves out."""

    def __call__(self, call: Call, *, replace: bool) -> dict[str, Any]:
        """The changed resource."""
        ...


class Endpoints:
    """Makes routes, and runs their handlers in threads of their own.

    Many clients may wait for long queries at once, and must not use up the other services' threads.

    Args:
        stats: Where each answered request is counted.
    """

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="bigquery-request")

    def route(self, method: str, path: str, name: str, handler: Handler) -> Route:
        """A route that answers `handler`'s object as JSON, and every error as a 4xx.

        The client libraries retry 5xx answers for minutes, so even a bug of the emulator is
        answered with a 4xx.
        """

        async def endpoint(request: Request) -> Response:
            started = time.perf_counter()
            content = await request.body()
            loop = asyncio.get_running_loop()
            try:
                response = await loop.run_in_executor(
                    self._threads, _answer, handler, request, content
                )
            except Exception as error:  # noqa: BLE001
                response = api_error(error).response()
            self._stats.record(
                "bigquery",
                name,
                status=response.status_code,
                milliseconds=(time.perf_counter() - started) * 1000,
            )
            return response

        return Route(path, endpoint, methods=[method])

    def resource_routes(
        self, path: str, kind: str, handlers: Mapping[str, Handler], change: Change
    ) -> list[Route]:
        """The six routes of a resource that clients insert, list, get, patch, update and delete.

        Args:
            path: Path of the collection, which ends with its name, such as `.../tables`.
            kind: Name of one resource in paths, such as `table`.
            handlers: What answers `insert`, `list`, `get` and `delete`.
            change: What answers `patch`, and `update` with `replace=True`.
        """
        one = f"{path}/{{{kind}}}"
        served: tuple[tuple[str, str, str, Handler], ...] = (
            ("POST", path, "insert", handlers["insert"]),
            ("GET", path, "list", handlers["list"]),
            ("GET", one, "get", handlers["get"]),
            ("PATCH", one, "patch", lambda call: change(call, replace=False)),
            ("PUT", one, "update", lambda call: change(call, replace=True)),
            ("DELETE", one, "delete", handlers["delete"]),
        )
        return [
            self.route(verb, where, f"{kind}s.{name}", handler)
            for verb, where, name, handler in served
        ]

    def close(self) -> None:
        """Wait for the requests that are being answered."""
        self._threads.shutdown(wait=True)


def _answer(handler: Handler, request: Request, content: bytes) -> Response:
    is_json = request.headers.get("content-type", "").startswith("application/json")
    call = Call(
        path=request.path_params,
        query=request.query_params,
        query_items=request.query_params.multi_items(),
        body=parse_object(content) if content and is_json else {},
        headers=request.headers,
        content=content,
    )
    result = handler(call)
    if isinstance(result, Response):
        return result
    return Response(status_code=204) if result is None else JSONResponse(result)


def parse_object(content: bytes) -> dict[str, Any]:
    """The JSON object that `content` holds.

    Raises:
        ApiError: 400 if it is not a JSON object.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "Parse Error: the body is not JSON.", reason="parseError") from error
    if not isinstance(body, dict):
        raise ApiError(400, "Parse Error: a JSON object is needed.", reason="parseError")
    check_shapes(body)
    return body


def api_error(error: Exception) -> ApiError:
    """Any error as the one that Google's API would give."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, duckdb.InterruptException):
        return ApiError(
            499, "Job execution was cancelled: User requested cancellation", reason="stopped"
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return ApiError(
            400,
            "Resources exceeded during query execution: The query could not be executed in the "
            "allotted memory.",
            reason="resourcesExceeded",
        )
    if isinstance(error, duckdb.Error):
        return ApiError(400, _message(str(error))[:2000], reason="invalidQuery")
    logger.error("The BigQuery emulator failed: this is a defect.", exc_info=error)
    return ApiError(400, f"The emulator failed on this request: {type(error).__name__}: {error}")


def _message(text: str) -> str:
    """DuckDB's message, in BigQuery's words where those are known."""
    for pattern, replacement in _MESSAGES:
        if found := pattern.search(text):
            return found.expand(replacement)
    return text.split("\n\nLINE ")[0]


def object_at(body: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A nested object of a request body; empty when absent.

    Raises:
        ApiError: 400 if it is something else.
    """
    value: Any = body
    for name in names:
        value = value.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ApiError(400, f"{'.'.join(names)} must be an object.")
    return dict(value)


def refuse(given: Mapping[str, Any], refused: Mapping[str, str]) -> None:
    """Refuse settings that the emulator does not honour, by name, when they are set.

    Args:
        given: Part of a request body.
        refused: What each refused field asks for.

    Raises:
        ApiError: 400.
    """
    for key, what in refused.items():
        if given.get(key):
            raise ApiError(400, f"The emulator does not serve {what} ({key}).")


def text_at(body: Mapping[str, Any], name: str) -> str:
    """A string of a request body.

    Raises:
        ApiError: 400 if it is missing or not a string.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise ApiError(400, f"Required parameter is missing: {name}", reason="required")
    return value


def page_answer(
    call: Call, kind: str, key: str, items: Sequence[Any], shown: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    """The answer of a list method: the page that `maxResults` and `pageToken` ask for.

    Args:
        call: The request.
        kind: What the API calls the answer, such as `tableList`.
        key: Field of the answer that holds the items.
        items: All items, in the order of the list.
        shown: An item as the list shows it.
    """
    token = call.query.get("pageToken", "0")
    if not is_number(token) or int(token) < 0:
        raise ApiError(400, "Invalid page token.")
    start = int(token)
    end = start + (call.integer("maxResults") or _PAGE_SIZE)
    answer = {"kind": f"bigquery#{kind}", key: [shown(item) for item in items[start:end]]}
    return {**answer, "nextPageToken": str(end)} if end < len(items) else answer


def chosen(document: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The fields of `document` that `keys` name, as far as it has them."""
    return {key: document[key] for key in keys if key in document}
