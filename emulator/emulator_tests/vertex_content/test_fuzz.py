"""Whatever is sent, the answer is the API's kind of error and never a 500."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator_tests.vertex_content.conftest import Post

from .conftest import MODEL

CALM = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

FIELD_NAMES = """
    contents parts role text inlineData mimeType data fileData fileUri systemInstruction
    generationConfig temperature topP topK candidateCount maxOutputTokens stopSequences seed
    responseMimeType responseSchema responseJsonSchema thinkingConfig thinkingBudget tools
    functionDeclarations name parameters type properties items enum required toolConfig
    functionCallingConfig mode allowedFunctionNames safetySettings category threshold labels
    functionCall functionResponse response args cachedContent googleSearch videoMetadata
    startOffset mediaResolution level model ttl expireTime instances content anyOf unknown_field
"""
SCHEMA_KEYWORDS = """
    type properties items enum minItems maxItems minimum maximum multipleOf minLength maxLength
    pattern format anyOf allOf $ref required const nullable prefixItems additionalProperties
"""
RESOURCE_FIELDS = """
    name displayName model contents systemInstruction tools toolConfig ttl expireTime inputConfig
    outputConfig labels modelParameters instanceConfig encryptionSpec
"""
FIELDS = st.sampled_from(FIELD_NAMES.split())
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        ["user", "model", "STRING", "OBJECT", "ANY", "application/json", "text/x.enum", "1s"]
    ),
    st.sampled_from(["gs://b/o", "YQ==", "image/png", "HARM_CATEGORY_HARASSMENT", "OFF", MODEL]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(FIELDS, inner, max_size=4)
    ),
    max_leaves=12,
)
TEXT_PART = st.builds(lambda text: {"text": text}, st.text(max_size=40))
REQUESTS = st.fixed_dictionaries(
    {
        "contents": st.one_of(
            ANYTHING,
            st.builds(
                lambda parts: [{"role": "user", "parts": parts}],
                st.lists(st.one_of(TEXT_PART, ANYTHING), max_size=3),
            ),
        )
    },
    optional={
        "generationConfig": st.dictionaries(FIELDS, ANYTHING, max_size=4),
        "tools": st.lists(st.dictionaries(FIELDS, ANYTHING, max_size=2), max_size=2),
        "toolConfig": ANYTHING,
        "safetySettings": ANYTHING,
        "systemInstruction": ANYTHING,
        "cachedContent": ANYTHING,
    },
)
SCHEMAS = st.dictionaries(
    st.sampled_from(SCHEMA_KEYWORDS.split()),
    st.recursive(
        st.one_of(SCALARS, st.sampled_from(["string", "object", "array", "integer", "#", "#/x"])),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["a", "type", "items", "properties", "$ref", "enum"]),
                inner,
                max_size=3,
            ),
        ),
        max_leaves=8,
    ),
    max_size=4,
)
FINE = {200, 400, 404, 501}


@pytest.mark.parametrize(
    "method",
    ["generateContent", "streamGenerateContent", "countTokens", "computeTokens", "predict"],
)
@settings(CALM, max_examples=60)
@given(body=st.one_of(REQUESTS, ANYTHING))
def test_any_json_is_answered(post: Post, method: str, body: Any) -> None:
    status, answer = post(body, method)
    assert status in FINE, answer
    if status != 200:
        assert answer["error"]["message"]


@pytest.mark.parametrize("collection", ["cachedContents", "batchPredictionJobs"])
@settings(CALM, max_examples=60)
@given(
    body=st.dictionaries(
        st.sampled_from(RESOURCE_FIELDS.split()),
        st.one_of(ANYTHING, st.just({"gcsSource": {"uris": ["gs://b/o"]}}), st.just(MODEL)),
        max_size=6,
    )
)
def test_any_resource_is_answered(post: Post, collection: str, body: Any) -> None:
    status, answer = post(body, path=collection)
    assert status in FINE, answer


@CALM
@given(schema=SCHEMAS, form=st.sampled_from(["responseSchema", "responseJsonSchema"]))
def test_any_schema_is_answered(post: Post, schema: Any, form: Any) -> None:
    status, answer = post(
        {
            "contents": [{"role": "user", "parts": [{"text": "Describe 3 teapots."}]}],
            "generationConfig": {"responseMimeType": "application/json", form: schema},
        }
    )
    assert status in FINE, answer


@CALM
@given(schema=SCHEMAS)
def test_any_function_is_answered(post: Post, schema: Any) -> None:
    declaration = {"name": "describe_teapot", "parametersJsonSchema": schema}
    status, answer = post(
        {
            "contents": [{"role": "user", "parts": [{"text": "Describe 3 teapots."}]}],
            "tools": [{"functionDeclarations": [declaration]}],
        }
    )
    assert status in FINE, answer


@CALM
@given(body=st.binary(max_size=60))
def test_any_bytes_are_answered(post: Post, body: Any) -> None:
    status, answer = post(body)
    assert status in FINE, answer


@CALM
@given(
    data=st.binary(max_size=200),
    mime_type=st.sampled_from(
        ["image/png", "image/jpeg", "image/webp", "application/pdf", "video/mp4", "audio/mp3"]
    ),
    start=st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff", b"%PDF-1.7\n", b"ID3", b"RIFF"]
    ),
)
def test_any_media_is_answered(post: Post, data: Any, mime_type: Any, start: Any) -> None:
    import base64

    encoded = base64.b64encode(start + data).decode()
    part = {"inlineData": {"mimeType": mime_type, "data": encoded}}
    status, answer = post({"contents": [{"role": "user", "parts": [part]}]}, "countTokens")
    assert status in FINE, answer


@CALM
@given(name=st.text(min_size=1, max_size=30).filter(lambda name: "\0" not in name))
def test_any_model_name_is_answered(post: Post, name: Any) -> None:
    from urllib.parse import quote

    status, _ = post({"contents": "x"}, model=quote(name, safe=""))
    assert status in {400, 404, 405}
