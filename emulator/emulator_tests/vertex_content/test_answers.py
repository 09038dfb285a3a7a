"""Answers have the shape of the API's messages: proto's own parser takes them, field by field.

The proto types are of https://github.com/googleapis/googleapis (google/cloud/aiplatform); parsing
is strict, so that a field which the API does not have fails the test.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from google import genai
from google.cloud import aiplatform_v1, aiplatform_v1beta1, storage
from google.genai import types as genai_types

from emulator_tests.vertex_content.conftest import Post
from vertex_emulator.testing import RunningEmulator

from .conftest import MODEL
from .test_batches import create, request, upload, wait

HELLO = {"contents": [{"role": "user", "parts": [{"text": "Describe a teapot. " * 20}]}]}
SETTINGS = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_LOW_AND_ABOVE"}]
TOOL = {"functionDeclarations": [{"name": "describe_teapot", "description": "Describe"}]}
IN_DETAIL = [
    {},
    {"safetySettings": SETTINGS},
    {"tools": [TOOL]},
    {"tools": [{"googleSearch": {}}]},
    {"generationConfig": {"candidateCount": 2, "maxOutputTokens": 3}},
    {"generationConfig": {"thinkingConfig": {"thinkingBudget": 64, "includeThoughts": True}}},
    {"contents": [{"parts": [{"text": "stupid"}]}], "safetySettings": SETTINGS},
    {"contents": [{"parts": [{"text": "emulated prohibited content"}]}]},
]


def parse(module: Any, name: str, answer: Any) -> Any:
    if module is aiplatform_v1beta1:
        # v1 and google-genai know it, the types of v1beta1 do not yet
        answer.get("usageMetadata", {}).pop("trafficType", None)
    message = getattr(module.types, name)
    return message.from_json(json.dumps(answer), ignore_unknown_fields=False)


@pytest.fixture
def get(emulator: RunningEmulator, parent: str) -> Callable[[str, str], Any]:
    def send(path: str, version: str) -> Any:
        with urllib.request.urlopen(f"{emulator.url}/{version}/{path}") as response:
            return json.load(response)

    return send


@pytest.mark.parametrize("module", [aiplatform_v1, aiplatform_v1beta1])
@pytest.mark.parametrize("extra", IN_DETAIL)
@pytest.mark.parametrize("model", [MODEL, "gemini-3.5-flash"])
def test_generated_content(post: Post, module: Any, extra: Any, model: Any) -> None:
    version = module.__name__.rpartition("_")[2]
    status, answer = post({**HELLO, **extra}, model=model, version=version)
    assert status == 200
    response = parse(module, "GenerateContentResponse", answer)
    assert response.usage_metadata.total_token_count > 0
    status, chunks = post({**HELLO, **extra}, "streamGenerateContent", model=model, version=version)
    assert [parse(module, "GenerateContentResponse", chunk) for chunk in chunks]


@pytest.mark.parametrize("module", [aiplatform_v1, aiplatform_v1beta1])
def test_tokens(post: Post, module: Any) -> None:
    version = module.__name__.rpartition("_")[2]
    _, counted = post(HELLO, "countTokens", version=version)
    _, computed = post(HELLO, "computeTokens", version=version)
    assert parse(module, "CountTokensResponse", counted).total_tokens > 0
    assert parse(module, "ComputeTokensResponse", computed).tokens_info[0].token_ids


@pytest.mark.parametrize("module", [aiplatform_v1, aiplatform_v1beta1])
def test_embeddings_and_publisher_models(
    post: Post, get: Callable[[str, str], Any], module: Any
) -> None:
    version = module.__name__.rpartition("_")[2]
    model = "text-embedding-005"
    _, predicted = post({"instances": [{"content": "a"}]}, "predict", model, version)
    assert parse(module, "PredictResponse", {"predictions": predicted["predictions"]})
    shown = get(f"publishers/google/models/{model}", version)
    assert parse(module, "PublisherModel", shown).name.endswith(model)
    _, embedded = post({"content": {"parts": [{"text": "a"}]}}, "embedContent", model)
    assert parse(aiplatform_v1beta1, "EmbedContentResponse", embedded).embedding.values


@pytest.mark.parametrize("module", [aiplatform_v1, aiplatform_v1beta1])
def test_cached_content_and_batch_jobs(
    client: genai.Client, bucket: storage.Bucket, get: Callable[[str, str], Any], module: Any
) -> None:
    version = module.__name__.rpartition("_")[2]
    cache = client.caches.create(
        model=MODEL,
        config=genai_types.CreateCachedContentConfig(
            contents=["Close the valve. " * 1100], display_name="a"
        ),
    )
    assert parse(module, "CachedContent", get(cache.name, version)).name == cache.name
    job = wait(client, create(client, bucket, upload(bucket, {"request": request("Hello")})))
    shown = get(job.name, version)
    found = parse(module, "BatchPredictionJob", shown)
    assert found.completion_stats.successful_count == 1
    assert shown["completionStats"]["successfulCount"] == "1"  # int64 is a string in JSON
    assert shown["state"] == "JOB_STATE_SUCCEEDED"
