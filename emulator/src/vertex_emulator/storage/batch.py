"""Batches: many calls in the parts of one multipart request.

https://docs.cloud.google.com/storage/docs/batch
"""

from __future__ import annotations

import email
import http
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from vertex_emulator.errors import ApiError
from vertex_emulator.storage.calls import Call, parse_call
from vertex_emulator.storage.multipart import MultipartReader, boundary_of

# Google's client sends up to 1,000 calls, though the documentation advises 100.
_MAX_CALLS = 1000
_MAX_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True)
class BatchRequest:
    """One call of a batch, as it was sent.

    Attributes:
        id: Its `Content-ID`, which the answer repeats.
        method: HTTP method.
        target: Path, percent-encoded.
        query: Query, percent-encoded.
        headers: Its own headers.
        body: Its own body.
        host: Scheme and authority of the batch.
    """

    id: str
    method: str
    target: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    host: str

    def call(self, root: str) -> Call:
        """The call that it makes on the API below `root`.

        Raises:
            ApiError: 400 if its address is not percent-encoded UTF-8.
        """
        path = self.target.removeprefix(root)
        return parse_call(self.method, path, self.query, self.headers, self.host)


async def read_batch(request: Request, host: str) -> list[BatchRequest]:
    """The calls of a batch.

    Raises:
        ApiError: 400 if the body is malformed or has too many calls; 413 if it is too long.
    """
    boundary = boundary_of(request.headers.get("content-type", ""))
    reader = MultipartReader(request.stream(), boundary)
    parts: list[BatchRequest] = []
    size = 0
    while (headers := await reader.next_part()) is not None:
        text = b"".join([chunk async for chunk in reader.content()])
        size += len(text)
        if size > _MAX_BYTES:
            raise ApiError(413, f"A batch has at most {_MAX_BYTES} bytes.")
        if len(parts) == _MAX_CALLS:
            raise ApiError(400, f"A batch has at most {_MAX_CALLS} calls.")
        parts.append(_parse_part(headers, text, host))
    if not parts:
        raise ApiError(400, "The batch has no calls.")
    return parts


def _parse_part(headers: Mapping[str, str], text: bytes, host: str) -> BatchRequest:
    request_line, _, rest = text.lstrip().partition(b"\n")
    try:
        method, address, _ = request_line.decode("ascii").split()
        parts = urlsplit(address)
    except ValueError:
        raise ApiError(400, "A part of the batch does not begin with a request line.") from None
    message = email.message_from_bytes(rest)
    own = Headers({name.lower(): str(value) for name, value in message.items()})
    body = message.get_payload(decode=False)
    return BatchRequest(
        id=headers.get("content-id", ""),
        method=method,
        target=parts.path,
        query=parts.query,
        headers=own,
        body=str(body).encode("utf-8", "surrogateescape"),
        host=host,
    )


def format_batch(
    requests: Sequence[BatchRequest], responses: Sequence[Response]
) -> tuple[bytes, str]:
    """The body and the `Content-Type` that answer a batch."""
    boundary = f"batch_{uuid.uuid4().hex}"
    parts = []
    for request, response in zip(requests, responses, strict=True):
        status = response.status_code
        lines = [
            f"--{boundary}",
            "Content-Type: application/http",
            f"Content-ID: <response-{request.id.strip('<>')}>",
            "",
            f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
            *(f"{name}: {value}" for name, value in response.headers.items()),
            "",
        ]
        parts.append("\r\n".join(lines).encode() + b"\r\n" + bytes(response.body) + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/mixed; boundary={boundary}"
