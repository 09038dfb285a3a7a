"""The requests of a resumable upload after the first: bytes, status queries, cancelling.

https://docs.cloud.google.com/storage/docs/performing-resumable-uploads
https://docs.cloud.google.com/storage/docs/resumable-uploads
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from vertex_emulator.errors import ApiError
from vertex_emulator.storage.calls import Call, Reply
from vertex_emulator.storage.checksums import expected_checksums
from vertex_emulator.storage.context import StorageContext
from vertex_emulator.storage.resources import object_resource
from vertex_emulator.storage.sessions import UploadSession
from vertex_emulator.storage.uploads import finish, write_chunks

_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")
_QUANTUM_BYTES = 256 * 1024


@dataclass(frozen=True)
class ContentRange:
    """What one request carries.

    Attributes:
        start: Offset of its first byte; None where it carries none and asks for the status.
        stop: Offset after its last byte; None where the length is not announced.
        total: Size of the whole object; None where it is not known yet.
    """

    start: int | None
    stop: int | None
    total: int | None


def parse_content_range(header: str | None) -> ContentRange:
    """Read a `Content-Range`; without one, the request carries the whole object.

    Raises:
        ApiError: 400 if it is malformed.
    """
    if header is None:
        return ContentRange(0, None, None)
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        raise ApiError(400, f"Invalid Content-Range: {header[:80]!r}.")
    first, last, total = match.groups()
    size = None if total == "*" else int(total)
    if first is None:
        return ContentRange(None, None, size)
    start, stop = int(first), int(last) + 1
    if stop <= start or (size is not None and stop > size):
        raise ApiError(400, f"Invalid Content-Range: {header[:80]!r}.")
    return ContentRange(start, stop, size)


async def continue_resumable(context: StorageContext, call: Call, request: Request) -> Reply:
    """Take bytes or answer a status query; a session takes one request at a time."""
    session = await run_in_threadpool(context.sessions.get, call.query["upload_id"])
    async with session.lock:
        if session.outcome is not None:
            return Reply(session.outcome)
        carried = parse_content_range(call.headers.get("content-range"))
        total = _total(session, carried)
        if carried.start is not None:
            await _take(session, carried, total, request.stream())
        whole = carried.start is not None and carried.stop is None
        if session.writer.size == total or (whole and total is None):
            return await _finish(context, call, session)
        if whole:
            raise ApiError(
                400, f"The upload was started with {total} bytes, {session.writer.size} came."
            )
        size = session.writer.size
        return Reply(status=308, headers={"Range": f"bytes=0-{size - 1}"} if size else {})


async def cancel_resumable(context: StorageContext, call: Call) -> Reply:
    """End a session without an object."""
    session = await run_in_threadpool(context.sessions.get, call.query["upload_id"])
    async with session.lock:
        context.sessions.cancel(session)
    return Reply(status=499)


def _total(session: UploadSession, carried: ContentRange) -> int | None:
    announced = session.request.total
    total = announced if carried.total is None else carried.total
    if announced is not None and total != announced:
        raise ApiError(
            400, f"Content-Range says {total} bytes, but the upload was started with {announced}."
        )
    if total is not None and total < session.writer.size:
        raise ApiError(
            400, f"Content-Range says {total} bytes, but {session.writer.size} are here already."
        )
    return total


async def _take(
    session: UploadSession, carried: ContentRange, total: int | None, chunks: AsyncIterator[bytes]
) -> None:
    """Write the bytes that are not here yet.

    What comes before a break of the connection stays. Of a request that is not the last, whole
    multiples of 256 KiB are kept, as the service does.
    """
    writer, start = session.writer, carried.start or 0
    if start > writer.size:
        raise ApiError(
            400, f"Content-Range starts at {start}, but only {writer.size} bytes are here."
        )
    limit = carried.stop
    if limit is not None and limit != total:
        limit -= limit % _QUANTUM_BYTES
    length = 0

    async def wanted() -> AsyncIterator[bytes]:
        nonlocal length
        async for chunk in chunks:
            position = start + length
            length += len(chunk)
            if carried.stop is not None and start + length > carried.stop:
                raise ApiError(400, "The request has more bytes than its Content-Range says.")
            first = max(writer.size - position, 0)
            last = len(chunk) if limit is None else max(limit - position, 0)
            if first < last:
                yield chunk[first:last]

    try:
        await write_chunks(writer, wanted())
    finally:
        await run_in_threadpool(writer.pause)
    if carried.stop is not None and start + length < carried.stop:
        raise ApiError(400, "The request has fewer bytes than its Content-Range says.")


async def _finish(context: StorageContext, call: Call, session: UploadSession) -> Reply:
    upload = session.request
    try:
        content = await finish(session.writer, upload.checksums, expected_checksums(call.headers))
        with context.database.transaction():
            record = context.objects.put(
                upload.bucket, upload.name, content, upload.fields, upload.conditions
            )
            outcome = object_resource(record, call.host)
            context.sessions.finish(session, outcome)
    except ApiError:
        context.sessions.cancel(session)
        raise
    session.outcome = outcome
    return Reply(outcome)
