"""Counting tokens: text, media and the methods countTokens and computeTokens.

https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/get-token-count
"""

from __future__ import annotations

from typing import Any

import pytest
from google import genai
from google.cloud import storage
from google.genai import errors, types

from emulator_tests.vertex_content.conftest import Post
from vertex_emulator.testing.media import mp4, pdf, png, wav

from .conftest import MODEL

TEXT = "The quick brown fox jumps over the lazy dog."


def count(client: Any, contents: Any, model: Any = MODEL, **config: Any) -> int:
    response = client.models.count_tokens(model=model, contents=contents, config=config or None)
    return response.total_tokens


def test_a_token_is_about_four_characters(client: genai.Client) -> None:
    # "A token is equivalent to about 4 characters for Gemini models. 100 tokens are about 60-80
    # English words": https://ai.google.dev/gemini-api/docs/tokens
    words = 70
    text = " ".join(["lighthouse", "the", "old", "keeper", "walked", "slowly", "home"] * 10)
    assert len(text.split()) == words
    assert 70 <= count(client, text) <= 125


def test_count_tokens_agrees_with_the_usage_of_an_answer(client: genai.Client) -> None:
    usage = client.models.generate_content(model=MODEL, contents=TEXT).usage_metadata
    assert count(client, TEXT) == usage.prompt_token_count


def test_the_system_instruction_counts(client: genai.Client) -> None:
    with_instruction = count(client, TEXT, system_instruction="Answer in French.")
    assert with_instruction == count(client, TEXT) + count(client, "Answer in French.")


def test_function_declarations_count(client: genai.Client) -> None:
    tool = types.Tool(function_declarations=[{"name": "get_weather", "description": "Weather"}])
    assert count(client, TEXT, tools=[tool]) > count(client, TEXT)


def test_billable_characters_leave_white_space_out(post: Post) -> None:
    # "totalBillableCharacters": characters without white space
    status, answer = post({"contents": [{"parts": [{"text": "ab c\nd"}]}]}, "countTokens")
    assert status == 200
    assert answer["totalBillableCharacters"] == 4


@pytest.mark.parametrize(
    ("resolution", "tokens"),
    [
        # https://ai.google.dev/gemini-api/docs/media-resolution ("Token counts")
        (None, 1120),
        ("MEDIA_RESOLUTION_LOW", 280),
        ("MEDIA_RESOLUTION_MEDIUM", 560),
        ("MEDIA_RESOLUTION_HIGH", 1120),
    ],
)
def test_images_count_by_resolution(
    client: genai.Client, resolution: str | None, tokens: int
) -> None:
    part = types.Part.from_bytes(data=png(960, 540), mime_type="image/png")
    if resolution:
        part.media_resolution = types.PartMediaResolution(level=resolution)
    assert count(client, [part]) == tokens


def test_audio_counts_32_tokens_a_second(client: genai.Client) -> None:
    # "Audio: 32 tokens per second": https://ai.google.dev/gemini-api/docs/tokens
    part = types.Part.from_bytes(data=wav(60), mime_type="audio/wav")
    assert count(client, [part]) == 60 * 32


def test_video_counts_70_tokens_a_frame(client: genai.Client) -> None:
    # https://ai.google.dev/gemini-api/docs/media-resolution ("Token counts"), a frame a second
    part = types.Part.from_bytes(data=mp4(10), mime_type="video/mp4")
    assert count(client, [part]) == 10 * 70
    part.video_metadata = types.VideoMetadata(start_offset="2s", end_offset="5s")
    assert count(client, [part]) == 3 * 70


def test_documents_count_560_tokens_a_page(client: genai.Client) -> None:
    # https://ai.google.dev/gemini-api/docs/media-resolution ("Token counts")
    part = types.Part.from_bytes(data=pdf(3), mime_type="application/pdf")
    assert count(client, [part]) == 3 * 560


def test_a_file_in_storage_counts_like_inline_data(
    client: genai.Client, bucket: storage.Bucket
) -> None:
    bucket.blob("media/picture.png").upload_from_string(png(960, 540), "image/png")
    uri = f"gs://{bucket.name}/media/picture.png"
    part = types.Part.from_uri(file_uri=uri, mime_type="image/png")
    response = client.models.generate_content(model=MODEL, contents=[part, TEXT])
    details = {
        item.modality: item.token_count for item in response.usage_metadata.prompt_tokens_details
    }
    assert details[types.MediaModality.IMAGE] == 1120
    assert details[types.MediaModality.TEXT] == count(client, TEXT)


def test_a_file_that_does_not_exist_is_not_found(
    client: genai.Client, bucket: storage.Bucket
) -> None:
    part = types.Part.from_uri(file_uri=f"gs://{bucket.name}/missing.png", mime_type="image/png")
    with pytest.raises(errors.ClientError):
        client.models.generate_content(model=MODEL, contents=[part])


def test_a_type_the_api_does_not_take_is_refused(client: genai.Client) -> None:
    part = types.Part.from_bytes(data=b"MZ", mime_type="application/x-msdownload")
    with pytest.raises(errors.ClientError, match=r"mimeType.*not supported"):
        client.models.generate_content(model=MODEL, contents=[part])


@pytest.mark.parametrize("mime_type", ["image/png", "application/pdf"])
def test_bytes_of_another_type_are_refused(client: genai.Client, mime_type: str) -> None:
    part = types.Part.from_bytes(data=b"neither image nor document", mime_type=mime_type)
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model=MODEL, contents=[part])
    assert caught.value.code == 400


def test_addresses_outside_storage_are_refused_by_name(client: genai.Client) -> None:
    part = types.Part.from_uri(file_uri="https://example.com/a.png", mime_type="image/png")
    with pytest.raises(errors.ServerError, match="file_uri"):
        client.models.generate_content(model=MODEL, contents=[part])


def test_computed_tokens_spell_the_text(client: genai.Client) -> None:
    # tokens are bytes (base64 in JSON, which google-genai decodes), ids are integers:
    # https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/compute-tokens
    response = client.models.compute_tokens(model=MODEL, contents=TEXT)
    (info,) = response.tokens_info
    assert info.role == "user"
    assert b"".join(info.tokens).decode() == TEXT
    assert len(info.token_ids) == len(info.tokens) == count(client, TEXT)
