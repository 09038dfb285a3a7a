"""Text embeddings: `predict` and `embedContent` on embedding models.

A vector is the signed hash of the text's words and character n-grams, so that texts that share
words are near each other; it knows no meaning beyond that. Shapes, limits and what is normalised:
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api and
https://cloud.google.com/vertex-ai/generative-ai/docs/embeddings/get-text-embeddings.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.models.text import content_words, words
from vertex_emulator.vertex import tokens
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.http import PARENT, both_versions
from vertex_emulator.vertex.messages import Document, parse

_TASKS = (
    *("RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION"),
    *("CLUSTERING", "QUESTION_ANSWERING", "FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY"),
)
_MOST_TOKENS = 2048
_MOST_TOKENS_A_REQUEST = 20_000
_MOST_INSTANCES = 250
_TASK_WEIGHT = 0.1


def routes(context: VertexContext) -> list[Route]:
    """The routes of embedding models, and `predict` of everything else, which is refused."""
    service = _Embeddings(context)
    model = PARENT + "/publishers/google/models/{model}"
    return [
        *both_versions(context.stats, "POST", f"{model}:predict", "predict", service.predict),
        *both_versions(
            context.stats, "POST", f"{model}:embedContent", "embedContent", service.embed_content
        ),
        *both_versions(
            context.stats, "POST", PARENT + "/endpoints/{endpoint}:predict", "predict", _refuse
        ),
    ]


async def _refuse(_: Request) -> Response:
    raise not_served("predict on endpoints")


def embed(text: str, task: str, dimensions: int, length: int) -> list[float]:
    """The embedding of `text`.

    Args:
        text: What is embedded.
        task: Task type; changes the vector a little.
        dimensions: Length of the model's own vectors, which have norm 1.
        length: How many leading values are wanted; fewer than `dimensions` are not normalised
            again, as the API does not either.
    """
    import numpy as np

    vector = np.zeros(dimensions)
    for feature, weight in _features(text):
        for place, sign in _hashes(feature):
            vector[int(place * dimensions)] += sign * weight
    vector /= np.linalg.norm(vector) or 1.0
    for place, sign in _hashes(f"task {task}") if task else ():
        vector[int(place * dimensions)] += sign * _TASK_WEIGHT
    vector /= np.linalg.norm(vector) or 1.0
    values: list[float] = np.round(vector[:length], 9).tolist()
    return values


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in content_words(text) or words(text) or [text]:
        yield word, 1.0
        padded = f" {word} "
        for start in range(len(padded) - 2):
            yield padded[start : start + 3], 0.3


@lru_cache(maxsize=20_000)
def _hashes(feature: str) -> tuple[tuple[float, int], ...]:
    """Positions (0 up to 1) and signs of a feature, the same on every machine.

    Small positions are likelier, so that the leading values of a vector tell most.
    """
    digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=64).digest()
    numbers = struct.unpack(">16I", digest)
    return tuple(((number / 2**32) ** 3, 1 if number & 1 else -1) for number in numbers)


class _Embeddings:
    def __init__(self, context: VertexContext) -> None:
        self._context = context

    async def predict(self, request: Request) -> Response:
        body = parse("PredictRequest", await request.body())
        model, dimensions = self._model(request)
        instances = body.get("instances", [])
        most = 1 if model.startswith("gemini-embedding") else _MOST_INSTANCES
        if not 1 <= len(instances) <= most:
            raise ApiError(
                400, f"{model} takes 1 to {most} instances a request, not {len(instances)}."
            )
        parameters = body.get("parameters") or {}
        length = _length(_get(parameters, "outputDimensionality"), dimensions)
        truncates = _get(parameters, "autoTruncate") is not False
        texts = [_read_instance(instance, index) for index, instance in enumerate(instances)]
        counts = [_count(text, truncates) for text, _ in texts]
        if sum(min(count, _MOST_TOKENS) for count in counts) > _MOST_TOKENS_A_REQUEST:
            raise ApiError(
                400, f"The instances have more than {_MOST_TOKENS_A_REQUEST} tokens together."
            )
        vectors = await run_in_threadpool(
            lambda: [embed(_cut(text), task, dimensions, length) for text, task in texts]
        )
        self._context.stats.bill(model, input=sum(min(count, _MOST_TOKENS) for count in counts))
        predictions = [
            {
                "embeddings": {
                    "values": vector,
                    "statistics": {
                        "token_count": min(count, _MOST_TOKENS),
                        "truncated": count > _MOST_TOKENS,
                    },
                }
            }
            for vector, count in zip(vectors, counts, strict=True)
        ]
        characters = sum(len("".join(text.split())) for text, _ in texts)
        return JSONResponse(
            {"predictions": predictions, "metadata": {"billableCharacterCount": characters}}
        )

    async def embed_content(self, request: Request) -> Response:
        body = parse("EmbedContentRequest", await request.body())
        model, dimensions = self._model(request)
        config = {**body, **body.get("embedContentConfig", {})}
        for name in ("documentOcr", "audioTrackExtraction"):
            if config.get(name):
                raise not_served(f"embedContent with {name}")
        parts = body.get("content", {}).get("parts", [])
        texts = [part["text"] for part in parts if "text" in part]
        if not texts or len(texts) < len(parts):
            raise not_served("embedContent of other content than text")
        length = _length(config.get("outputDimensionality"), dimensions)
        text = "\n".join(texts)
        count = _count(text, config.get("autoTruncate") is not False)
        task = config.get("taskType", "")
        vector = await run_in_threadpool(embed, _cut(text), task, dimensions, length)
        used = min(count, _MOST_TOKENS)
        self._context.stats.bill(model, input=used)
        return JSONResponse(
            {
                "embedding": {"values": vector},
                "usageMetadata": {
                    "promptTokenCount": used,
                    "totalTokenCount": used,
                    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": used}],
                },
                "truncated": count > _MOST_TOKENS,
            }
        )

    def _model(self, request: Request) -> tuple[str, int]:
        name = request.path_params["model"].partition("@")[0]
        request.state.model = name
        dimensions = self._context.catalog.embedding_models().get(name)
        if dimensions is None:
            self._context.catalog.resolve(name)
            raise not_served(f"embeddings or predict of {name}")
        return name, dimensions


def _get(fields: Document, name: str) -> Any:
    """A field of a free-form object, in either spelling."""
    snake = re.sub("([A-Z])", r"_\1", name).lower()
    return fields.get(name, fields.get(snake)) if isinstance(fields, dict) else None


def _read_instance(instance: Any, index: int) -> tuple[str, str]:
    """Text and task type of one instance."""
    content = instance.get("content") if isinstance(instance, dict) else None
    if not isinstance(content, str) or not content:
        raise ApiError(400, f"instances[{index}].content must be a text that is not empty.")
    task = _get(instance, "taskType") or ""
    if task and task not in _TASKS:
        raise ApiError(400, f"instances[{index}].task_type must be one of {', '.join(_TASKS)}.")
    if instance.get("title") and task != "RETRIEVAL_DOCUMENT":
        raise ApiError(
            400, f"instances[{index}].title goes with task_type RETRIEVAL_DOCUMENT only."
        )
    return content, task


def _length(wanted: Any, dimensions: int) -> int:
    if wanted is None:
        return dimensions
    if isinstance(wanted, float) and wanted.is_integer():
        wanted = int(wanted)
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 1 <= wanted <= dimensions:
        raise ApiError(400, f"outputDimensionality must be an integer from 1 to {dimensions}.")
    return wanted


def _count(text: str, truncates: bool) -> int:
    count = tokens.count(text)
    if count > _MOST_TOKENS and not truncates:
        raise ApiError(
            400, f"The input token count is {count} but the model supports up to {_MOST_TOKENS}."
        )
    return count


def _cut(text: str) -> str:
    return "".join(tokens.split(text)[:_MOST_TOKENS])
