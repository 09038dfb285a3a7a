"""Reading requests: both spellings, unknown fields, wrong values, in proto's JSON mapping.

The mapping: https://protobuf.dev/programming-guides/json. The words of the errors are those that
Google's APIs answer; the form is https://cloud.google.com/apis/design/errors.
"""

from __future__ import annotations

from typing import Any

import pytest

from emulator_tests.vertex_content.conftest import Post

HELLO = {"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}]}


def error(answer: Any) -> dict[str, Any]:
    assert set(answer) == {"error"}
    return answer["error"]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_both_versions_are_served(post: Post, version: str) -> None:
    assert post(HELLO, version=version)[0] == 200


def test_both_spellings_of_a_field(post: Post) -> None:
    for config in (
        {"generationConfig": {"maxOutputTokens": 258, "stopSequences": ["x"]}},
        {"generation_config": {"max_output_tokens": 258, "stop_sequences": ["x"]}},
    ):
        status, answer = post({**HELLO, **config})
        assert status == 200
        assert answer["usageMetadata"]["candidatesTokenCount"] == 2, "256 are thoughts"


@pytest.mark.parametrize(
    ("body", "message", "field"),
    [
        (
            {**HELLO, "temperature": 0.5},
            'Invalid JSON payload received. Unknown name "temperature": Cannot find field.',
            None,
        ),
        (
            {**HELLO, "generationConfig": {"temprature": 0.5}},
            "Invalid JSON payload received. Unknown name \"temprature\" at 'generation_config':"
            " Cannot find field.",
            "generation_config",
        ),
        (
            {"contents": [{"parts": [{"text": "a"}, {"txt": "b"}]}]},
            "Invalid JSON payload received. Unknown name \"txt\" at 'contents[0].parts[1]':"
            " Cannot find field.",
            "contents[0].parts[1]",
        ),
        (
            {**HELLO, "generationConfig": {"temperature": "hot"}},
            "Invalid value at 'generation_config.temperature' (TYPE_FLOAT), \"hot\"",
            "generation_config.temperature",
        ),
        (
            {**HELLO, "safetySettings": [{"category": "HARM_CATEGORY_BOREDOM"}]},
            "Invalid value at 'safety_settings[0].category'"
            " (type.googleapis.com/google.cloud.aiplatform.v1beta1.HarmCategory),"
            ' "HARM_CATEGORY_BOREDOM"',
            "safety_settings[0].category",
        ),
        (
            {"contents": [{"role": ["user"], "parts": [{"text": "a"}]}]},
            "Invalid JSON payload received. Unknown name \"role\" at 'contents[0]': Proto field is"
            " not repeating, cannot start list.",
            "contents[0]",
        ),
    ],
)
def test_mistakes_are_named_with_their_place(
    post: Post, body: Any, message: str, field: str | None
) -> None:
    status, answer = post(body)
    assert status == 400
    assert error(answer)["status"] == "INVALID_ARGUMENT"
    assert error(answer)["message"] == message
    (detail,) = error(answer)["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    (violation,) = detail["fieldViolations"]
    assert violation.get("field") == field


def test_every_mistake_is_told_at_once(post: Post) -> None:
    status, answer = post({"contets": [], "generationConfig": {"topQ": 1, "seed": 1.5}})
    assert status == 400
    assert len(error(answer)["details"][0]["fieldViolations"]) == 3


def test_only_one_kind_of_data_in_a_part(post: Post) -> None:
    part = {"text": "a", "inlineData": {"mimeType": "text/plain", "data": "YQ=="}}
    status, answer = post({"contents": [{"parts": [part]}]})
    assert status == 400
    assert "oneof" in error(answer)["message"]


@pytest.mark.parametrize(
    "extra",
    [
        # Fields that are newer than the proto types of google-cloud-aiplatform, as google-genai
        # sends them, and documented ones without effect here
        {"serviceTier": "priority"},
        {"labels": {"team": "a"}},
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}},
        {"generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"}},
        {"generationConfig": {"audioTimestamp": True, "seed": "7", "topK": 40}},
        {"generationConfig": {"responseModalities": ["TEXT"]}},
        {"systemInstruction": None, "safetySettings": []},
        {"safetySettings": [{"category": 1, "threshold": 3}]},
    ],
)
def test_known_fields_are_taken(post: Post, extra: Any) -> None:
    status, answer = post({**HELLO, **extra})
    assert status == 200, answer


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({"outputConfig": {"outputUriPrefix": "gs://b/o"}}, "outputConfig"),
        ({"generationConfig": {"responseModalities": ["IMAGE"]}}, "IMAGE"),
        ({"generationConfig": {"speechConfig": {"languageCode": "en-US"}}}, "speechConfig"),
        ({"tools": [{"googleMaps": {}}]}, "googleMaps"),
    ],
)
def test_known_fields_that_are_not_emulated_are_refused_by_name(
    post: Post, extra: Any, name: str
) -> None:
    status, answer = post({**HELLO, **extra})
    assert status == 501
    assert error(answer)["status"] == "UNIMPLEMENTED"
    assert name in error(answer)["message"]


def test_a_single_value_stands_for_a_list_of_one(post: Post) -> None:
    # As in Google's curl samples: "contents": {"role": "user", "parts": {"text": "..."}}
    status, _ = post({"contents": {"role": "user", "parts": {"text": "Hello"}}})
    assert status == 200


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"contents": NaN}', b'{"a": "\\ud800"}', b"["],
)
def test_what_is_no_json_object_is_refused(post: Post, body: bytes) -> None:
    status, answer = post(body)
    assert status == 400
    assert error(answer)["status"] == "INVALID_ARGUMENT"


def test_contents_are_required(post: Post) -> None:
    assert post(b"")[0] == 400
    assert post({"contents": []})[0] == 400
    assert post({"contents": [{"role": "user"}]})[0] == 400


def test_deep_nesting_is_refused(post: Post) -> None:
    body = b'{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{"a":'
    status, _ = post(body + b"[" * 100_000 + b"]" * 100_000 + b"}}}]}]}")
    assert status == 400


@pytest.mark.parametrize("method", ["rawPredict", "predictLongRunning"])
def test_methods_that_are_not_emulated_are_refused_by_name(post: Post, method: str) -> None:
    status, answer = post({}, method)
    assert status == 501
    assert method in error(answer)["message"]


def test_an_unknown_method_is_refused_by_name(post: Post) -> None:
    status, body = post(HELLO, "imagineContent")
    assert status == 501
    assert "imagineContent" in body["error"]["message"]
