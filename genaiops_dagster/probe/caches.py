"""What is assumed of explicit context caches: the least size, finding, extending, reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genaiops_dagster.budget.pricing import token_cost
from genaiops_dagster.google_cloud.patience import only_once
from genaiops_dagster.probe.assumption import Assumption
from genaiops_dagster.probe.bench import PREFIX, Bench, refused
from genaiops_dagster.probe.outcome import expect
from genaiops_dagster.prompts.tokens import api_counter, user_message

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.base_models import BaseModel

_DOCS = "https://cloud.google.com/vertex-ai/generative-ai/docs/context-cache"
_SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. "
_TTL = "120s"
_MOST_SENTENCES = 2_000


def _model(bench: Bench) -> BaseModel:
    return bench.cheapest(lambda one: one.cache_tokens)


def _create(bench: Bench, model: str, text: str, name: str) -> Any:
    from google.genai import types

    client = bench.client(model)

    def delete() -> None:
        for found in list(client.caches.list()):
            if found.display_name == name:
                client.caches.delete(name=found.name)

    bench.cleaning(f"cached content {name}", delete)
    return client.caches.create(
        model=bench.models.served_address(bench.models.model_address(model)),
        config=types.CreateCachedContentConfig(
            contents=[user_message(text)], ttl=_TTL, display_name=name,
            http_options=only_once(60),
        ),
    )  # fmt: skip


def _too_small(bench: Bench) -> str:
    with refused(400, "minimum") as seen:
        _create(bench, _model(bench).name, _SENTENCE, f"{PREFIX}-{bench.run}-small")
    return seen[0]


def _gone(bench: Bench) -> str:
    from google.genai import types

    clients = bench.models.serving(bench.models.model_address(_model(bench).name))
    name = f"{clients.parent}/cachedContents/1234567890123456789"
    config = types.UpdateCachedContentConfig(ttl=_TTL)
    with refused(404) as seen:
        clients.genai.caches.update(name=name, config=config)
    return seen[0]


def _cached(bench: Bench) -> str:
    """Cache as much as is needed at least, find it by its name, extend it, and ask with it."""
    from google.genai import types

    model = _model(bench)
    count = api_counter(bench.models, model.name)
    sentences = min(
        _MOST_SENTENCES, (model.cache_tokens or 0) * 2 // count([user_message(_SENTENCE)])
    )
    text, name = _SENTENCE * sentences, f"{PREFIX}-{bench.run}"
    tokens = count([user_message(text)])
    bench.book(token_cost(model.name, tokens, 0, prices=bench.prices))
    content, client = _create(bench, model.name, text, name), bench.client(model.name)
    named = [one.name for one in client.caches.list() if one.display_name == name]
    expect(named == [content.name], f"{len(named)} of its display name are listed")
    config = types.UpdateCachedContentConfig(ttl="300s")
    extended = client.caches.update(name=content.name, config=config)
    expect(
        content.expire_time and extended.expire_time > content.expire_time,
        "extending it did not move its end",
    )
    response = bench.ask(model.name, "What does the fox do?", cached_content=content.name)
    usage = response.usage_metadata
    read = (usage and usage.cached_content_token_count) or 0
    expect(read > 0, "the answer's usage has no cached tokens")
    expect(
        ((usage and usage.prompt_token_count) or 0) >= read,
        "the prompt's tokens lack the cached ones",
    )
    client.caches.delete(name=content.name)
    expect(
        all(one.name != content.name for one in client.caches.list()), "it is listed after deletion"
    )
    return f"{read} tokens were read from it; found by its name, extended and deleted"


ASSUMPTIONS = (
    Assumption(
        "caches.minimum",
        "Caches",
        "Content below the model's least number of tokens is refused with 400, which says so",
        f"{_DOCS}/context-cache-overview",
        "Small starts of prompts are cached at a loss, or the refusal stops a day of content",
        _too_small,
    ),
    Assumption(
        "caches.gone-404",
        "Caches",
        "Extending cached content that does not exist is answered with 404",
        f"{_DOCS}/context-cache-update",
        "A noted cache that has expired stops a day of content, instead of being made again",
        _gone,
    ),
    Assumption(
        "caches.life",
        "Caches",
        "Cached content is found by its display name, extended, read with its tokens in the usage",
        f"{_DOCS}/context-cache-use",
        "A cache whose answer was lost is paid twice; savings are reported that there are not",
        _cached,
    ),
)  # fmt: skip
