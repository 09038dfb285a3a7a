"""Cached content: create, get, list, update the expiry, delete; and its use in requests.

Limits and expiry: https://cloud.google.com/vertex-ai/generative-ai/docs/context-cache/context-cache-overview
(a model-dependent least token count, 60 minutes by default, at least one).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_emulator.errors import ApiError
from vertex_emulator.models.base_models import BASE_MODELS, CACHE_TOKENS
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.http import (
    PARENT,
    both_versions,
    parent_name,
    resource_name,
)
from vertex_emulator.vertex.limits import check_length, check_tools
from vertex_emulator.vertex.listing import page_answer
from vertex_emulator.vertex.messages import Document, parse, timestamp
from vertex_emulator.vertex.model_versions import visible
from vertex_emulator.vertex.prompt import Prompt, PromptReader

KIND = "cachedContents"

_DEFAULT_TTL = timedelta(hours=1)
_LEAST_TTL = timedelta(minutes=1)
_MOST_BYTES = 10_000_000
_PROMPT_FIELDS = ("contents", "systemInstruction", "tools", "toolConfig")


def routes(context: VertexContext) -> list[Route]:
    """The routes of `projects.locations.cachedContents`."""
    service = _CachedContents(context)
    collection, name = PARENT + "/cachedContents", PARENT + "/cachedContents/{cache}"
    return [
        route
        for verb, path, method, handler in (
            ("POST", collection, "create", service.create),
            ("GET", collection, "list", service.list),
            ("GET", name, "get", service.get),
            ("PATCH", name, "patch", service.update),
            ("DELETE", name, "delete", service.delete),
        )
        for route in both_versions(context.stats, verb, path, f"{KIND}.{method}", handler)
    ]


class CachedPrompts:
    """Puts cached content before the prompts of requests that name it."""

    def __init__(self, context: VertexContext) -> None:
        self._context = context
        self._prompt = lru_cache(maxsize=16)(self._read)

    def join(self, body: Document, resource: str, version: str) -> tuple[Document, Prompt | None]:
        """A request with the tools of its cached content, and the prompt that is cached.

        Args:
            body: A `GenerateContentRequest` document.
            resource: Model or endpoint that the request goes to.
            version: Version of that model.

        Raises:
            ApiError: 404 for content that is not cached (any more), 400 where the request repeats
                what belongs in the cache or goes to another model.
        """
        name = body.get("cachedContent")
        if not name:
            return body, None
        if any(field in body for field in ("systemInstruction", "tools", "toolConfig")):
            raise ApiError(
                400,
                "Tool config, tools and system instruction should not be set in the request when"
                " using cached content.",
            )
        cache = find(self._context, name)
        if self._context.catalog.resolve(cache["model"]).version != version:
            raise ApiError(
                400,
                f"Model used by GenerateContent request ({resource}) and CachedContent"
                f" ({cache['model']}) has to be the same.",
            )
        content = cache["_content"]
        tools = {field: content[field] for field in ("tools", "toolConfig") if field in content}
        return {**body, **tools}, self._prompt(name)

    def _read(self, name: str) -> Prompt:
        stored = find(self._context, name)["_content"]
        return PromptReader(self._context.storage.read).prompt(stored)


def find(context: VertexContext, name: str) -> Document:
    """The stored document of the cached content called `name`.

    Raises:
        ApiError: 404 when there is none or it has expired.
    """
    cache = context.resources.get(name)
    if cache is None or "_content" not in cache or _is_expired(context, cache):
        raise ApiError(404, f"Not found: cached content metadata for {name.rpartition('/')[2]}.")
    return cache


def _is_expired(context: VertexContext, cache: Document) -> bool:
    return datetime.fromisoformat(cache["expireTime"]) <= context.faults.now()


class _CachedContents:
    def __init__(self, context: VertexContext) -> None:
        self._context = context

    async def create(self, request: Request) -> Response:
        raw = await request.body()
        if len(raw) > 4 * _MOST_BYTES:
            raise ApiError(400, f"The cached content is larger than {_MOST_BYTES} bytes.")
        body = parse("CachedContent", raw)
        return JSONResponse(await run_in_threadpool(self._create, body, parent_name(request)))

    def _create(self, body: Document, parent: str) -> Document:
        model = body.get("model")
        if not model:
            raise ApiError(400, "The model field is required.")
        version = self._context.catalog.resolve(model).version
        check_tools(body)
        content = {field: body[field] for field in _PROMPT_FIELDS if field in body}
        prompt = PromptReader(self._context.storage.read).prompt(content)
        base = BASE_MODELS.get(version.removesuffix("-emulated"))
        least = base.cache_tokens if base else CACHE_TOKENS
        if prompt.token_count < least:
            raise ApiError(
                400,
                f"The cached content is of {prompt.token_count} tokens. The minimum token count to"
                f" start caching is {least}.",
            )
        check_length(prompt.token_count)
        now = self._context.faults.now()
        cache: Document = {
            "name": f"{parent}/cachedContents/{self._context.resources.new_id()}",
            "model": model,
            "createTime": timestamp(now),
            "updateTime": timestamp(now),
            "expireTime": timestamp(_expiry(body, now) or now + _DEFAULT_TTL),
            "usageMetadata": _usage(content, prompt),
            "_content": content,
        }
        for field in ("displayName", "encryptionSpec"):
            if field in body:
                cache[field] = body[field]
        self._context.resources.put(cache["name"], KIND, cache)
        self._context.stats.bill(version.removesuffix("-emulated"), input=prompt.token_count)
        return visible(cache)

    async def get(self, request: Request) -> Response:
        return JSONResponse(visible(find(self._context, resource_name(request))))

    async def list(self, request: Request) -> Response:
        caches = [
            visible(cache)
            for cache in self._context.resources.list(KIND, parent_name(request))
            if not _is_expired(self._context, cache)
        ]
        return JSONResponse(page_answer(KIND, caches[::-1], request.query_params))

    async def update(self, request: Request) -> Response:
        body = parse("CachedContent", await request.body())
        mask = request.query_params.get("updateMask", request.query_params.get("update_mask", ""))
        for field in filter(None, mask.split(",")):
            if field not in ("ttl", "expireTime", "expire_time"):
                raise ApiError(400, f"{field} cannot be updated, only ttl and expire_time.")
        name = resource_name(request)
        find(self._context, name)
        now = self._context.faults.now()
        expiry = _expiry(body, now)
        if expiry is None:
            raise ApiError(400, "ttl or expire_time must be set.")

        def change(cache: Document) -> None:
            cache["expireTime"] = timestamp(expiry)
            cache["updateTime"] = timestamp(now)

        changed = self._context.resources.update(name, change)
        return JSONResponse(visible(changed or {}))

    async def delete(self, request: Request) -> Response:
        name = resource_name(request)
        find(self._context, name)
        self._context.resources.delete(name)
        return JSONResponse({})


def _expiry(body: Document, now: datetime) -> datetime | None:
    """When the content of `body` expires; None when it does not say.

    Raises:
        ApiError: 400 for a time that is less than a minute away or past all calendars.
    """
    try:
        if "ttl" in body:
            expiry = now + timedelta(seconds=float(body["ttl"].removesuffix("s")))
        elif "expireTime" in body:
            expiry = datetime.fromisoformat(body["expireTime"])
        else:
            return None
    except OverflowError as error:
        raise ApiError(400, "The expiry of cached content is too far away.") from error
    if expiry < now + _LEAST_TTL - timedelta(seconds=5):
        raise ApiError(400, "The expiry of cached content must be at least 1 minute away.")
    return expiry


def _usage(content: Document, prompt: Prompt) -> Document:
    parts = [part for item in content.get("contents", []) for part in item.get("parts", [])]
    kinds = [part.get("inlineData", part.get("fileData", {})).get("mimeType", "") for part in parts]
    text = prompt.system + "".join(turn.text for turn in prompt.turns)
    usage: Document = {"totalTokenCount": prompt.token_count, "textCount": len(text)}
    images = sum(kind.startswith("image/") for kind in kinds)
    return {**usage, "imageCount": images} if images else usage
