"""Objects at `/BUCKET/OBJECT`, as signed URLs and public links address them.

https://docs.cloud.google.com/storage/docs/xml-api/reference-methods
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from vertex_emulator.environment import CREDENTIALS_FILE
from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.storage.calls import Call, parse_call
from vertex_emulator.storage.context import StorageContext
from vertex_emulator.storage.downloads import (
    attachment,
    download,
    encode_headers,
    media_headers,
)
from vertex_emulator.storage.http import Endpoint
from vertex_emulator.storage.object_methods import object_address
from vertex_emulator.storage.records import ObjectRecord
from vertex_emulator.storage.signed_urls import check_signed_url
from vertex_emulator.storage.uploads import session_location, store, upload_request

_METHODS = {
    "GET": "objects.get",
    "HEAD": "objects.get",
    "PUT": "objects.insert",
    "POST": "objects.insert",
    "DELETE": "objects.delete",
}
_CODES = {
    400: "InvalidArgument",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    412: "PreconditionFailed",
    413: "EntityTooLarge",
    416: "InvalidRange",
    501: "NotImplemented",
}
_SETTABLE = {
    "content-type": "contentType",
    "content-encoding": "contentEncoding",
    "content-disposition": "contentDisposition",
    "content-language": "contentLanguage",
    "cache-control": "cacheControl",
    "x-goog-custom-time": "customTime",
    "x-goog-storage-class": "storageClass",
}
_CONDITIONS = {
    "x-goog-if-generation-match": "ifGenerationMatch",
    "x-goog-if-metageneration-match": "ifMetagenerationMatch",
}
_UNSERVED_HEADERS = {
    "x-goog-acl": "access control lists",
    "x-goog-copy-source": "copies with the XML API",
    "x-goog-encryption-algorithm": "customer-supplied encryption keys",
    "x-goog-encryption-kms-key-name": "customer-managed encryption keys",
}
_UNSERVED_PARAMETERS = {
    "acl": "access control lists",
    "compose": "composing with the XML API",
    "partNumber": "multipart uploads of the XML API",
    "retention": "object retention",
    "tagging": "object tags",
    "uploadId": "multipart uploads of the XML API",
    "uploads": "multipart uploads of the XML API",
}
_METADATA_PREFIX = "x-goog-meta-"
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F))


class ObjectRoute(BaseRoute):
    """Matches what addresses an object: a signed URL, or a path in a bucket that exists.

    Everything else is left to the routes of other services.
    """

    def __init__(self, context: StorageContext) -> None:
        self._context = context
        self._endpoint = Endpoint(context, serve_object, xml_error)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the request is for this route."""
        if scope["type"] != "http":
            return Match.NONE, {}
        bucket, _, name = scope["path"].strip("/").partition("/")
        signed = b"X-Goog-Signature=" in scope["query_string"]
        found = bool(name) and (signed or self._context.buckets.exists(bucket))
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        await self._endpoint(scope, receive, send)


async def serve_object(context: StorageContext, request: Request) -> Response:
    """GET, HEAD, PUT, DELETE and the start of a resumable upload."""
    call = _call_of(request)
    bucket, name = object_address(call)
    request.scope["storage.method"] = _METHODS.get(call.method, "unknown")
    check_signed_url(
        call.method,
        request.scope["raw_path"].decode("ascii"),
        request.scope["query_string"].decode("ascii"),
        call.headers,
        context.config.state / CREDENTIALS_FILE,
    )
    _refuse_features(call)
    if not context.buckets.exists(bucket):
        raise ApiError(404, "The specified bucket does not exist.", reason="NoSuchBucket")
    match call.method:
        case "GET":
            return await _get(context, call)
        case "HEAD":
            record = context.objects.get(
                bucket, name, call.integer("generation"), call.preconditions()
            )
            return _headers_alone({**_describe(record), "content-length": str(record.size)})
        case "PUT":
            upload = upload_request(context, call, _resource(call))
            record = await store(context, upload, request.stream())
            described = _describe(record)
            wanted = [name for name in described if name.startswith("x-goog-") or name == "etag"]
            headers = {name: described[name] for name in wanted}
            return _headers_alone({**headers, "content-length": "0"})
        case "DELETE":
            context.objects.delete(bucket, name, call.integer("generation"), call.preconditions())
            return Response(status_code=204)
        case "POST" if call.headers.get("x-goog-resumable") == "start":
            session = context.sessions.start(upload_request(context, call, _resource(call)))
            location = session_location(call, bucket, session.id)
            return Response(status_code=201, headers={"Location": location})
        case "POST":
            raise not_served("uploads from HTML forms (POST policy documents)")
        case method:
            raise ApiError(405, f"{method} is not a method of objects.")


async def _get(context: StorageContext, call: Call) -> Response:
    response = await download(
        context,
        *object_address(call),
        call.headers,
        generation=call.integer("generation"),
        conditions=call.preconditions(),
        describe=_describe,
    )
    headers = response.headers
    for header in ("content-type", "content-disposition"):
        wanted = call.query.get(f"response-{header}")
        if wanted:
            headers[header] = quote(wanted, safe=_PRINTABLE)
    saved = attachment(headers["content-type"], headers.get("content-disposition", ""))
    if saved:
        headers["content-disposition"] = saved
    return response


def _call_of(request: Request) -> Call:
    """The call as the JSON API would have it; slashes of the object's name are its own here."""
    scope = request.scope
    try:
        path = scope["raw_path"].decode("ascii").lstrip("/")
        bucket, name = (unquote(part, errors="strict") for part in path.split("/", 1))
        query = scope["query_string"].decode("ascii")
    except UnicodeDecodeError:
        raise ApiError(400, "The request's address is not percent-encoded UTF-8.") from None
    host = f"{scope['scheme']}://{request.headers.get('host', 'localhost')}"
    call = parse_call(scope["method"], "", query, request.headers, host)
    conditions = {
        parameter: request.headers[header]
        for header, parameter in _CONDITIONS.items()
        if header in request.headers
    }
    return replace(
        call, path=("b", bucket, "o", name), query={**call.query, **conditions, "name": name}
    )


def _refuse_features(call: Call) -> None:
    for name, feature in _UNSERVED_HEADERS.items():
        if name in call.headers:
            raise not_served(feature)
    for name, feature in _UNSERVED_PARAMETERS.items():
        if name in call.query:
            raise not_served(feature)


def _resource(call: Call) -> dict[str, Any]:
    resource: dict[str, Any] = {
        field: call.headers[header] for header, field in _SETTABLE.items() if header in call.headers
    }
    metadata = {
        name.removeprefix(_METADATA_PREFIX): _utf8(value)
        for name, value in call.headers.items()
        if name.startswith(_METADATA_PREFIX)
    }
    resource.setdefault("contentType", "application/octet-stream")
    return {**resource, "metadata": metadata} if metadata else resource


def _utf8(value: str) -> str:
    """A header value, which the server hands over as Latin-1, as the UTF-8 that clients send."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


def _describe(record: ObjectRecord) -> dict[str, str]:
    """The response headers of the XML API: those of media, custom metadata and another ETag."""
    headers = media_headers(record)
    md5 = base64.b64decode(record.md5).hex() if record.md5 else None
    headers["etag"] = f'"{md5 or "-" + headers["etag"]}"'
    for name, value in record.fields.get("metadata", {}).items():
        if name.isascii() and name.replace("-", "").replace("_", "").isalnum():
            headers[_METADATA_PREFIX + name.lower()] = quote(value, safe=_PRINTABLE)
    return headers


def _headers_alone(headers: Mapping[str, str]) -> Response:
    response = Response()
    response.raw_headers = encode_headers(headers)
    return response


def xml_error(error: ApiError) -> Response:
    """The error in the form of the XML API; a 304 has no body."""
    if error.code == 304:
        return Response(status_code=304)
    code = error.reason if error.reason[:1].isupper() else _CODES.get(error.code, "InvalidRequest")
    content = (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f"<Error><Code>{code}</Code><Message>{escape(error.message)}</Message></Error>"
    )
    return Response(
        content, error.code, {**error.headers, "content-type": "application/xml; charset=UTF-8"}
    )
