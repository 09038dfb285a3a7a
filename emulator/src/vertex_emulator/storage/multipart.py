"""Reading multipart bodies as they come in, so that a large part is never held in memory.

https://www.rfc-editor.org/rfc/rfc2046#section-5.1; a body that ends its lines with LF alone is read
too, since clients send such bodies and the service takes them.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

from vertex_emulator.errors import ApiError

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_MAX_HEADER_BYTES = 16 * 1024


def boundary_of(content_type: str) -> bytes:
    """The boundary that a `Content-Type` names.

    Raises:
        ApiError: 400 if it has no boundary.
    """
    match = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/") or match is None:
        raise ApiError(400, "Content-Type must be multipart with a boundary.")
    return (match[1] or match[2]).encode("latin-1", "replace")


class MultipartReader:
    """Reads one part after another.

    Args:
        chunks: The body.
        boundary: The text between the parts.
    """

    def __init__(self, chunks: AsyncIterator[bytes], boundary: bytes) -> None:
        self._chunks = chunks
        self._boundary = b"--" + boundary
        self._delimiter = b""
        self._buffer = bytearray()

    async def next_part(self) -> Mapping[str, str] | None:
        """Go to the next part; returns its headers (names in lower case), None after the last.

        Raises:
            ApiError: 400 if the body is malformed or ends too early.
        """
        if self._delimiter:
            async for _ in self.content():
                pass
            del self._buffer[: len(self._delimiter)]
        else:
            await self._read_first_boundary()
        while len(self._buffer) < len(b"--"):
            await self._read_more()
        if self._buffer.startswith(b"--"):
            async for _ in self._chunks:  # what follows the last part says nothing
                pass
            return None
        while not (end := _BLANK_LINE.search(self._buffer)):
            if len(self._buffer) > _MAX_HEADER_BYTES:
                raise ApiError(400, "The headers of a part of the multipart body are too long.")
            await self._read_more()
        head = self._buffer[: end.start()].decode("utf-8", "replace")
        del self._buffer[: end.end()]
        pairs = (line.partition(":") for line in head.splitlines())
        return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}

    async def content(self) -> AsyncIterator[bytes]:
        """The bytes of the present part.

        Raises:
            ApiError: 400 if the body ends before the part does.
        """
        while (end := self._buffer.find(self._delimiter)) < 0:
            ready = len(self._buffer) - len(self._delimiter)
            if ready > 0:
                yield bytes(self._buffer[:ready])
                del self._buffer[:ready]
            await self._read_more()
        if end:
            yield bytes(self._buffer[:end])
            del self._buffer[:end]

    async def _read_first_boundary(self) -> None:
        while b"\n" not in self._buffer.lstrip():
            if len(self._buffer) > _MAX_HEADER_BYTES:
                break
            await self._read_more()
        self._buffer = self._buffer.lstrip()
        line, newline, _ = self._buffer.partition(b"\n")
        if not newline or line.rstrip() != self._boundary:
            raise ApiError(400, "The multipart body does not begin with its boundary.")
        self._delimiter = (b"\r\n" if line.endswith(b"\r") else b"\n") + self._boundary
        del self._buffer[: len(line)]

    async def _read_more(self) -> None:
        chunk = await anext(self._chunks, b"")
        if not chunk:
            raise ApiError(400, "The multipart body ends too early.")
        self._buffer += chunk
