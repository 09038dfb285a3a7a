"""Controlled generation: the answer is JSON of the given schema.

https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/control-generated-output
"""

from __future__ import annotations

import enum
import json
from typing import Any, Literal, Optional

import jsonschema
import pytest
from google import genai
from google.genai import errors, types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from emulator_tests.vertex_content.conftest import Post

from .conftest import MODEL

PROMPT = "The kettle costs 39.5 pounds and ships in 3 days from Leeds. Buyers call it sturdy."


def as_json(
    schema: Any = None, json_schema: Any = None, **more: Any
) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(
        response_mime_type="application/json",
        response_schema=schema,
        response_json_schema=json_schema,
        temperature=0,
        **more,
    )


class Review(BaseModel):
    product: str
    price: float
    days: int = Field(ge=1, le=30)
    tags: list[str] = Field(min_length=1, max_length=3)
    mood: Literal["positive", "negative"]
    note: Optional[str] = None  # noqa: UP045 - the form that the documentation shows


def test_a_pydantic_class_as_schema(client: genai.Client) -> None:
    response = client.models.generate_content(model=MODEL, contents=PROMPT, config=as_json(Review))
    assert isinstance(response.parsed, Review)
    assert 1 <= response.parsed.days <= 30


def test_a_list_of_classes_as_schema(client: genai.Client) -> None:
    response = client.models.generate_content(
        model=MODEL, contents=PROMPT, config=as_json(list[Review])
    )
    assert all(isinstance(item, Review) for item in response.parsed)


def test_an_openapi_schema_with_required_enum_and_nullable(client: genai.Client) -> None:
    # The form of "response_schema" in Google's samples
    schema = {
        "type": "ARRAY",
        "items": {
            "type": "OBJECT",
            "properties": {
                "rating": {"type": "INTEGER", "minimum": 1, "maximum": 5},
                "flavor": {"type": "STRING", "nullable": True},
                "sentiment": {"type": "STRING", "enum": ["POSITIVE", "NEGATIVE"]},
            },
            "required": ["rating", "sentiment"],
        },
        "minItems": 1,
    }
    response = client.models.generate_content(model=MODEL, contents=PROMPT, config=as_json(schema))
    rows = json.loads(response.text)
    assert rows
    for row in rows:
        assert row["rating"] in range(1, 6)
        assert row["sentiment"] in ("POSITIVE", "NEGATIVE")


def test_a_json_schema_with_references(client: genai.Client) -> None:
    schema = {
        "type": "object",
        "properties": {
            "root": {"$ref": "#/$defs/place"},
            "size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["root", "size"],
        "$defs": {
            "place": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "inside": {"type": "array", "items": {"$ref": "#/$defs/place"}, "maxItems": 1},
                },
                "required": ["name"],
            }
        },
    }
    response = client.models.generate_content(
        model=MODEL, contents=PROMPT, config=as_json(json_schema=schema)
    )
    jsonschema.validate(json.loads(response.text), schema)


def test_json_without_a_schema_is_json(client: genai.Client) -> None:
    response = client.models.generate_content(model=MODEL, contents=PROMPT, config=as_json())
    json.loads(response.text)


def test_text_x_enum_answers_with_one_of_the_values(client: genai.Client) -> None:
    # "text/x.enum": https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/control-generated-output
    class Town(enum.Enum):
        LEEDS = "Leeds"
        OSLO = "Oslo"

    config = types.GenerateContentConfig(
        response_mime_type="text/x.enum", response_schema=Town, temperature=0
    )
    response = client.models.generate_content(model=MODEL, contents=PROMPT, config=config)
    assert response.text == "Leeds"


def test_max_output_tokens_breaks_json(client: genai.Client) -> None:
    config = as_json(Review, max_output_tokens=261)
    response = client.models.generate_content(model=MODEL, contents=PROMPT, config=config)
    assert response.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.text)


def test_an_invalid_json_schema_is_refused(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError, match="schema"):
        client.models.generate_content(
            model=MODEL, contents=PROMPT, config=as_json(json_schema={"type": "strnig"})
        )


def test_a_schema_that_nothing_satisfies_is_refused(client: genai.Client) -> None:
    schema = {"type": "string", "minLength": 5, "maxLength": 2}
    with pytest.raises(errors.APIError, match="schema"):
        client.models.generate_content(
            model=MODEL, contents=PROMPT, config=as_json(json_schema=schema)
        )


SCALARS = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "enum": ["red", "green"]},
        {"type": "string", "format": "date-time"},
        {"type": "string", "maxLength": 12},
        {"type": "integer", "minimum": 3, "maximum": 7},
        {"type": "number", "maximum": -0.5},
        {"type": "integer", "multipleOf": 5},
        {"type": "boolean"},
        {"type": ["string", "null"]},
    ]
)
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(
            lambda item, low: {
                "type": "array",
                "items": item,
                "minItems": low,
                "maxItems": low + 1,
            },
            inner,
            st.integers(0, 3),
        ),
        st.dictionaries(st.sampled_from("abcd"), inner, min_size=1).map(
            lambda found: {"type": "object", "properties": found, "required": sorted(found)[:2]}
        ),
        st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
    ),
    max_leaves=8,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(schema=SCHEMAS)
def test_every_answer_satisfies_its_schema(post: Post, schema: Any) -> None:
    status, answer = post(
        {
            "contents": [{"role": "user", "parts": [{"text": PROMPT}]}],
            "generationConfig": {
                "responseMimeType": "application/json",
                "responseJsonSchema": schema,
            },
        }
    )
    assert status == 200, answer
    text = answer["candidates"][0]["content"]["parts"][0]["text"]
    jsonschema.validate(json.loads(text), schema)
