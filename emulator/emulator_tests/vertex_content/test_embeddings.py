"""Text embeddings and publisher models.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from emulator_tests.vertex_content.conftest import Post


def embed(client: Any, *texts: Any, model: str = "text-embedding-005", **config: Any) -> Any:
    return client.models.embed_content(
        model=model, contents=list(texts), config=types.EmbedContentConfig(**config)
    )


def cosine(a: Any, b: Any) -> float:
    product = sum(x * y for x, y in zip(a.values, b.values, strict=True))
    return product / math.sqrt(sum(x * x for x in a.values) * sum(y * y for y in b.values))


@pytest.mark.parametrize(
    ("model", "dimensions"),
    # "text-embedding-005: up to 768", "gemini-embedding-001: up to 3072"
    [("text-embedding-005", 768), ("gemini-embedding-001", 3072)],
)
def test_vectors_have_the_models_length_and_norm_one(
    client: genai.Client, model: str, dimensions: int
) -> None:
    (embedding,) = embed(client, "What is life?", model=model).embeddings
    assert len(embedding.values) == dimensions
    assert math.isclose(sum(value**2 for value in embedding.values), 1, rel_tol=1e-4)


@pytest.mark.parametrize("length", [None, 128])
def test_texts_that_share_words_are_nearer(client: genai.Client, length: int | None) -> None:
    near, same, far = embed(
        client,
        "The lighthouse keeper lights the lamp.",
        "The keeper of the lighthouse cleans the lamp.",
        "Quarterly revenue grew by four percent.",
        output_dimensionality=length,
        task_type="SEMANTIC_SIMILARITY",
    ).embeddings
    assert cosine(near, same) > cosine(near, far) + 0.2


def test_statistics_and_billable_characters(client: genai.Client) -> None:
    response = embed(client, "What is life?", "Why?")
    assert [item.statistics.truncated for item in response.embeddings] == [False, False]
    assert response.embeddings[0].statistics.token_count > 2
    assert response.metadata.billable_character_count == len("Whatislife?Why?")


def test_long_input_is_truncated_or_refused(client: genai.Client) -> None:
    # "Each input text has a limit of 2048 tokens"; autoTruncate is on by default
    text = "word " * 3000
    (embedding,) = embed(client, text).embeddings
    assert embedding.statistics.truncated
    assert embedding.statistics.token_count == 2048
    with pytest.raises(errors.ClientError, match="2048"):
        embed(client, text, auto_truncate=False)


def test_at_most_20000_tokens_a_request(client: genai.Client) -> None:
    # "An input limit of 20,000 tokens for each API request"
    with pytest.raises(errors.ClientError, match="20000"):
        embed(client, *["word " * 1900] * 11)


def test_gemini_embedding_takes_one_text_a_request(client: genai.Client) -> None:
    # "gemini-embedding-001 ... each request can only include a single input text"
    with pytest.raises(errors.ClientError):
        embed(client, "one", "two", model="gemini-embedding-001")


@pytest.mark.parametrize("config", [{"task_type": "JUGGLING"}, {"output_dimensionality": 769}])
def test_wrong_settings_are_refused(client: genai.Client, config: Any) -> None:
    with pytest.raises(errors.ClientError) as caught:
        embed(client, "text", **config)
    assert caught.value.code == 400


def test_embed_content_of_the_rest_api(post: Post) -> None:
    body = {"content": {"parts": [{"text": "What is life?"}]}, "outputDimensionality": 16}
    status, answer = post(body, "embedContent", model="gemini-embedding-001")
    assert status == 200
    assert len(answer["embedding"]["values"]) == 16
    assert answer["usageMetadata"]["promptTokenCount"] > 2


def test_a_text_model_does_not_embed(post: Post) -> None:
    status, answer = post({"instances": [{"content": "text"}]}, "predict")
    assert status == 501
    assert "gemini-3.5-flash" in answer["error"]["message"]


def test_publisher_models(client: genai.Client) -> None:
    model = client.models.get(model="gemini-3.5-flash")
    assert model.name == "publishers/google/models/gemini-3.5-flash"
    pager = client.models.list(config={"query_base": True, "page_size": 2})
    assert len(pager.page) == 2
    names = [item.name for item in pager]
    assert {model.name, "publishers/google/models/text-embedding-005"} <= set(names)
    with pytest.raises(errors.ClientError) as caught:
        client.models.get(model="gemini-0.1-imaginary")
    assert caught.value.code == 404
