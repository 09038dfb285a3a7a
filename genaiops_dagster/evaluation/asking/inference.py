"""Asking a model: requests and their outcomes."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from genaiops_dagster.budget.pricing import is_tuned
from genaiops_dagster.evaluation.asking.concurrency import PaidService, RequestFailedError
from genaiops_dagster.google_cloud.thinking import (
    Thinking,
    ignores_sampling,
    output_limit,
    thinking_of,
)
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.use_case import GenerationConfig
from genaiops_dagster.use_case.guardrails import Filters

if TYPE_CHECKING:
    from google import genai
    from google.genai import types

    from genaiops_dagster.google_cloud.vertex_ai import VertexAI

Contents = Sequence[Mapping[str, Any]]
"""What a model is asked, as `contents` of the Gemini API: turns with their parts."""

# https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse
_BLOCKED = {
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MODEL_ARMOR",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
}


def content_config(model: Model, system_instruction: str) -> types.GenerateContentConfig:
    """The request's config: the same for evaluation and serving.

    Sampling parameters that the model would ignore are not sent, and the output limit leaves room
    for thoughts.

    Args:
        model: Who is asked.
        system_instruction: Part of the request; left out if empty.
    """
    from google.genai import types

    generation, thinking = model.generation, model.thinking
    armor = model.filters.model_armor if model.filters else None
    safety = model.filters.safety if model.filters else {}
    sampled = not ignores_sampling(model.base_model)
    return types.GenerateContentConfig(
        system_instruction=system_instruction or None,
        temperature=generation.temperature if sampled else None,
        top_p=generation.top_p if sampled else None,
        top_k=generation.top_k if sampled else None,
        max_output_tokens=model.output_limit,
        seed=generation.seed,
        stop_sequences=generation.stop_sequences or None,
        thinking_config=(
            None
            if thinking.level is None and thinking.budget is None
            else types.ThinkingConfig(
                thinking_budget=thinking.budget,
                thinking_level=thinking.level and types.ThinkingLevel(thinking.level),
            )
        ),
        tools=(
            [types.Tool(google_search=types.GoogleSearch())]
            if "google_search" in generation.tools
            else None
        ),
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory(f"HARM_CATEGORY_{category.upper()}"),
                threshold=types.HarmBlockThreshold(threshold.upper()),
            )
            for category, threshold in safety.items()
        ]
        or None,
        model_armor_config=armor
        and types.ModelArmorConfig(
            prompt_template_name=armor.prompt_template,
            response_template_name=armor.response_template,
        ),
    )


def request_body(contents: Contents, model: Model, system_instruction: str) -> dict[str, Any]:
    """The same request as a `GenerateContentRequest` in JSON, for jobs that read it from files."""
    from google.genai import types

    config = content_config(model, system_instruction)
    shared = types.GenerationConfig.model_fields.keys() & config.model_fields_set
    body: dict[str, Any] = {
        "contents": list(contents),
        "generationConfig": _as_json(
            types.GenerationConfig(**{field: getattr(config, field) for field in shared})
        ),
    }
    if system_instruction:
        body["systemInstruction"] = {"parts": [{"text": system_instruction}]}
    if config.tools:
        body["tools"] = [_as_json(tool) for tool in config.tools if isinstance(tool, types.Tool)]
    if config.safety_settings:
        body["safetySettings"] = [_as_json(setting) for setting in config.safety_settings]
    if config.model_armor_config:
        body["modelArmorConfig"] = _as_json(config.model_armor_config)
    return body


def _as_json(message: BaseModel) -> dict[str, Any]:
    """A part of a request as the REST API takes it."""
    return message.model_dump(mode="json", by_alias=True, exclude_none=True)


def configuration_digest(
    address: str,
    system_instruction: str,
    generation: GenerationConfig,
    filters: Filters | None = None,
) -> str:
    """sha256 over all that decides an answer but the message; `address` as in `Model`."""
    return fingerprint(address, system_instruction, generation, *([filters] if filters else []))


def contents_key(contents: Contents) -> str:
    """Key of the answer to `contents`, among those of one configuration.

    However the fields are spelled (`fileData`, `file_data`), the same contents have the same key.
    """
    from google.genai import types

    turns = [types.Content.model_validate(turn) for turn in contents]
    return fingerprint([turn.model_dump(mode="json", exclude_none=True) for turn in turns])


def contents_text(contents: Contents) -> str:
    """All texts of `contents`, which is what a judge is shown."""
    parts = [part for turn in contents for part in turn.get("parts", [])]
    return "\n".join(part["text"] for part in parts if "text" in part)


def thinking_for(base_model: str, generation: GenerationConfig, *, tuned: bool) -> Thinking:
    """How much a model thinks that generates so."""
    return thinking_of(
        base_model, generation.thinking_level, generation.thinking_budget, tuned=tuned
    )


@dataclass(frozen=True)
class Model:
    """A model that answers.

    Attributes:
        address: Resource name of the model or endpoint, under which answers are kept.
        base_model: The model itself, or what it was tuned from: its prices and quota apply.
        generation: How it generates.
        filters: What the service is to block.
        registered: Name and version of a tuned model in the registry, by which batch jobs ask it;
            None for a base model, and for a checkpoint, which has none.
    """

    address: str
    base_model: str
    generation: GenerationConfig
    filters: Filters | None = None
    registered: str | None = None

    @property
    def in_batch(self) -> str | None:
        """The resource name by which a batch job asks it; None if it cannot be asked so.

        Source: https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/capabilities/\
batch-inference (a tuned model is named as in the registry)
        """
        return self.registered if self.tuned else self.address

    @property
    def tuned(self) -> bool:
        """Whether it was tuned from `base_model`."""
        return is_tuned(self.address)

    @property
    def thinking(self) -> Thinking:
        """How much it thinks before it answers."""
        return thinking_for(self.base_model, self.generation, tuned=self.tuned)

    @property
    def output_limit(self) -> int:
        """Tokens out that a request to it allows: the visible answer, and room for thoughts."""
        return output_limit(self.base_model, self.generation.max_output_tokens, self.thinking)

    def configuration(self, system_instruction: str) -> str:
        """sha256 over all that decides an answer but the message."""
        return configuration_digest(self.address, system_instruction, self.generation, self.filters)

    def as_served(self, models: VertexAI) -> Model:
        """The model under the resource name by which it is asked."""
        return dataclasses.replace(self, address=models.served_address(self.address))


@dataclass(frozen=True)
class CachedPrefix:
    """The start of many requests, which the service keeps: it is named instead of sent.

    Attributes:
        name: Resource name of the cached content.
        turns: Leading turns of each request that it stands for.
        parts: Leading parts of the turn after these that it stands for.
    """

    name: str
    turns: int = 0
    parts: int = 0

    def rest(self, contents: Contents) -> list[Mapping[str, Any]]:
        """The part of `contents` that still has to be sent."""
        first, *others = contents[self.turns :]
        return [{**first, "parts": list(first["parts"])[self.parts :]}, *others]


class Responder:
    """A model with its configuration, asked row by row within one event loop.

    Args:
        client: Client of this event loop, which sends each request once.
        model: Generates the answers.
        system_instruction: Part of every request.
        service: Quota, patience and cache.
        prefix: The part of every request that the service has already.
    """

    def __init__(
        self,
        client: genai.Client,
        model: Model,
        system_instruction: str,
        service: PaidService[Answer],
        prefix: CachedPrefix | None = None,
    ) -> None:
        self._client = client
        self._address = model.address
        self._config = content_config(model, system_instruction)
        self._longest = model.generation.max_output_tokens
        self._service = service
        self._prefix = prefix
        if prefix:  # the cached content has instruction and tools; a request must not repeat them
            update = {"cached_content": prefix.name, "system_instruction": None, "tools": None}
            self._config = self._config.model_copy(update=update)

    async def respond(self, contents: Contents) -> Answer:
        """The answer to `contents`; `failed` with the reason if there is none.

        Raises:
            ServiceUnusableError: there is no such model, or no permission to call it.
            CacheMissError: the run is strict and the answer is not cached.
        """
        try:
            return await self._service.get(
                contents_key(contents), functools.partial(self._ask, contents)
            )
        except RequestFailedError as error:
            return Answer(state="failed", reason=str(error))

    async def _ask(self, contents: Contents, timeout_seconds: float) -> Answer:
        """Send one request, once."""
        from google.genai import types

        timeout = types.HttpOptions(timeout=int(timeout_seconds * 1000))
        loop = asyncio.get_running_loop()
        started = loop.time()
        response = await self._client.aio.models.generate_content(
            model=self._address,
            contents=self._prefix.rest(contents) if self._prefix else list(contents),
            config=self._config.model_copy(update={"http_options": timeout}),
        )
        return read_answer(response, loop.time() - started, self._longest)


def read_answer(
    response: types.GenerateContentResponse, latency_seconds: float, longest: int | None = None
) -> Answer:
    """How a response ended: answered, blocked, truncated, or failed because it says nothing.

    Args:
        response: As the service gave it.
        latency_seconds: How long it took.
        longest: Tokens that the visible answer may have; the request's own limit leaves room for
            thoughts, too, so that an answer may be longer.
    """
    candidate = response.candidates[0] if response.candidates else None
    feedback = response.prompt_feedback
    ratings = (
        candidate.safety_ratings if candidate else feedback and feedback.safety_ratings
    ) or []
    parts = (candidate.content.parts if candidate and candidate.content else None) or []
    texts = [part.text for part in parts if part.text and not part.thought]
    calls = [
        {"name": part.function_call.name, "arguments": dict(part.function_call.args or {})}
        for part in parts
        if part.function_call
    ]
    finish = candidate.finish_reason.name if candidate and candidate.finish_reason else None
    blocked = feedback.block_reason.name if feedback and feedback.block_reason else None
    refused_for = sorted(r.category.name for r in ratings if r.blocked and r.category)
    answer = Answer(
        state="answered",
        text="".join(texts) if texts else None,
        tool_calls=calls,
        finish_reason=finish or blocked,
        safety={
            rating.category.name: rating.probability.name
            for rating in ratings
            if rating.category and rating.probability
        },
        input_tokens=_tokens(response, "prompt_token_count", "tool_use_prompt_token_count"),
        output_tokens=_tokens(response, "candidates_token_count", "thoughts_token_count"),
        cached_tokens=_tokens(response, "cached_content_token_count"),
        latency_seconds=latency_seconds,
        model_version=response.model_version or "",
        response_id=response.response_id,
        grounding=(
            candidate.grounding_metadata.model_dump(mode="json", exclude_none=True)
            if candidate and candidate.grounding_metadata
            else None
        ),
    )
    if blocked or finish in _BLOCKED:
        reason = ", ".join(refused_for) or blocked or finish
        return answer.model_copy(update={"state": "blocked", "reason": reason})
    if finish == "MAX_TOKENS":
        return answer.model_copy(update={"state": "truncated", "reason": finish})
    if longest is not None and (length := _tokens(response, "candidates_token_count")) > longest:
        reason = f"{length} tokens, of which max_output_tokens allows {longest}"
        return answer.model_copy(update={"state": "truncated", "reason": reason})
    if finish not in {"STOP", None}:
        return answer.model_copy(update={"state": "failed", "reason": finish})
    if not texts and not calls:
        return answer.model_copy(update={"state": "failed", "reason": "empty answer"})
    return answer


def _tokens(response: types.GenerateContentResponse, *fields: str) -> int:
    usage = response.usage_metadata
    return sum(getattr(usage, field, None) or 0 for field in fields)
