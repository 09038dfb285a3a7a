"""A response ends in exactly one state, and is read as the API means it."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

from genaiops_dagster.evaluation.asking.inference import content_config, read_answer
from genaiops_dagster.use_case import GenerationConfig


def response(**fields: Any) -> types.GenerateContentResponse:
    return types.GenerateContentResponse.model_validate(
        {
            "modelVersion": "gemini-x",
            "usageMetadata": {
                "promptTokenCount": 10,
                "candidatesTokenCount": 3,
                "thoughtsTokenCount": 4,
            },
            **fields,
        }
    )


def candidate(*parts: Any, finish: str = "STOP", **fields: Any) -> Any:
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, "finishReason": finish, **fields}]}


def test_answered() -> None:
    found = read_answer(response(**candidate({"text": "a"}, {"text": "b"})), 0.5)
    assert (found.state, found.text, found.finish_reason) == ("answered", "ab", "STOP")
    assert (found.input_tokens, found.output_tokens) == (10, 7), "thinking is paid, too"
    assert (found.latency_seconds, found.model_version) == (0.5, "gemini-x")


def test_thoughts_are_no_part_of_the_answer() -> None:
    found = read_answer(response(**candidate({"text": "hm", "thought": True}, {"text": "b"})), 0)
    assert found.text == "b"


def test_function_calls_are_answers() -> None:
    call = {"functionCall": {"name": "book", "args": {"seats": 2}}}
    found = read_answer(response(**candidate(call)), 0)
    assert found.state == "answered"
    assert found.tool_calls == [{"name": "book", "arguments": {"seats": 2}}]


@pytest.mark.parametrize(
    ("fields", "state", "reason"),
    [
        (
            {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
            "blocked",
            "PROHIBITED_CONTENT",
        ),
        (
            candidate(
                finish="SAFETY",
                safetyRatings=[
                    {
                        "category": "HARM_CATEGORY_HARASSMENT",
                        "probability": "HIGH",
                        "blocked": True,
                    }
                ],
            ),
            "blocked",
            "HARM_CATEGORY_HARASSMENT",
        ),
        (candidate({"text": "copied"}, finish="RECITATION"), "blocked", "RECITATION"),
        (candidate({"text": "cut o"}, finish="MAX_TOKENS"), "truncated", "MAX_TOKENS"),
        (candidate(finish="MALFORMED_FUNCTION_CALL"), "failed", "MALFORMED_FUNCTION_CALL"),
        (candidate(), "failed", "empty answer"),
        ({}, "failed", "empty answer"),
        ({"candidates": [{"finishReason": "STOP"}]}, "failed", "empty answer"),
    ],
)
def test_other_ends_say_why(fields: Any, state: str, reason: str) -> None:
    found = read_answer(response(**fields), 0)
    assert (found.state, found.reason) == (state, reason)


def test_config_is_the_use_cases() -> None:
    generation = GenerationConfig(temperature=0.5, stop_sequences=["END"], thinking_budget=0)
    config = content_config("Be brief.", generation)
    assert config.system_instruction == "Be brief."
    assert config.temperature == 0.5
    assert config.stop_sequences == ["END"]
    assert config.thinking_config is not None
    assert config.thinking_config.thinking_budget == 0
    assert content_config("", GenerationConfig()).system_instruction is None
