"""A response ends in exactly one state, and is read as the API means it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from google.genai import types

from genaiops_dagster.evaluation.asking.inference import Model, content_config, read_answer
from genaiops_dagster.use_case import GenerationConfig
from genaiops_dagster.use_case.candidates import PRESETS


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


FLASH = Model("m", "gemini-3.5-flash", GenerationConfig(max_output_tokens=16))


def asked(name: str, **generation: Any) -> Model:
    return Model("m", name, GenerationConfig(**generation))


def test_config_is_the_use_cases() -> None:
    generation = {"temperature": 0.5, "stop_sequences": ["END"], "thinking_budget": 0}
    config = content_config(asked("gemini-99", **generation), "Be brief.")
    assert config.system_instruction == "Be brief."
    assert config.temperature == 0.5
    assert config.stop_sequences == ["END"]
    assert config.thinking_config == types.ThinkingConfig(thinking_budget=0)
    assert config.max_output_tokens == 1024
    assert content_config(FLASH, "").system_instruction is None


@pytest.mark.parametrize(
    ("model", "level", "limit"),
    [
        (FLASH, None, 16 + 8192),  # MEDIUM is its own
        (asked("gemini-3.5-flash", max_output_tokens=16, thinking_level="LOW"), "LOW", 16 + 1024),
        (asked("gemini-4-argon", max_output_tokens=60_000), None, 65_536),  # HIGH, and its limit
        (dataclasses.replace(FLASH, address="p/endpoints/1"), "MINIMAL", 16 + 1024),
    ],
    ids=["own", "asked", "limit", "tuned"],
)
def test_a_request_leaves_room_for_thoughts(model: Model, level: str | None, limit: int) -> None:
    config = content_config(model, "")
    sent = types.ThinkingConfig(thinking_level=types.ThinkingLevel(level)) if level else None
    assert (config.thinking_config, config.max_output_tokens) == (sent, limit)


def test_what_a_model_ignores_is_not_sent() -> None:
    preset = {**PRESETS["random"], "seed": 3}
    heard = content_config(asked("gemini-3.5-flash", **preset), "")
    ignored = content_config(asked("gemini-3.8-flash", **preset), "")
    assert (heard.temperature, heard.top_p, heard.top_k, heard.seed) == (1.0, 0.9, 40, 3)
    assert (ignored.temperature, ignored.top_p, ignored.top_k, ignored.seed) == (
        None,
        None,
        None,
        3,
    )


def test_an_answer_longer_than_the_visible_limit_is_truncated() -> None:
    given = response(
        **candidate({"text": "on and on"}),
        usageMetadata={"candidatesTokenCount": 17, "thoughtsTokenCount": 500},
    )
    assert read_answer(given, 0, 17).state == "answered"
    found = read_answer(given, 0, 16)
    assert (found.state, found.output_tokens) == ("truncated", 517)
    assert found.reason == "17 tokens, of which max_output_tokens allows 16"


def test_configs_without_a_level_keep_their_digest() -> None:
    """Answers that were paid for, and champions, go by it."""
    before = GenerationConfig(max_output_tokens=16)
    assert "thinking_level" not in before.model_dump(mode="json")
    known = GenerationConfig(thinking_level="LOW")
    assert known.model_dump(mode="json")["thinking_level"] == "LOW"
