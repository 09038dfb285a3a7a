"""Downloads: the bytes of an object, whole or a range, as stored or unpacked.

https://docs.cloud.google.com/storage/docs/json_api/v1/objects/get
https://docs.cloud.google.com/storage/docs/transcoding
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import formatdate
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from vertex_emulator.errors import ApiError
from vertex_emulator.storage.context import StorageContext
from vertex_emulator.storage.preconditions import Preconditions, entity_tag
from vertex_emulator.storage.records import ObjectRecord

_CHUNK_BYTES = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_FIELD_HEADERS = {
    "contentType": "content-type",
    "contentEncoding": "content-encoding",
    "contentDisposition": "content-disposition",
    "contentLanguage": "content-language",
    "cacheControl": "cache-control",
}


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The offsets (start, stop) that a `Range` header selects of `size` bytes.

    Returns None for the whole: no header, or one that asks for several ranges or in another unit.

    Raises:
        ApiError: 416 if there is no such byte.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if first:
        start, stop = int(first), int(last) + 1 if last else size
        if stop <= start:
            return None if last else _no_such_byte(size)
        return (start, min(stop, size)) if start < size else _no_such_byte(size)
    return (max(size - int(last), 0), size) if int(last) and size else _no_such_byte(size)


def _no_such_byte(size: int) -> tuple[int, int]:
    raise ApiError(
        416,
        f"The requested range cannot be satisfied: the object has {size} bytes.",
        headers={"Content-Range": f"bytes */{size}"},
    )


async def download(
    context: StorageContext,
    bucket: str,
    name: str,
    headers: Mapping[str, str],
    *,
    generation: int | None,
    conditions: Preconditions,
    describe: Callable[[ObjectRecord], dict[str, str]] | None = None,
) -> Response:
    """The response with the bytes of an object version.

    Args:
        context: The stores.
        bucket: Name of the bucket.
        name: Name of the object.
        headers: Of the request: `Range` and `Accept-Encoding` count.
        generation: The version; None for the live one.
        conditions: On that version.
        describe: Makes the response headers; those of the JSON API when left out.

    Raises:
        ApiError: 404 if there is none; 304 or 412 if a condition is not met; 416 for no such range.
    """
    record, file = context.objects.open(bucket, name, generation, conditions)
    described = (describe or media_headers)(record)
    saved = attachment(described["content-type"], described.get("content-disposition", ""))
    if saved:
        described["content-disposition"] = saved
    try:
        if _wants_unpacked(record, headers) and await run_in_threadpool(_is_gzip, file):
            return _unpacked(described, file)
        span = parse_range(headers.get("range"), record.size)
        start, stop = span or (0, record.size)
        described["content-length"] = str(stop - start)
        if span:
            described["content-range"] = f"bytes {start}-{stop - 1}/{record.size}"
        file.seek(start)
    except BaseException:
        file.close()
        raise
    status = 206 if span else 200
    if stop - start <= _CHUNK_BYTES:
        with file:
            response = Response(file.read(stop - start), status)
    else:
        response = StreamingResponse(_read(file, stop - start), status)
    response.raw_headers = encode_headers(described)
    return response


def media_headers(record: ObjectRecord) -> dict[str, str]:
    """The response headers that describe an object version."""
    hashes = [f"crc32c={record.crc32c}"] + ([f"md5={record.md5}"] if record.md5 else [])
    headers = {
        "content-type": "application/octet-stream",
        "etag": entity_tag(record.generation, record.metageneration),
        "last-modified": formatdate(record.updated / 1_000_000, usegmt=True),
        "accept-ranges": "bytes",
        "x-goog-generation": str(record.generation),
        "x-goog-metageneration": str(record.metageneration),
        "x-goog-hash": ",".join(hashes),
        "x-goog-storage-class": record.fields["storageClass"],
        "x-goog-stored-content-encoding": record.fields.get("contentEncoding") or "identity",
        "x-goog-stored-content-length": str(record.size),
    }
    for field, header in _FIELD_HEADERS.items():
        if record.fields.get(field):
            headers[header] = record.fields[field]
    return headers


def attachment(content_type: str, disposition: str) -> str:
    """The `Content-Disposition` that makes a browser save what it would otherwise show as a page.

    Google serves stored bytes from origins that hold nothing else; here they share one with the
    APIs. Clients do not look at this header.

    Args:
        content_type: Of the answer.
        disposition: What was stored or asked for; empty when nothing was.
    """
    if not disposition and content_type.strip().lower() == "application/octet-stream":
        return ""
    _, semicolon, parameters = disposition.partition(";")
    return f"attachment{semicolon}{parameters}"


def encode_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as they go over the wire, where what is not ASCII is UTF-8."""
    return [(name.encode("ascii"), value.encode()) for name, value in headers.items()]


def _wants_unpacked(record: ObjectRecord, headers: Mapping[str, str]) -> bool:
    return (
        record.fields.get("contentEncoding") == "gzip"
        and "no-transform" not in record.fields.get("cacheControl", "")
        and "gzip" not in headers.get("accept-encoding", "").lower()
    )


def _is_gzip(file: BinaryIO) -> bool:
    """Whether all of the file can be unpacked, which is too late to report once bytes were sent."""
    try:
        with gzip.open(file) as unpacked:
            while unpacked.read(_CHUNK_BYTES):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    finally:
        file.seek(0)
    return True


def _unpacked(headers: dict[str, str], file: BinaryIO) -> Response:
    del headers["content-encoding"], headers["accept-ranges"]
    headers["warning"] = "214 UploadServer gunzipped"
    headers["x-guploader-response-body-transformations"] = "gunzipped"
    response = StreamingResponse(_read_unpacked(file))
    response.raw_headers = encode_headers(headers)
    return response


async def _read(file: BinaryIO, length: int) -> AsyncIterator[bytes]:
    with file:
        while length > 0:
            chunk = await run_in_threadpool(file.read, min(length, _CHUNK_BYTES))
            if not chunk:
                return
            length -= len(chunk)
            yield chunk


async def _read_unpacked(file: BinaryIO) -> AsyncIterator[bytes]:
    with file, gzip.open(file) as unpacked:
        while chunk := await run_in_threadpool(unpacked.read, _CHUNK_BYTES):
            yield chunk
