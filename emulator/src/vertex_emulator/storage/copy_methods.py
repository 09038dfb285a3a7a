"""The methods of the API that make an object out of other objects.

https://docs.cloud.google.com/storage/docs/json_api/v1/objects/compose
https://docs.cloud.google.com/storage/docs/json_api/v1/objects/copy
https://docs.cloud.google.com/storage/docs/json_api/v1/objects/move
https://docs.cloud.google.com/storage/docs/json_api/v1/objects/rewrite
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, BinaryIO

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.storage.calls import Call, Reply
from vertex_emulator.storage.contents import Content
from vertex_emulator.storage.context import StorageContext
from vertex_emulator.storage.object_methods import object_address
from vertex_emulator.storage.preconditions import Preconditions, parse_integer
from vertex_emulator.storage.records import ObjectRecord
from vertex_emulator.storage.resources import object_resource
from vertex_emulator.storage.settable_fields import (
    check_predefined_acl,
    object_fields,
    without_nulls,
)

_MAX_SOURCES = 32
_CHUNK_BYTES = 1024 * 1024
_MEBIBYTE = 1024 * 1024

# How much one rewrite call moves between locations or storage classes. The service promises no
# number; with a small one, scripts do meet the token that they must handle.
_REWRITE_BYTES_PER_CALL = 64 * _MEBIBYTE


def compose(context: StorageContext, call: Call) -> Reply:
    """`objects.compose`: joins up to 32 objects of a bucket."""
    bucket, name = object_address(call)
    _check_parameters(context, call, bucket)
    conditions = call.preconditions()
    destination = call.body.get("destination") or {}
    if not isinstance(destination, Mapping):
        raise ApiError(400, "Invalid value for field destination of the request.")
    fields = without_nulls(object_fields(destination))
    context.objects.check_write(bucket, name, conditions)

    with ExitStack() as opened:
        sources = []
        with context.database.transaction():
            for address in _compose_sources(call):
                source, file = context.objects.open(bucket, *address)
                sources.append((source, opened.enter_context(file)))
        content = _join(context, [file for _, file in sources])
    components = sum(source.components or 1 for source, _ in sources)
    with context.database.transaction():
        record = context.objects.put(bucket, name, content, fields, conditions, components)
        if call.body.get("deleteSourceObjects") is True:
            for source in {source.name: source for source, _ in sources}.values():
                if source.name != name:
                    context.objects.delete(bucket, source.name)
    return Reply(object_resource(record, call.host))


def _compose_sources(call: Call) -> Iterator[tuple[str, int | None, Preconditions]]:
    listed = call.body.get("sourceObjects")
    if not isinstance(listed, list) or not 1 <= len(listed) <= _MAX_SOURCES:
        raise ApiError(400, f"The number of source components must be from 1 to {_MAX_SOURCES}.")
    for index, source in enumerate(listed):
        if not isinstance(source, Mapping) or not isinstance(source.get("name"), str):
            raise ApiError(400, f"Required field: sourceObjects[{index}].name", reason="required")
        conditions = source.get("objectPreconditions") or {}
        if not isinstance(conditions, Mapping):
            raise ApiError(400, f"Invalid value for sourceObjects[{index}].objectPreconditions.")
        generation = source.get("generation")
        yield (
            source["name"],
            None if generation is None else parse_integer("generation", generation),
            Preconditions.parse(conditions),
        )


def _join(context: StorageContext, files: Iterable[BinaryIO]) -> Content:
    """The bytes of all files one after another; a composite object has no MD5."""
    writer = context.contents.writer()
    try:
        for file in files:
            while chunk := file.read(_CHUNK_BYTES):
                if writer.write(chunk):
                    writer.flush()
        return replace(writer.finish(), md5=None)
    except BaseException:
        writer.abandon()
        raise


def copy(context: StorageContext, call: Call) -> Reply:
    """`objects.copy`: path `b/<bucket>/o/<object>/copyTo/b/<bucket>/o/<object>`."""
    with context.database.transaction():
        source = _find_source(context, call)
        record = _duplicate(context, call, source, call.path[6], call.path[8])
    return Reply(object_resource(record, call.host))


def move(context: StorageContext, call: Call) -> Reply:
    """`objects.move`: path `b/<bucket>/o/<object>/moveTo/o/<object>`, in one step."""
    with context.database.transaction():
        source = _find_source(context, call)
        if source.name == call.path[6]:
            raise ApiError(400, "The names of the source and the destination must differ.")
        record = _duplicate(context, call, source, source.bucket, call.path[6], moving=True)
        context.objects.delete(source.bucket, source.name)
    return Reply(object_resource(record, call.host))


def rewrite(context: StorageContext, call: Call) -> Reply:
    """`objects.rewrite`: path `b/<bucket>/o/<object>/rewriteTo/b/<bucket>/o/<object>`.

    Between locations or storage classes it takes one call for each portion of the bytes, and
    answers with a token until the last; the bytes themselves are shared then.
    """
    bucket, name = call.path[6], call.path[8]
    portion = call.integer("maxBytesRewrittenPerCall")
    if portion is not None and (portion < _MEBIBYTE or portion % _MEBIBYTE):
        raise ApiError(400, "maxBytesRewrittenPerCall must be a multiple of 1048576.")
    with context.database.transaction():
        source = _find_source(context, call)
        context.objects.check_write(bucket, name, call.preconditions())
        identity = [source.bucket, source.name, source.generation, bucket, name, portion]
        rewritten = source.size
        if _is_far(context, call, source, bucket):
            token = call.query.get("rewriteToken")
            before = _parse_rewrite_token(token, identity) if token else 0
            rewritten = min(before + (portion or _REWRITE_BYTES_PER_CALL), source.size)
        done = rewritten == source.size
        record = _duplicate(context, call, source, bucket, name) if done else None
    body = {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": str(rewritten),
        "objectSize": str(source.size),
        "done": done,
    }
    if record:
        return Reply({**body, "resource": object_resource(record, call.host)})
    return Reply({**body, "rewriteToken": _rewrite_token(identity, rewritten)})


def _is_far(context: StorageContext, call: Call, source: ObjectRecord, bucket: str) -> bool:
    """Whether a rewrite crosses locations or storage classes."""
    target = context.buckets.get(bucket)
    storage_class = call.body.get("storageClass") or target.object_defaults["storageClass"]
    return (
        storage_class != source.fields["storageClass"]
        or context.buckets.get(source.bucket).location != target.location
    )


def _find_source(context: StorageContext, call: Call) -> ObjectRecord:
    bucket, name = object_address(call)
    generation = call.integer("sourceGeneration")
    return context.objects.get(bucket, name, generation, call.source_preconditions())


def _duplicate(
    context: StorageContext,
    call: Call,
    source: ObjectRecord,
    bucket: str,
    name: str,
    *,
    moving: bool = False,
) -> ObjectRecord:
    """Write the bytes of `source` to another name; a body replaces all of its metadata.

    A copy takes the storage class of its new bucket and has no hold; a move changes nothing.
    """
    _check_parameters(context, call, bucket)
    conditions = call.preconditions()
    context.objects.check_write(bucket, name, conditions)
    fields = dict(source.fields)
    if call.body:
        fields = without_nulls(object_fields(call.body))
    elif not moving:
        for field in ("storageClass", "temporaryHold", "eventBasedHold"):
            fields.pop(field, None)
    content = Content(
        context.contents.duplicate(source.content), source.size, source.crc32c, source.md5
    )
    return context.objects.put(bucket, name, content, fields, conditions, source.components)


def _check_parameters(context: StorageContext, call: Call, bucket: str) -> None:
    for name in ("kmsKeyName", "destinationKmsKeyName"):
        if name in call.query:
            raise not_served(f"customer-managed encryption keys (parameter {name})")
    if "dropContextGroups" in call.query:
        raise not_served("object contexts (parameter dropContextGroups)")
    acl = call.query.get("destinationPredefinedAcl")
    check_predefined_acl(acl, context.buckets.get(bucket).fields)


def _rewrite_token(identity: list[Any], rewritten: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([identity, rewritten]).encode()).decode()


def _parse_rewrite_token(token: str, identity: list[Any]) -> int:
    try:
        found, rewritten = json.loads(base64.urlsafe_b64decode(token))
        if found == identity and isinstance(rewritten, int) and rewritten > 0:
            return rewritten
    except (ValueError, TypeError, RecursionError):
        pass
    raise ApiError(400, "Invalid rewriteToken: it belongs to another rewrite.")
