"""Context caching: the start that many prompts share is kept by the service and paid in full once.

The start is the system instruction, leading turns, and leading files of the first turn that
differs; a text is never cut in two, so that the model reads what it was evaluated with. Cached
content is found again by the fingerprint of what it holds, has its time extended while it is in
use, and is deleted at the end unless the use case keeps it for the next run.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/context-cache/context-cache-overview
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genaiops_dagster.budget.ledger import Usage
from genaiops_dagster.budget.payment import Payment
from genaiops_dagster.budget.pricing import PriceList, cache_storage_cost, is_tuned, token_cost
from genaiops_dagster.evaluation.asking.inference import (
    CachedPrefix,
    Contents,
    Model,
    content_config,
    contents_key,
)
from genaiops_dagster.google_cloud.patience import only_once
from genaiops_dagster.prompts.tokens import CountTokens, user_message
from genaiops_dagster.records.claims import Claim, NotCreatedError, create_once
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import Record, find_object, to_json
from genaiops_dagster.records.serving import CacheUse
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    from google import genai
    from google.genai import types

    from genaiops_dagster.google_cloud.object_store import ObjectStore

LEAST_TOKENS = 2_048
"""Less is not cached for any model; the service says so where a model needs more."""

_CREATION_SECONDS = 120.0
"""How long the claim to cache something stands; the service reads up to a million tokens."""


class Entry(Record):
    """Where cached content is noted: `<use case>/context_caches/<fingerprint>.json`."""

    name: str
    tokens: int


@dataclass(frozen=True)
class SharedStart:
    """The shared start of all prompts: turns, and parts of the turn after them."""

    contents: list[dict[str, Any]]
    turns: int
    parts: int


@dataclass
class Cached:
    """Cached content in use.

    Attributes:
        prefix: What is named in place of the start; None if nothing is cached.
        use: What was done with it; complete at the end of the block.
    """

    prefix: CachedPrefix | None
    use: CacheUse


def shared_start(prompts: Sequence[Contents]) -> SharedStart:
    """Leading turns and files that all prompts have in common; each has something left."""
    turns = 0
    while _all_same([p[turns] if len(p) > turns + 1 else None for p in prompts]):
        turns += 1
    lists = [list(prompt[turns].get("parts", [])) for prompt in prompts]
    parts = 0
    while _all_same([_file(own[parts]) if len(own) > parts + 1 else None for own in lists]):
        parts += 1
    contents = [dict(turn) for turn in prompts[0][:turns]]
    if parts:
        contents.append({**prompts[0][turns], "parts": lists[0][:parts]})
    return SharedStart(contents, turns, parts)


def _all_same(values: Sequence[Any]) -> bool:
    return values[0] is not None and all(value == values[0] for value in values)


def _file(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return part if "fileData" in part or "inlineData" in part else None


@dataclass(frozen=True)
class CacheBook:
    """Cached contents of one model, by what they hold.

    Attributes:
        use_case: Whose prices and caching apply.
        store: Where they are noted.
        client: Gen AI client.
        model: Who is asked.
        system_instruction: Part of every request.
        clock: Tells how long content is kept.
    """

    use_case: UseCase
    store: ObjectStore
    client: genai.Client
    model: Model
    system_instruction: str
    clock: Clock

    @property
    def prices(self) -> PriceList:
        """The present prices of requests and storage."""
        return PriceList(self.clock.now(), self.use_case.budget.prices)

    @property
    def ttl(self) -> dt.timedelta:
        """How long the service keeps content that is not used."""
        return dt.timedelta(minutes=self.use_case.serving.caching.ttl_minutes)

    def held(self, start: SharedStart) -> str:
        """Fingerprint of what the cached content of `start` holds."""
        return fingerprint(
            self.model.address,
            self.system_instruction,
            self.model.generation.tools,
            contents_key(start.contents),
        )

    def entry_name(self, start: SharedStart) -> str:
        """Object name of the note of `start`."""
        return Layout(self.use_case.name).context_cache(self.held(start))

    def open(
        self, start: SharedStart, tokens: int, log: logging.Logger
    ) -> tuple[types.CachedContent, str]:
        """The cached content of `start`, extended if it was there, and what was done.

        Raises:
            google.genai.errors.APIError: the service does not cache it.
            NotCreatedError: it is not known whether it is cached.
        """
        noted = find_object(self.store, self.entry_name(start), Entry)
        extended = self._extended(noted.name) if noted else None
        if extended is not None:
            return extended, "reused and extended"
        held = self.held(start)
        display_name = f"{self.use_case.name}-{held[:40]}"

        def find() -> types.CachedContent | None:
            listed = self.client.caches.list()
            return next((one for one in listed if one.display_name == display_name), None)

        claim = Claim(
            self.store,
            Layout(self.use_case.name).context_cache_claim(held),
            _CREATION_SECONDS,
            self.clock,
        )
        create = functools.partial(self._create, start, display_name)
        content, asked = create_once(claim, find, create, log)
        self.store.write(
            self.entry_name(start), to_json(Entry(name=content.name or "", tokens=tokens))
        )
        if asked:
            return content, "created"
        return self._extended(content.name or "") or content, "reused and extended"

    def _extended(self, name: str) -> types.CachedContent | None:
        """Cached content, kept for another while; None if it is gone."""
        from google.genai.errors import ClientError

        try:
            return self.extend(name)
        except ClientError as error:
            if error.code != 404:
                raise
            return None

    def _create(self, start: SharedStart, display_name: str, seconds: float) -> types.CachedContent:
        """Ask once: asked twice, the service keeps two, and both are paid for."""
        from google.genai import types

        shared = content_config(self.model, self.system_instruction)
        return self.client.caches.create(
            model=self.model.address,
            config=types.CreateCachedContentConfig(
                contents=start.contents or None,
                system_instruction=self.system_instruction or None,
                tools=shared.tools,
                ttl=self._ttl_text,
                display_name=display_name,
                http_options=only_once(seconds),
            ),
        )

    @property
    def _ttl_text(self) -> str:
        return f"{self.ttl.total_seconds():g}s"

    def extend(self, name: str) -> types.CachedContent:
        """Let the service keep cached content for another while."""
        from google.genai import types

        config = types.UpdateCachedContentConfig(ttl=self._ttl_text)
        return self.client.caches.update(name=name, config=config)

    def delete(self, start: SharedStart, name: str) -> None:
        """Give cached content back, so that its storage is no longer paid."""
        from google.genai.errors import ClientError

        try:
            self.client.caches.delete(name=name)
        except ClientError as error:
            if error.code != 404:
                raise
        self.store.delete(self.entry_name(start))

    def price(self, input_tokens: int, cached_tokens: int = 0) -> float | None:
        """US dollars of reading tokens, some of them from cached content."""
        return token_cost(
            self.model.base_model,
            input_tokens,
            0,
            tuned=is_tuned(self.model.address),
            cached_tokens=cached_tokens,
            prices=self.prices,
        )

    def storage(self, tokens: int, time: dt.timedelta) -> float | None:
        """US dollars of keeping tokens for a time."""
        return cache_storage_cost(self.model.base_model, tokens, time, prices=self.prices)


@contextmanager
def use_cache(
    book: CacheBook,
    prompts: Sequence[Contents],
    count: CountTokens,
    payment: Payment,
    log: logging.Logger,
) -> Iterator[Cached]:
    """Cache what `prompts` share as long as the block lasts, if that saves money.

    Args:
        book: The model's cached contents.
        prompts: What will be sent.
        count: Counts tokens.
        payment: Counts what the cached content costs.
        log: Receives what was done.
    """
    caching = book.use_case.serving.caching
    if not caching.enabled or len(prompts) < 2:
        why = "fewer than two prompts" if caching.enabled else "serving.caching is not enabled"
        yield Cached(None, CacheUse(action=f"none: {why}"))
        return
    start = shared_start(prompts)
    tokens = _tokens(book, start, count)
    reason = _not_worth(book, tokens, len(prompts))
    opened = reason or _open(book, start, tokens, log)
    if isinstance(opened, str):
        yield Cached(None, CacheUse(action=f"none: {opened}", prefix_tokens=tokens))
        return
    content, action = opened
    name, began = content.name or "", book.clock.now()
    log.info("Context cache %s %s: %d tokens", name, action, tokens)
    before = payment.total.cached_tokens
    cached = Cached(
        CachedPrefix(name, start.turns, start.parts),
        CacheUse(name=name, action=action, prefix_tokens=tokens),
    )
    if action == "created":
        payment.add(Usage(1, tokens))
    try:
        with _kept_alive(book, name):
            yield cached
    finally:
        if not caching.keep:
            book.delete(start, name)
        stored = book.ttl if caching.keep else book.clock.now() - began
        storage = book.storage(tokens, stored) or 0.0
        payment.add(Usage(fixed_usd=storage))
        read = payment.total.cached_tokens - before
        creation = (book.price(tokens) or 0.0) if action == "created" else 0.0
        saved = (book.price(read) or 0.0) - (book.price(read, read) or 0.0)
        cached.use = cached.use.model_copy(
            update={
                "action": f"{action}, {'kept' if caching.keep else 'deleted'}",
                "cached_tokens": read,
                "cost_usd": creation + storage,
                "saved_usd": saved - creation - storage,
            }
        )


def _tokens(book: CacheBook, start: SharedStart, count: CountTokens) -> int:
    instruction = book.system_instruction
    messages = [*([user_message(instruction)] if instruction else []), *start.contents]
    return count(messages) if messages else 0


def _not_worth(book: CacheBook, tokens: int, requests: int) -> str | None:
    """Why the start is not cached; None if that saves money."""
    if tokens < LEAST_TOKENS:
        return f"the shared start has {tokens:,} tokens, {LEAST_TOKENS:,} are needed"
    full, read = book.price(tokens), book.price(tokens, tokens)
    storage = book.storage(tokens, book.ttl)
    if full is None or read is None or storage is None:
        return f"no price is known for {book.model.base_model}"
    saved, cost = requests * (full - read), full + storage
    if saved <= cost:
        return f"it would save {saved:.6f} USD and cost {cost:.6f} USD"
    return None


def _open(
    book: CacheBook, start: SharedStart, tokens: int, log: logging.Logger
) -> tuple[types.CachedContent, str] | str:
    """The cached content and what was done, or why the service does not cache it."""
    from google.genai.errors import ClientError

    try:
        return book.open(start, tokens, log)
    except ClientError as error:
        return f"the service refused: {error.message}"
    except NotCreatedError as error:
        return str(error)


@contextmanager
def _kept_alive(book: CacheBook, name: str) -> Iterator[None]:
    """Extend cached content whenever half of its time is over, until the block ends."""
    done = threading.Event()

    def extend() -> None:
        while not done.wait(book.ttl.total_seconds() / 2):
            book.extend(name)

    thread = threading.Thread(target=extend, daemon=True, name="context-cache")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
