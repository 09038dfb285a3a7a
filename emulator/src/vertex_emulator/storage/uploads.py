"""Uploads: `objects.insert` in its three forms.

https://docs.cloud.google.com/storage/docs/uploads-downloads
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.storage.calls import Call, Reply, parse_json, read_json
from vertex_emulator.storage.checksums import (
    Checksums,
    expected_checksums,
    verify_checksums,
)
from vertex_emulator.storage.contents import Content, ContentWriter
from vertex_emulator.storage.context import StorageContext
from vertex_emulator.storage.multipart import MultipartReader, boundary_of
from vertex_emulator.storage.preconditions import parse_integer
from vertex_emulator.storage.records import ObjectRecord
from vertex_emulator.storage.resources import object_resource
from vertex_emulator.storage.sessions import UploadRequest
from vertex_emulator.storage.settable_fields import (
    check_predefined_acl,
    object_fields,
    without_nulls,
)

_DEFAULT_TYPE = "application/octet-stream"
_MAX_METADATA_BYTES = 4 * 1024 * 1024
_INLINE_BYTES = 256 * 1024


async def insert_media(context: StorageContext, call: Call, request: Request) -> Reply:
    """A simple upload: the body is the object."""
    content_type = call.headers.get("content-type") or _DEFAULT_TYPE
    upload = upload_request(context, call, {"contentType": content_type})
    return _reply(call, await store(context, upload, request.stream()))


async def insert_multipart(context: StorageContext, call: Call, request: Request) -> Reply:
    """A multipart upload: a part of JSON metadata, then a part that is the object."""
    boundary = boundary_of(call.headers.get("content-type", ""))
    reader = MultipartReader(request.stream(), boundary)
    await _next_part(reader)
    text = bytearray()
    async for chunk in reader.content():
        text += chunk
        if len(text) > _MAX_METADATA_BYTES:
            raise ApiError(413, "The metadata of the multipart upload is too long.")
    resource = dict(parse_json(bytes(text)))
    headers = await _next_part(reader)
    resource.setdefault("contentType", headers.get("content-type") or _DEFAULT_TYPE)
    upload = upload_request(context, call, resource)
    record = await store(context, upload, reader.content(), ending=reader)
    return _reply(call, record)


async def _next_part(reader: MultipartReader) -> Mapping[str, str]:
    headers = await reader.next_part()
    if headers is None:
        raise ApiError(400, "A multipart upload has two parts: the metadata and the bytes.")
    return headers


async def start_resumable(context: StorageContext, call: Call, request: Request) -> Reply:
    """The first request of a resumable upload: metadata alone; the answer names the session."""
    resource = dict(await read_json(request))
    announced = call.headers.get("x-upload-content-type")
    resource.setdefault("contentType", announced or _DEFAULT_TYPE)
    session = context.sessions.start(upload_request(context, call, resource))
    return Reply(headers={"Location": session_location(call, session.request.bucket, session.id)})


def session_location(call: Call, bucket: str, session_id: str) -> str:
    """The address to which the bytes of a resumable upload are sent."""
    return f"{call.host}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={session_id}"


def upload_request(
    context: StorageContext, call: Call, resource: Mapping[str, Any]
) -> UploadRequest:
    """Check the metadata of an upload before any byte is taken.

    Raises:
        ApiError: the metadata, the name, the bucket or a condition does not allow the upload.
    """
    for header in ("x-goog-encryption-algorithm", "x-goog-encryption-key"):
        if header in call.headers:
            raise not_served("customer-supplied encryption keys")
    if "kmsKeyName" in call.query:
        raise not_served("customer-managed encryption keys (parameter kmsKeyName)")
    bucket = context.buckets.get(call.path[1])
    check_predefined_acl(call.query.get("predefinedAcl"), bucket.fields)
    name = call.query.get("name") or resource.get("name")
    if not isinstance(name, str):
        raise ApiError(400, "Required parameter: name", reason="required")
    encoding = call.query.get("contentEncoding")
    if encoding:
        resource = {**resource, "contentEncoding": encoding}
    announced = call.headers.get("x-upload-content-length")
    upload = UploadRequest(
        bucket=bucket.name,
        name=name,
        fields=without_nulls(object_fields(resource)),
        conditions=call.preconditions(),
        checksums=expected_checksums(call.headers, resource),
        total=parse_integer("X-Upload-Content-Length", announced) if announced else None,
    )
    context.objects.check_write(bucket.name, name, upload.conditions)
    return upload


async def store(
    context: StorageContext,
    upload: UploadRequest,
    chunks: AsyncIterator[bytes],
    ending: MultipartReader | None = None,
) -> ObjectRecord:
    """Take the bytes and make them the live version.

    Args:
        context: The stores.
        upload: What the client announced.
        chunks: The bytes.
        ending: Of a multipart body, what has to end with the bytes.

    Raises:
        ApiError: the bytes or a condition do not allow the upload.
    """
    writer = context.contents.writer()
    try:
        await write_chunks(writer, chunks)
        if ending and await ending.next_part() is not None:
            raise ApiError(400, "A multipart upload has two parts: the metadata and the bytes.")
        content = await finish(writer, upload.checksums)
    except BaseException:
        writer.abandon()
        raise
    return context.objects.put(
        upload.bucket, upload.name, content, upload.fields, upload.conditions
    )


async def write_chunks(writer: ContentWriter, chunks: AsyncIterator[bytes]) -> None:
    """Write chunks as they come; much at a time goes to the disk in another thread."""
    async for chunk in chunks:
        if writer.write(chunk):
            await run_in_threadpool(writer.flush)


async def finish(writer: ContentWriter, *expected: Checksums) -> Content:
    """Close the file and compare its checksums with those that the client sent.

    Raises:
        ApiError: 400 if they differ.
    """
    small = writer.size <= _INLINE_BYTES
    content = writer.finish() if small else await run_in_threadpool(writer.finish)
    verify_checksums(content, *expected)
    return content


def _reply(call: Call, record: ObjectRecord) -> Reply:
    return Reply(object_resource(record, call.host))
