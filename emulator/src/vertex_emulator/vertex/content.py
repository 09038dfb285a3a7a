"""Content methods of publisher models and endpoints."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from vertex_emulator.calls import Call
from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.fault_kinds import Block, Malformed
from vertex_emulator.models.language_model import LanguageModel, Turn
from vertex_emulator.vertex import generation, limits, tokens
from vertex_emulator.vertex.caches import CachedPrompts
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.http import (
    PARENT,
    Handler,
    both_versions,
    resource_name,
)
from vertex_emulator.vertex.messages import Document, parse
from vertex_emulator.vertex.prompt import Prompt, PromptReader, has_media

_MODEL_PATHS = (
    "/publishers/google/models/{model}",
    PARENT + "/publishers/google/models/{model}",
    PARENT + "/endpoints/{endpoint}",
)
_NOT_SERVED = (
    *("rawPredict", "streamRawPredict", "serverStreamingPredict", "predictLongRunning"),
    *("fetchPredictOperation", "batchGenerateContent", "asyncBatchEmbedContent"),
)
_INLINE_BYTES = 32_768
_VOCABULARY = 262_144


def routes(context: VertexContext) -> list[Route]:
    """The routes of generation and token counting."""
    service = ContentService(context)
    methods: dict[str, Handler] = {
        "generateContent": service.generate_content,
        "streamGenerateContent": service.stream_generate_content,
        "countTokens": service.count_tokens,
        "computeTokens": service.compute_tokens,
        **{name: _refusal(name) for name in _NOT_SERVED},
    }
    return [
        route
        for path in _MODEL_PATHS
        for method, handler in methods.items()
        for route in both_versions(context.stats, "POST", f"{path}:{method}", method, handler)
    ]


def _refusal(method: str) -> Handler:
    async def refuse(_: Request) -> Response:
        raise not_served(method)

    return refuse


class ContentService:
    """Answers content requests, those of HTTP and those of batch jobs."""

    def __init__(self, context: VertexContext) -> None:
        self._context = context
        self._caches = CachedPrompts(context)

    async def generate_content(self, request: Request) -> Response:
        """`generateContent`."""
        return JSONResponse(await self._respond(request, "generateContent"))

    async def stream_generate_content(self, request: Request) -> Response:
        """`streamGenerateContent`, as server-sent events with `alt=sse` and else as an array."""
        chunks = generation.stream(await self._respond(request, "streamGenerateContent"))
        if request.query_params.get("alt") == "sse":
            return StreamingResponse(_events(chunks), media_type="text/event-stream")
        return StreamingResponse(_json_array(chunks), media_type="application/json")

    async def count_tokens(self, request: Request) -> Response:
        """`countTokens`."""
        body = parse("CountTokensRequest", await request.body())
        if "instances" in body:
            raise not_served("countTokens of instances")
        limits.check_last_turn(body, self._model(request).version)
        reader = PromptReader(self._context.storage.read)
        prompt = await run_in_threadpool(reader.prompt, body)
        return JSONResponse(
            {
                "totalTokens": prompt.token_count,
                "totalBillableCharacters": _billable_characters(prompt),
                "promptTokensDetails": [
                    {"modality": name, "tokenCount": count}
                    for name, count in prompt.tokens.items()
                    if count
                ],
            }
        )

    async def compute_tokens(self, request: Request) -> Response:
        """`computeTokens`."""
        body = parse("ComputeTokensRequest", await request.body())
        if "instances" in body:
            raise not_served("computeTokens of instances")
        self._model(request)
        if not body.get("contents"):
            raise ApiError(400, "contents must have at least one element.")
        return JSONResponse({"tokensInfo": [_tokens_info(item) for item in body["contents"]]})

    def answer(self, body: Document, resource: str, call: Call) -> Document:
        """The `GenerateContentResponse` document to a parsed `GenerateContentRequest`.

        Args:
            body: The request.
            resource: Model or endpoint that answers.
            call: What faults are looked up for.

        Raises:
            ApiError: What the API answers in place of a response.
        """
        model = self._context.catalog.resolve(resource)
        limits.check_request(body, model.version)
        if not body.get("contents"):
            raise ApiError(400, "at least one contents field is required")
        limits.check_last_turn(body, model.version)
        body, start = self._caches.join(body, resource, model.version)
        prompt = PromptReader(self._context.storage.read).prompt(body)
        if prompt.turns[-1].role == "model":
            prompt = replace(prompt, turns=_to_last_question(prompt.turns))
        faults = self._context.faults
        response = generation.generate(
            body,
            prompt.after(start) if start else prompt,
            model,
            now=faults.now(),
            misbehaviour=generation.Misbehaviour(
                faults.first(call, Block), faults.first(call, Malformed)
            ),
        )
        self._bill(model, response["usageMetadata"])
        return response

    async def _respond(self, request: Request, method: str) -> Document:
        raw = await request.body()
        body = parse("GenerateContentRequest", raw)
        resource = resource_name(request)
        request.state.model = resource.rpartition("/")[2]
        call = Call("vertex", method, request.state.model, request.url.path)
        if len(raw) > _INLINE_BYTES or "cachedContent" in body or has_media(body):
            return await run_in_threadpool(self.answer, body, resource, call)
        return self.answer(body, resource, call)

    def _model(self, request: Request) -> LanguageModel:
        resource = resource_name(request)
        request.state.model = resource.rpartition("/")[2]
        return self._context.catalog.resolve(resource)

    def _bill(self, model: LanguageModel, usage: Document) -> None:
        cached = usage.get("cachedContentTokenCount", 0)
        self._context.stats.bill(
            model.version.removesuffix("-emulated"),
            input=usage["promptTokenCount"] - cached,
            output=usage["totalTokenCount"] - usage["promptTokenCount"],
            **({"cached": cached} if cached else {}),
        )


def _to_last_question(turns: list[Turn]) -> list[Turn]:
    """A conversation without what the model said last, which the emulator does not continue."""
    asked = [place for place, turn in enumerate(turns, 1) if turn.role != "model"]
    if not asked:
        raise ApiError(400, "The emulator does not serve contents without a turn of the user.")
    return turns[: asked[-1]]


def _billable_characters(prompt: Prompt) -> int:
    texts = [prompt.system, *(turn.text for turn in prompt.turns)]
    return sum(len("".join(text.split())) for text in texts)


def _tokens_info(content: Document) -> Document:
    texts = [part["text"] for part in content.get("parts", []) if "text" in part]
    pieces = [piece.encode() for text in texts for piece in tokens.split(text)]
    return {
        "role": content.get("role", "user"),
        "tokens": [base64.b64encode(piece).decode() for piece in pieces],
        "tokenIds": [str(zlib.crc32(piece) % _VOCABULARY) for piece in pieces],
    }


async def _events(chunks: Iterator[Document]) -> AsyncIterator[str]:
    for chunk in chunks:
        yield f"data: {json.dumps(chunk)}\r\n\r\n"


async def _json_array(chunks: Iterator[Document]) -> AsyncIterator[str]:
    for index, chunk in enumerate(chunks):
        yield (",\r\n" if index else "[") + json.dumps(chunk)
    yield "]"
