"""Cached content.

https://cloud.google.com/vertex-ai/generative-ai/docs/context-cache/context-cache-overview
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from vertex_emulator.testing import RunningEmulator

from .conftest import MODEL

LONG = "The manual says that the valve must be closed before the pump is started. " * 300


def create(client: Any, model: Any = MODEL, text: Any = LONG, **config: Any) -> Any:
    return client.caches.create(
        model=model, config=types.CreateCachedContentConfig(contents=[text], **config)
    )


def test_cached_tokens_are_counted_in_the_prompt_and_apart(client: genai.Client) -> None:
    cache = create(client, system_instruction="You explain manuals.", display_name="manual")
    config = types.GenerateContentConfig(cached_content=cache.name)
    response = client.models.generate_content(
        model=MODEL, contents="When is the pump started?", config=config
    )
    usage = response.usage_metadata
    # "promptTokenCount: when cachedContent is set, this is still the total effective prompt size"
    # https://cloud.google.com/vertex-ai/docs/reference/rest/v1/GenerateContentResponse#UsageMetadata
    assert usage.cached_content_token_count == cache.usage_metadata.total_token_count
    question = client.models.count_tokens(model=MODEL, contents="When is the pump started?")
    assert usage.prompt_token_count == usage.cached_content_token_count + question.total_tokens
    assert usage.cache_tokens_details[0].token_count == usage.cached_content_token_count


def test_cached_tokens_are_billed_apart(client: genai.Client, emulator: RunningEmulator) -> None:
    cache = create(client)
    before = emulator.stats()["tokens"][MODEL]
    response = client.models.generate_content(
        model=MODEL,
        contents="When?",
        config=types.GenerateContentConfig(cached_content=cache.name),
    )
    after = emulator.stats()["tokens"][MODEL]
    usage = response.usage_metadata
    assert after["cached"] - before.get("cached", 0) == usage.cached_content_token_count
    assert (
        after["input"] - before["input"]
        == usage.prompt_token_count - usage.cached_content_token_count
    )


@pytest.mark.parametrize(
    ("model", "least"),
    # https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/context-cache
    [("gemini-3.5-flash", 4096), ("gemini-4-argon", 6144)],
)
def test_content_must_have_a_least_number_of_tokens(
    client: genai.Client, model: str, least: int
) -> None:
    words = " ".join(["pump"] * (least - 1))
    assert client.models.count_tokens(model=model, contents=words).total_tokens == least - 1
    with pytest.raises(
        errors.ClientError, match=f"minimum token count to start caching is {least}"
    ) as caught:
        create(client, model=model, text=words)
    assert caught.value.code == 400
    assert create(client, model=model, text=f"{words} and valve").name


def test_it_expires_after_60_minutes_by_default(client: genai.Client) -> None:
    cache = create(client)
    assert cache.expire_time - cache.create_time == timedelta(minutes=60)


def test_ttl_and_expire_time_can_be_set_and_updated(client: genai.Client) -> None:
    cache = create(client, ttl="7200s")
    assert cache.expire_time - cache.create_time == timedelta(hours=2)
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    changed = client.caches.update(
        name=cache.name, config=types.UpdateCachedContentConfig(expire_time=later)
    )
    assert changed.expire_time == later
    assert changed.update_time > cache.update_time
    assert client.caches.get(name=cache.name).expire_time == later


def test_it_must_live_a_minute(client: genai.Client) -> None:
    # "Minimum time before a cache expires after it's created: 1 minute"
    with pytest.raises(errors.ClientError):
        create(client, ttl="10s")


def test_get_and_list_show_no_content(client: genai.Client) -> None:
    cache = create(client, display_name="listed")
    assert client.caches.get(name=cache.name).display_name == "listed"
    pager = client.caches.list(config={"page_size": 1})
    assert len(pager.page) == 1
    assert cache.name in [item.name for item in pager]


def test_deleted_content_is_not_found(client: genai.Client) -> None:
    cache = create(client)
    client.caches.delete(name=cache.name)
    with pytest.raises(errors.ClientError) as caught:
        client.caches.get(name=cache.name)
    assert caught.value.code == 404
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(
            model=MODEL,
            contents="When?",
            config=types.GenerateContentConfig(cached_content=cache.name),
        )
    assert caught.value.code == 404


def test_expired_content_is_not_found(
    client: genai.Client, set_faults: Callable[..., dict[str, Any]]
) -> None:
    cache = create(client, ttl="3600s")
    set_faults({"kind": "clock", "offset_seconds": 3601})
    with pytest.raises(errors.ClientError) as caught:
        client.caches.get(name=cache.name)
    assert caught.value.code == 404
    assert cache.name not in [item.name for item in client.caches.list()]


def test_the_request_may_not_repeat_what_the_cache_holds(client: genai.Client) -> None:
    cache = create(client)
    config = types.GenerateContentConfig(
        cached_content=cache.name, system_instruction="You explain manuals."
    )
    with pytest.raises(errors.ClientError, match="should not be set in the request"):
        client.models.generate_content(model=MODEL, contents="When?", config=config)


def test_a_cache_serves_its_own_model_only(client: genai.Client) -> None:
    # "has to be the same"
    cache = create(client)
    config = types.GenerateContentConfig(cached_content=cache.name)
    with pytest.raises(errors.ClientError, match="has to be the same"):
        client.models.generate_content(model="gemini-3.8-flash", contents="When?", config=config)


def test_functions_of_the_cache_are_called(client: genai.Client) -> None:
    tool = types.Tool(function_declarations=[{"name": "close_valve", "description": "Close it"}])
    cache = create(client, tools=[tool])
    response = client.models.generate_content(
        model=MODEL,
        contents="Please close the valve.",
        config=types.GenerateContentConfig(cached_content=cache.name),
    )
    assert response.function_calls[0].name == "close_valve"


async def test_the_async_client_caches(new_client: genai.Client) -> None:
    cache = await new_client.aio.caches.create(
        model=MODEL, config=types.CreateCachedContentConfig(contents=[LONG])
    )
    assert (await new_client.aio.caches.get(name=cache.name)).name == cache.name
