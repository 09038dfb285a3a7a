"""streamGenerateContent: server-sent events for google-genai, a JSON array for REST clients.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.publishers.models/streamGenerateContent
"""

from __future__ import annotations

import pytest
from google import genai
from google.genai import errors, types

from emulator_tests.vertex_content.conftest import Post

from .conftest import MODEL

PASSAGE = "The harbour was full of ships. Each ship had a name and a flag. " * 3
AT_ZERO = types.GenerateContentConfig(temperature=0)


def test_the_chunks_together_are_the_answer(client: genai.Client) -> None:
    chunks = list(
        client.models.generate_content_stream(model=MODEL, contents=PASSAGE, config=AT_ZERO)
    )
    whole = client.models.generate_content(model=MODEL, contents=PASSAGE, config=AT_ZERO)
    assert len(chunks) > 1
    assert "".join(chunk.text for chunk in chunks) == whole.text


def test_only_the_last_chunk_has_finish_reason_and_counts(client: genai.Client) -> None:
    *first, last = client.models.generate_content_stream(
        model=MODEL, contents=PASSAGE, config=AT_ZERO
    )
    assert all(chunk.candidates[0].finish_reason is None for chunk in first)
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    assert last.usage_metadata.candidates_token_count > 0
    assert len({chunk.response_id for chunk in [*first, last]}) == 1


async def test_the_async_client_streams(new_client: genai.Client) -> None:
    stream = await new_client.aio.models.generate_content_stream(
        model=MODEL, contents=PASSAGE, config=AT_ZERO
    )
    texts = [chunk.text async for chunk in stream]
    whole = await new_client.aio.models.generate_content(
        model=MODEL, contents=PASSAGE, config=AT_ZERO
    )
    assert "".join(texts) == whole.text


def test_an_error_comes_before_the_stream(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as caught:
        list(client.models.generate_content_stream(model="gemini-0.1", contents="Hello"))
    assert caught.value.code == 404


def test_without_alt_sse_the_answer_is_a_json_array(post: Post) -> None:
    status, chunks = post(
        {"contents": {"role": "user", "parts": {"text": PASSAGE}}}, "streamGenerateContent"
    )
    assert status == 200
    assert len(chunks) > 1
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


def test_a_function_call_is_streamed_whole(client: genai.Client) -> None:
    tool = types.Tool(
        function_declarations=[
            types.FunctionDeclaration(
                name="get_tide", parameters_json_schema={"type": "object", "properties": {}}
            )
        ]
    )
    chunks = list(
        client.models.generate_content_stream(
            model=MODEL,
            contents="When is the next tide?",
            config=types.GenerateContentConfig(tools=[tool]),
        )
    )
    assert [call.name for chunk in chunks for call in chunk.function_calls or []] == ["get_tide"]
