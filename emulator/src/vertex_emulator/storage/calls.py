"""A request to the API and its answer, as plain data between the network and the methods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.storage.partial_response import Selection, parse_selector
from vertex_emulator.storage.preconditions import Preconditions, parse_integer

_MAX_JSON_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        method: HTTP method.
        path: Decoded segments of the path below the API's root.
        query: Query parameters; of a repeated one, the last.
        headers: Request headers; names compare without regard to case.
        host: Scheme and authority that the client used, for links in the answer.
        body: The JSON object of the body; empty where there is none.
        permissions: Every `permissions` parameter, the one that may be repeated.
        selection: The parts of the answer that the client wants; None for all of it.
    """

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    host: str
    body: Mapping[str, Any] = field(default_factory=dict)
    permissions: tuple[str, ...] = ()
    selection: Selection | None = None

    def with_body(self, body: Mapping[str, Any]) -> Call:
        """The same call with a body."""
        return replace(self, body=body)

    def integer(self, name: str) -> int | None:
        """A whole-number parameter.

        Raises:
            ApiError: 400 if it is something else.
        """
        value = self.query.get(name)
        return None if value is None else parse_integer(name, value)

    def flag(self, name: str) -> bool:
        """A boolean parameter, false where it is missing.

        Raises:
            ApiError: 400 if it is something else.
        """
        value = self.query.get(name, "false").lower()
        if value not in {"true", "false"}:
            raise ApiError(400, f"Invalid value for {name}: {value[:40]!r} is not true or false.")
        return value == "true"

    def preconditions(self) -> Preconditions:
        """The conditions on the object or bucket that the call is about."""
        return Preconditions.parse(self.query, headers=self.headers)

    def source_preconditions(self) -> Preconditions:
        """The conditions on the source of a copy."""
        return Preconditions.parse(self.query, prefix="ifSource")


@dataclass(frozen=True)
class Reply:
    """One answer: a JSON object, or nothing."""

    body: Mapping[str, Any] | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def call_of(scope: Scope, root: str) -> Call:
    """The call that an HTTP request makes, without its body.

    Args:
        scope: Of an HTTP request.
        root: Path under which the API is served.

    Raises:
        ApiError: 400 if path or query is not percent-encoded UTF-8.
    """
    headers = Headers(scope=scope)
    host = f"{scope['scheme']}://{headers.get('host', 'localhost')}"
    try:
        target = scope["raw_path"].decode("ascii")
        query = scope["query_string"].decode("ascii")
    except UnicodeDecodeError:
        raise ApiError(400, "The request's address is not percent-encoded.") from None
    return parse_call(scope["method"], target.removeprefix(root), query, headers, host)


def parse_call(method: str, path: str, query: str, headers: Mapping[str, str], host: str) -> Call:
    """Decode a path and a query, both as they are sent.

    Raises:
        ApiError: 400 if they are not percent-encoded UTF-8, or `fields` is malformed.
    """
    try:
        segments = [unquote(part, errors="strict") for part in path.strip("/").split("/")]
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:
        raise ApiError(400, "The request's address is not percent-encoded UTF-8.") from None
    permissions = tuple(value for name, value in pairs if name == "permissions")
    parameters = dict(pairs)
    selection = parse_selector(parameters["fields"]) if "fields" in parameters else None
    return Call(
        method,
        tuple(segments),
        parameters,
        headers,
        host,
        permissions=permissions,
        selection=selection,
    )


async def read_json(request: Request) -> Mapping[str, Any]:
    """The JSON object in a request's body; empty where there is no body.

    Raises:
        ApiError: 400 if it is something else; 413 if it is too long.
    """
    if "content-encoding" in request.headers:
        raise not_served("compressed request bodies")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_JSON_BYTES:
            raise ApiError(413, f"The request's JSON is longer than {_MAX_JSON_BYTES} bytes.")
    return parse_json(bytes(body))


def parse_json(text: bytes) -> Mapping[str, Any]:
    """The JSON object in `text`; empty where there is only white space.

    Raises:
        ApiError: 400 if it is something else.
    """
    if not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        if b"\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()  # fails on half of a surrogate pair
    except (ValueError, RecursionError):
        raise ApiError(400, "Parse Error: the request's body is not JSON.") from None
    if not isinstance(value, dict):
        raise ApiError(400, "Parse Error: the request's body is not a JSON object.")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
