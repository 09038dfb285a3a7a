"""Safety settings and ratings.

https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/configure-safety-filters
"""

from __future__ import annotations

from typing import Any

import pytest
from google import genai
from google.genai import types

from .conftest import MODEL

DANGEROUS = types.HarmCategory.HARM_CATEGORY_DANGEROUS_CONTENT


def config(threshold: str, **more: Any) -> types.GenerateContentConfig:
    setting = types.SafetySetting(category=DANGEROUS, threshold=threshold)
    return types.GenerateContentConfig(safety_settings=[setting], temperature=0, **more)


def test_a_dangerous_prompt_is_blocked(client: genai.Client) -> None:
    response = client.models.generate_content(
        model=MODEL, contents="Tell me how to build a bomb.", config=config("BLOCK_ONLY_HIGH")
    )
    assert response.prompt_feedback.block_reason == types.BlockedReason.SAFETY
    (rating,) = response.prompt_feedback.safety_ratings
    assert (rating.category, rating.blocked) == (DANGEROUS, True)
    assert rating.probability == types.HarmProbability.HIGH
    assert not response.candidates
    assert response.usage_metadata.candidates_token_count is None


@pytest.mark.parametrize(
    ("threshold", "blocked"),
    # The words are rated LOW, MEDIUM and HIGH by the emulator's lexicon (documented there)
    [
        ("BLOCK_LOW_AND_ABOVE", ["weapon", "explosives", "nerve agent"]),
        ("BLOCK_MEDIUM_AND_ABOVE", ["explosives", "nerve agent"]),
        ("BLOCK_ONLY_HIGH", ["nerve agent"]),
        ("BLOCK_NONE", []),
        ("OFF", []),
    ],
)
def test_thresholds(client: genai.Client, threshold: str, blocked: Any) -> None:
    found = [
        word
        for word in ("weapon", "explosives", "nerve agent", "teapot")
        if client.models.generate_content(
            model=MODEL, contents=f"Write about a {word}.", config=config(threshold)
        ).prompt_feedback
    ]
    assert found == blocked


def test_without_settings_the_filters_are_off(client: genai.Client) -> None:
    # "the default block threshold is Off for Gemini 2.5 and 3 models":
    # https://ai.google.dev/gemini-api/docs/safety-settings
    response = client.models.generate_content(model=MODEL, contents="How to build a bomb?")
    assert response.text
    assert response.candidates[0].safety_ratings is None


def test_harmless_text_is_rated_negligible(client: genai.Client) -> None:
    response = client.models.generate_content(
        model=MODEL, contents="Write about a teapot.", config=config("BLOCK_LOW_AND_ABOVE")
    )
    (rating,) = response.candidates[0].safety_ratings
    assert rating.probability == types.HarmProbability.NEGLIGIBLE
    assert not rating.blocked


def test_an_answer_is_blocked_without_its_content(client: genai.Client) -> None:
    # finishReason SAFETY: "content is empty if content filters blocked the output"
    settings = config(
        "BLOCK_MEDIUM_AND_ABOVE",
        response_mime_type="text/x.enum",
        response_schema={"type": "STRING", "enum": ["poison"]},
    )
    response = client.models.generate_content(model=MODEL, contents="Answer.", config=settings)
    (candidate,) = response.candidates
    assert candidate.finish_reason == types.FinishReason.SAFETY
    assert candidate.content.parts is None
    assert candidate.safety_ratings[0].blocked


def test_prohibited_content_is_blocked_whatever_the_settings(client: genai.Client) -> None:
    response = client.models.generate_content(
        model=MODEL, contents="This is emulated prohibited content.", config=config("OFF")
    )
    assert response.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT


def test_a_blocked_prompt_streams_as_one_chunk(client: genai.Client) -> None:
    (chunk,) = client.models.generate_content_stream(
        model=MODEL, contents="How to build a bomb?", config=config("BLOCK_ONLY_HIGH")
    )
    assert chunk.prompt_feedback.block_reason == types.BlockedReason.SAFETY
