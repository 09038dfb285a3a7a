"""generateContent with google-genai.

Expected behaviour: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from google import genai
from google.cloud import storage
from google.genai import errors, types

from vertex_emulator.testing import RunningEmulator

from .conftest import MODEL

PASSAGE = (
    "The lighthouse was built in 1862. It stands on a cliff above the bay. Ships used its light to"
    " find the harbour. Today it is a museum. Visitors climb its 140 steps to see the lamp."
)


def test_answers_with_one_candidate_that_stopped(client: genai.Client) -> None:
    response = client.models.generate_content(model=MODEL, contents=PASSAGE)
    (candidate,) = response.candidates
    assert response.text
    assert candidate.content.role == "model"
    assert candidate.finish_reason == types.FinishReason.STOP
    assert response.model_version == f"{MODEL}-emulated"
    assert response.response_id
    assert response.create_time.tzinfo is not None


def test_usage_adds_up(client: genai.Client) -> None:
    usage = client.models.generate_content(model=MODEL, contents=PASSAGE).usage_metadata
    assert usage.prompt_token_count > 20
    assert usage.total_token_count == (
        usage.prompt_token_count + usage.candidates_token_count + usage.thoughts_token_count
    )
    (details,) = usage.prompt_tokens_details
    assert details.modality == types.MediaModality.TEXT
    assert details.token_count == usage.prompt_token_count


def test_temperature_zero_answers_the_same_each_time(client: genai.Client) -> None:
    config = types.GenerateContentConfig(temperature=0)
    first, second = (
        client.models.generate_content(model=MODEL, contents=PASSAGE, config=config)
        for _ in range(2)
    )
    assert first.text == second.text
    assert first.response_id != second.response_id


def test_a_seed_repeats_a_random_answer(client: genai.Client) -> None:
    def ask(seed: int) -> str:
        config = types.GenerateContentConfig(temperature=1.5, seed=seed)
        return client.models.generate_content(model=MODEL, contents=PASSAGE, config=config).text

    assert ask(1) == ask(1)
    assert len({ask(seed) for seed in range(12)}) > 1


def test_max_output_tokens_cuts_the_answer(client: genai.Client) -> None:
    # "Maximum number of tokens that can be generated in the response"; finishReason MAX_TOKENS:
    # https://cloud.google.com/vertex-ai/docs/reference/rest/v1/GenerateContentResponse#FinishReason
    config = types.GenerateContentConfig(
        max_output_tokens=3, thinking_config=types.ThinkingConfig(thinking_level="MINIMAL")
    )
    response = client.models.generate_content(model=MODEL, contents=PASSAGE, config=config)
    assert response.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    usage = response.usage_metadata
    assert (usage.thoughts_token_count, usage.candidates_token_count) == (None, 3)


def test_thoughts_may_leave_no_answer(client: genai.Client) -> None:
    # Thoughts count towards the limit, and a response then has no text:
    # https://github.com/googleapis/python-genai/issues/811
    config = types.GenerateContentConfig(max_output_tokens=64)
    response = client.models.generate_content(model=MODEL, contents=PASSAGE, config=config)
    assert response.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert not response.text
    assert response.usage_metadata.candidates_token_count is None


@pytest.mark.parametrize("model", ["gemini-3.8-flash", "gemini-3.1-pro-preview"])
def test_a_thinking_level_that_a_model_lacks_is_refused(client: genai.Client, model: str) -> None:
    # The words: https://github.com/jenslys/opencode-gemini-auth/issues/14
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(thinking_level="MINIMAL")
    )
    with pytest.raises(
        errors.ClientError, match="thinking_level MINIMAL is not supported by this model"
    ):
        client.models.generate_content(model=model, contents=PASSAGE, config=config)


def test_what_sampling_a_model_ignores_changes_nothing(client: genai.Client) -> None:
    # https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/gemini/3-5-flash-lite
    texts = {
        client.models.generate_content(
            model="gemini-3.8-flash",
            contents=PASSAGE,
            config=types.GenerateContentConfig(temperature=temperature, seed=5),
        ).text
        for temperature in (0.0, 1.0, 2.0)
    }
    assert len(texts) == 1
    with pytest.raises(errors.ClientError, match="presencePenalty is not supported"):
        client.models.generate_content(
            model="gemini-3.8-flash",
            contents=PASSAGE,
            config=types.GenerateContentConfig(presence_penalty=0.5),
        )


def test_a_stop_sequence_is_not_part_of_the_answer(client: genai.Client) -> None:
    # "responses up to, but not including, the stop sequence"
    whole = client.models.generate_content(
        model=MODEL, contents=PASSAGE, config=types.GenerateContentConfig(temperature=0)
    ).text
    stop = whole[8:12]
    response = client.models.generate_content(
        model=MODEL,
        contents=PASSAGE,
        config=types.GenerateContentConfig(temperature=0, stop_sequences=[stop]),
    )
    assert response.text == whole[: whole.index(stop)]
    assert response.candidates[0].finish_reason == types.FinishReason.STOP


def test_candidate_count(client: genai.Client) -> None:
    config = types.GenerateContentConfig(candidate_count=3, seed=4)
    response = client.models.generate_content(model=MODEL, contents=PASSAGE, config=config)
    assert [candidate.index or 0 for candidate in response.candidates] == [0, 1, 2]


def test_the_system_instruction_counts_and_is_followed(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        temperature=0,
        system_instruction="Choose one: museum, airport, bakery.",
    )
    response = client.models.generate_content(model=MODEL, contents=PASSAGE, config=config)
    plain = client.models.generate_content(model=MODEL, contents=PASSAGE)
    assert response.text == "museum"
    assert response.usage_metadata.prompt_token_count > plain.usage_metadata.prompt_token_count


def test_chat_keeps_its_turns(client: genai.Client) -> None:
    chat = client.chats.create(model=MODEL)
    first = chat.send_message("The lighthouse was built in 1862.")
    second = chat.send_message("When was it built?")
    assert second.usage_metadata.prompt_token_count > first.usage_metadata.prompt_token_count
    assert [content.role for content in chat.get_history()] == ["user", "model", "user", "model"]


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        # Ranges of "generationConfig": temperature 0.0-2.0, topP 0.0-1.0, candidateCount 1-8,
        # maxOutputTokens from 1, penalties from -2.0 to less than 2.0
        ("temperature", 2.5, 2.0),
        ("top_p", 1.5, 1.0),
        ("candidate_count", 9, 8),
        ("max_output_tokens", 0, 1),
        ("presence_penalty", 2.0, 1.9),
        ("frequency_penalty", -2.1, -2.0),
    ],
)
def test_a_value_out_of_range_is_refused(
    client: genai.Client, field: str, value: float, allowed: float
) -> None:
    def ask(setting: Any) -> Any:
        config = types.GenerateContentConfig(**{field: setting})
        return client.models.generate_content(model=MODEL, contents="Hello there", config=config)

    assert ask(allowed).candidates
    with pytest.raises(errors.ClientError, match="supported range") as caught:
        ask(value)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


def test_at_most_five_stop_sequences(client: genai.Client) -> None:
    # "Limited to 5 items in the list"
    config = types.GenerateContentConfig(stop_sequences=list("abcdef"))
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model=MODEL, contents="Hello", config=config)
    assert caught.value.code == 400


def test_logprobs_are_refused_by_name(client: genai.Client) -> None:
    config = types.GenerateContentConfig(response_logprobs=True, logprobs=3)
    with pytest.raises(errors.ServerError, match="responseLogprobs") as caught:
        client.models.generate_content(model=MODEL, contents="Hello", config=config)
    assert (caught.value.code, caught.value.status) == (501, "UNIMPLEMENTED")


@pytest.mark.parametrize(
    "tool",
    [
        types.Tool(code_execution=types.ToolCodeExecution()),
        types.Tool(url_context=types.UrlContext()),
    ],
)
def test_tools_that_are_not_emulated_are_refused_by_name(client: genai.Client, tool: Any) -> None:
    config = types.GenerateContentConfig(tools=[tool])
    with pytest.raises(errors.ServerError, match="does not serve the tool"):
        client.models.generate_content(model=MODEL, contents="Hello", config=config)


def test_an_unknown_model_is_not_found(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError, match="was not found") as caught:
        client.models.generate_content(model="gemini-0.1-imaginary", contents="Hello")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


def test_a_role_other_than_user_or_model_is_refused(client: genai.Client) -> None:
    # The message that Google shows as its example of a failed row:
    # https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-from-cloud-storage
    content = types.Content(role="tester", parts=[types.Part(text="Explain how AI works")])
    with pytest.raises(errors.ClientError, match="Please use a valid role: user, model"):
        client.models.generate_content(model=MODEL, contents=[content])


@pytest.mark.parametrize("method", ["generate_content", "count_tokens"])
@pytest.mark.parametrize(
    ("model", "refuses"),
    [
        ("gemini-3.8-flash", True),
        ("gemini-4-argon", True),
        ("gemini-3.5-flash-lite", True),
        ("gemini-3.5-flash", False),
    ],
)
def test_new_models_refuse_contents_that_end_with_their_own_turn(
    client: genai.Client, model: str, refuses: bool, method: str
) -> None:
    contents: list[Any] = [
        types.UserContent(parts=[types.Part(text="Hello")]),
        types.ModelContent(parts=[types.Part(text="Hi")]),
    ]
    ask = getattr(client.models, method)
    assert ask(model=model, contents=contents[:1])
    if not refuses:
        assert ask(model=model, contents=contents)
        return
    with pytest.raises(errors.ClientError, match="ending with a model turn") as refused:
        ask(model=model, contents=contents)
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")


def test_empty_text_is_refused(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError, match="empty text parameter"):
        client.models.generate_content(model=MODEL, contents="")


def test_a_prompt_beyond_the_context_window_is_refused(client: genai.Client) -> None:
    # 1,048,576 input tokens:
    # https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini/2-5-flash
    with pytest.raises(errors.ClientError, match=r"exceeds the maximum number of tokens.*1048576"):
        client.models.generate_content(model=MODEL, contents="a " * 1_100_000)


def test_thinking_is_counted_apart(client: genai.Client) -> None:
    # "thoughtsTokenCount"; "maxOutputTokens" counts thoughts too:
    # https://cloud.google.com/vertex-ai/generative-ai/docs/thinking
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(thinking_budget=64, include_thoughts=True)
    )
    response = client.models.generate_content(model=MODEL, contents=PASSAGE, config=config)
    usage = response.usage_metadata
    assert 0 < usage.thoughts_token_count <= 64
    assert usage.total_token_count == (
        usage.prompt_token_count + usage.candidates_token_count + usage.thoughts_token_count
    )
    assert [bool(part.thought) for part in response.candidates[0].content.parts] == [True, False]
    assert response.text


@pytest.mark.parametrize(
    ("model", "budget"),
    # Ranges: 2.5 Flash 1-24,576, 2.5 Pro 128-32,768 and not off, 2.5 Flash-Lite 512-24,576
    [
        ("gemini-3.5-flash", 24_577),
        ("gemini-3.1-pro-preview", 127),
        ("gemini-3.1-pro-preview", 0),
        ("gemini-3.1-flash-lite", 511),
    ],
)
def test_a_thinking_budget_out_of_range_is_refused(
    client: genai.Client, model: str, budget: int
) -> None:
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(thinking_budget=budget)
    )
    with pytest.raises(errors.ClientError, match="thinkingBudget"):
        client.models.generate_content(model=model, contents="Hello", config=config)


def test_a_thinking_budget_of_zero_turns_thinking_off(client: genai.Client) -> None:
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(thinking_budget=0))
    usage = client.models.generate_content(
        model=MODEL, contents="Hello there", config=config
    ).usage_metadata
    assert usage.thoughts_token_count is None


def test_grounding_with_google_search(client: genai.Client) -> None:
    # https://cloud.google.com/vertex-ai/generative-ai/docs/grounding/grounding-with-google-search
    config = types.GenerateContentConfig(tools=[types.Tool(google_search=types.GoogleSearch())])
    response = client.models.generate_content(model=MODEL, contents=PASSAGE, config=config)
    grounding = response.candidates[0].grounding_metadata
    assert grounding.web_search_queries
    assert grounding.search_entry_point.rendered_content
    assert "emulated" in grounding.grounding_chunks[0].web.uri
    for support in grounding.grounding_supports:
        start, end = support.segment.start_index or 0, support.segment.end_index
        assert response.text.encode()[start:end].decode() == support.segment.text
        assert all(i < len(grounding.grounding_chunks) for i in support.grounding_chunk_indices)


async def test_the_async_client_asks_at_once(new_client: genai.Client) -> None:
    answers = await asyncio.gather(
        *(
            new_client.aio.models.generate_content(model=MODEL, contents=f"Lighthouse number {i}")
            for i in range(8)
        )
    )
    assert all(f"number {i}" in answer.text for i, answer in enumerate(answers))


def test_an_endpoint_that_does_not_exist_is_not_found(client: genai.Client, parent: str) -> None:
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model=f"{parent}/endpoints/123", contents="Hello")
    assert caught.value.code == 404


def test_a_tuned_model_answers_at_its_endpoint(bucket: storage.Bucket) -> None:
    # A tuned model is called by its endpoint:
    # https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-use-supervised-tuning
    answers = {"copper": "metal", "iron": "metal", "oak": "wood", "pine": "wood"}
    lines = [
        {
            "contents": [
                {"role": "user", "parts": [{"text": f"What is {word} number {i}?"}]},
                {"role": "model", "parts": [{"text": answer}]},
            ]
        }
        for i in range(12)
        for word, answer in answers.items()
    ]
    bucket.blob("tuning/content.jsonl").upload_from_string("\n".join(map(json.dumps, lines)))
    client = genai.Client(location="us-central1")
    job = client.tunings.tune(
        base_model=MODEL,
        training_dataset=types.TuningDataset(gcs_uri=f"gs://{bucket.name}/tuning/content.jsonl"),
    )
    deadline = time.monotonic() + 30
    while job.state.name not in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        job = client.tunings.get(name=job.name)
    endpoint = job.tuned_model.endpoint
    config = types.GenerateContentConfig(temperature=0)
    question = "What is iron number 99?"
    response = client.models.generate_content(model=endpoint, contents=question, config=config)
    assert response.text == "metal"
    chunks = client.models.generate_content_stream(model=endpoint, contents=question, config=config)
    assert "".join(chunk.text for chunk in chunks) == "metal"
    counted = client.models.count_tokens(model=endpoint, contents=question)
    assert counted.total_tokens == response.usage_metadata.prompt_token_count


def test_requests_and_tokens_are_in_the_statistics(
    client: genai.Client, emulator: RunningEmulator
) -> None:
    before = emulator.stats()
    usage = client.models.generate_content(model=MODEL, contents=PASSAGE).usage_metadata
    after = emulator.stats()

    def count(stats: Any, *keys: Any) -> Any:
        for key in keys:
            stats = stats.get(key, {})
        return stats or 0

    calls = ("models", MODEL, "generateContent")
    assert count(after, *calls) - count(before, *calls) == 1
    for kind, billed in (
        ("input", usage.prompt_token_count),
        ("output", usage.candidates_token_count + usage.thoughts_token_count),
    ):
        assert count(after, "tokens", MODEL, kind) - count(before, "tokens", MODEL, kind) == billed
