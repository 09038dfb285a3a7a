"""Answering `GenerateContentRequest` documents with `GenerateContentResponse` documents."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

from vertex_emulator.fault_kinds import Block, Malformed
from vertex_emulator.models.base_models import BaseModel, base_of
from vertex_emulator.models.language_model import LanguageModel, Turn
from vertex_emulator.vertex import functions, grounding, safety, tokens
from vertex_emulator.vertex.json_schema import Choose, Filler, plain_schema, problem
from vertex_emulator.vertex.limits import OUTPUT_TOKENS, check_length
from vertex_emulator.vertex.messages import Document, timestamp
from vertex_emulator.vertex.prompt import Prompt

_PIECES_PER_CHUNK = 12
THOUGHTS_OF_LEVEL = {"MINIMAL": 0, "LOW": 64, "MEDIUM": 256, "HIGH": 1024}
"""Tokens of emulated thinking; how much Google's models think is not published.

At the lowest level they do not think about most questions.
Source: https://ai.google.dev/gemini-api/docs/generate-content/thinking#thinking-levels
"""

_MOST_THOUGHTS = 1024


@dataclass(frozen=True)
class Misbehaviour:
    """What faults do to one answer."""

    block: Block | None = None
    malformed: Malformed | None = None

    def output_is(self, form: str) -> bool:
        """Whether the output takes the malformed `form`."""
        return self.malformed is not None and self.malformed.form == form


def generate(
    request: Document,
    prompt: Prompt,
    model: LanguageModel,
    *,
    now: datetime,
    misbehaviour: Misbehaviour | None = None,
) -> Document:
    """The whole answer to `request`.

    Args:
        request: A `GenerateContentRequest` document that `limits.check_request` let pass.
        prompt: What `request` says, with its cached content.
        model: The model that answers.
        now: Time of the answer.
        misbehaviour: What faults do to the answer.

    Raises:
        ApiError: 400 when the request breaks a rule of the API, 501 for too large a schema.
    """
    check_length(prompt.token_count)
    response: Document = {
        "modelVersion": model.version,
        "createTime": timestamp(now),
        "responseId": secrets.token_urlsafe(16),
    }
    misbehaviour = misbehaviour or Misbehaviour()
    feedback = _prompt_feedback(request, prompt, misbehaviour.block)
    if feedback:
        return {"promptFeedback": feedback, "usageMetadata": _usage(prompt, 0, 0), **response}
    config = request.get("generationConfig", {})
    base = base_of(model.version)
    thoughts = _thought_count(config.get("thinkingConfig", {}), prompt, base)
    if misbehaviour.output_is("thoughts"):
        thoughts = config.get("maxOutputTokens", OUTPUT_TOKENS)
    answers = [
        _Answer(request, prompt, model, index, thoughts, misbehaviour)
        for index in range(config.get("candidateCount", 1))
    ]
    candidates = [answer.candidate() for answer in answers]
    if misbehaviour.output_is("no_candidates"):
        candidates = []
    output = sum(answer.token_count for answer in answers)
    usage = _usage(prompt, output, thoughts * len(answers))
    return {"candidates": candidates, "usageMetadata": usage, **response}


def _prompt_feedback(request: Document, prompt: Prompt, block: Block | None) -> Document | None:
    if block and block.where == "prompt":
        return {"blockReason": "SAFETY", "safetyRatings": [safety.rating(block.category, 3, 3)]}
    text = "\n".join(turn.text for turn in prompt.turns if turn.role == "user")
    if safety.is_prohibited(text):
        return {
            "blockReason": "PROHIBITED_CONTENT",
            "blockReasonMessage": "The prompt is blocked by a filter that cannot be configured.",
        }
    ratings = safety.rate(text, request.get("safetySettings", []))
    if not safety.blocks(ratings):
        return None
    return {
        "blockReason": "SAFETY",
        "blockReasonMessage": "The prompt is blocked due to safety reasons.",
        "safetyRatings": ratings,
    }


def _thought_count(config: Document, prompt: Prompt, base: BaseModel | None) -> int:
    """Tokens of emulated thinking: at the level asked for, within a budget, or by default."""
    budget = config.get("thinkingBudget")
    level = config.get("thinkingLevel")
    if budget is None and base is not None:
        level = level or base.thinking_default
    if level:
        return THOUGHTS_OF_LEVEL.get(level, 0)
    if budget is None:
        budget = -1 if config.get("includeThoughts") else 0
    most = _MOST_THOUGHTS if budget < 0 else budget
    return min(most, 32 + prompt.token_count // 2) if most else 0


class _Answer:
    """One candidate in the making."""

    def __init__(
        self,
        request: Document,
        prompt: Prompt,
        model: LanguageModel,
        index: int,
        thoughts: int,
        misbehaviour: Misbehaviour,
    ) -> None:
        config = request.get("generationConfig", {})
        seed = config.get("seed")
        self._request = request
        self._prompt = prompt
        self._model = model
        self._index = index
        self._config = config
        self._thoughts = thoughts
        self._misbehaviour = misbehaviour
        base = base_of(model.version)
        asked = {} if base and base.ignores_sampling else config
        self._temperature = asked.get("temperature", 1.0)
        self._seed = (secrets.randbits(31) if seed is None else seed) + 7919 * index
        self.token_count = 0

    def candidate(self) -> Document:
        """The `Candidate` document; sets `token_count`."""
        parts, text, reason = self._content()
        content = {"role": "model", **({"parts": parts} if parts else {})}
        candidate: Document = {"content": content, "finishReason": reason}
        if self._index:
            candidate["index"] = self._index
        ratings = self._ratings(text)
        if ratings:
            candidate["safetyRatings"] = ratings
        if safety.blocks(ratings):
            self.token_count = 0
            return {**candidate, "content": {"role": "model"}, "finishReason": "SAFETY"}
        if reason == "MALFORMED_FUNCTION_CALL" or self._misbehaviour.output_is("no_content"):
            self.token_count = 0
            del candidate["content"]
            return candidate
        if text:
            candidate["avgLogprobs"] = _average_logprob(text)
            if grounding.wants_search(self._request):
                question = self._prompt.turns[-1].text
                candidate["groundingMetadata"] = grounding.metadata(question, text)
        if self._thoughts and self._config.get("thinkingConfig", {}).get("includeThoughts"):
            thought = {"text": "Emulated thoughts: none were had.", "thought": True}
            content["parts"] = [thought, *parts]
        return candidate

    def _content(self) -> tuple[list[Document], str, str]:
        """Parts, their text and the finish reason."""
        message = self._prompt.turns[-1].text
        dice = Random(f"{self._seed if self._temperature else 0}:{message}")  # noqa: S311
        if self._misbehaviour.output_is("function_call"):
            return [], "", "MALFORMED_FUNCTION_CALL"
        call = functions.choose_call(self._request, message, self._choose, dice)
        if call:
            self.token_count = tokens.count(json.dumps(call))
            signature = base64.b64encode(b"emulated signature").decode()
            part: Document = {"functionCall": call, "thoughtSignature": signature}
            return [part], "", "STOP"
        text = self._spoiled(self._text(dice))
        text, self.token_count, reason = self._shorten(text)
        return ([{"text": text}] if text else []), text, reason

    def _text(self, dice: Random) -> str:
        if functions.answers_call(self._request):
            return functions.read_responses(self._request)
        answer = self._ask(self._prompt.turns)
        mime_type = self._config.get("responseMimeType", "text/plain")
        if mime_type == "text/x.enum":
            return self._choose(self._config.get("responseSchema", {}).get("enum") or [answer])
        if mime_type != "application/json":
            return answer
        schema = self._config.get("responseJsonSchema")
        if schema is None and "responseSchema" in self._config:
            schema = plain_schema(self._config["responseSchema"])
        return _as_json(answer, schema, self._choose, dice)

    def _ask(self, turns: list[Turn]) -> str:
        return self._model.answer(
            self._prompt.system, turns, temperature=self._temperature, seed=self._seed
        )

    def _choose(self, options: list[str]) -> str:
        """The option that the model picks, or else the one that its answer shares most with."""
        answer = self._ask(self._prompt.turns).strip()
        by_name = {option.casefold(): option for option in options}
        if answer.casefold() in by_name:
            return by_name[answer.casefold()]
        *before, last = self._prompt.turns
        asked = Turn(last.role, f"{last.text}\nChoose one of: {', '.join(options)}.")
        chosen = self._ask([*before, asked]).strip().casefold()
        return by_name.get(chosen) or min(options, key=lambda option: _rank(option, answer))

    def _spoiled(self, text: str) -> str:
        if self._misbehaviour.output_is("empty"):
            return ""
        if self._misbehaviour.output_is("cut"):
            return text[: len(text) // 2]
        if self._misbehaviour.output_is("prose"):
            return f"Sure! Here is what you asked for:\n```\n{text}\n```\nI hope this helps."
        return text

    def _shorten(self, text: str) -> tuple[str, int, str]:
        """`text` up to a stop sequence or the token limit, its token count and finish reason."""
        ends = [text.find(stop) for stop in self._config.get("stopSequences", []) if stop]
        text = text[: min((end for end in ends if end >= 0), default=len(text))]
        pieces = tokens.split(text)
        limit = self._config.get("maxOutputTokens")
        left = len(pieces) if limit is None else max(0, limit - self._thoughts)
        if len(pieces) > left:
            return "".join(pieces[:left]), left, "MAX_TOKENS"
        return text, len(pieces), "STOP"

    def _ratings(self, text: str) -> list[Document]:
        block = self._misbehaviour.block
        if block and block.where == "answer":
            return [safety.rating(block.category, 3, 3)]
        return safety.rate(text, self._request.get("safetySettings", []))


def _as_json(answer: str, schema: Any, choose: Choose, dice: Random) -> str:
    """`answer` if it is JSON of `schema`, or else JSON of `schema` that is filled from it."""
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        value = None
    if schema is None:
        return answer if isinstance(value, dict | list) else json.dumps({"answer": answer})
    if value is not None and problem(value, schema) is None:
        return answer
    filled = Filler(schema, text=answer, choose=choose, dice=dice).value()
    return json.dumps(filled, ensure_ascii=False)


def _rank(option: str, answer: str) -> tuple[bool, str]:
    digest = hashlib.blake2b(f"{option}\x1f{answer}".encode("utf-8", "surrogatepass"))
    return option.casefold() not in answer.casefold(), digest.hexdigest()


def _average_logprob(text: str) -> float:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return -0.01 - int.from_bytes(digest) / 2**32


def _details(counts: Counter[str]) -> list[Document]:
    return [{"modality": name, "tokenCount": count} for name, count in counts.items() if count]


def _usage(prompt: Prompt, output: int, thoughts: int) -> Document:
    """`UsageMetadata`; the prompt's count contains that of cached content, as the API's does."""
    usage: Document = {
        "promptTokenCount": prompt.token_count,
        "totalTokenCount": prompt.token_count + output + thoughts,
        "promptTokensDetails": _details(prompt.tokens),
        "trafficType": "ON_DEMAND",
    }
    if output:
        usage["candidatesTokenCount"] = output
        usage["candidatesTokensDetails"] = [{"modality": "TEXT", "tokenCount": output}]
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    if prompt.cached:
        usage["cachedContentTokenCount"] = prompt.cached.total()
        usage["cacheTokensDetails"] = _details(prompt.cached)
    return usage


def stream(response: Document) -> Iterator[Document]:
    """The chunks in which `response` is streamed; usage and finish reason come with the last."""
    candidates = response.get("candidates", [])
    shared = {key: response[key] for key in ("modelVersion", "createTime", "responseId")}
    for position, candidate in enumerate(candidates):
        *first, last = _chunks(candidate.get("content", {}).get("parts", []))
        for parts in first:
            chunk: Document = {"content": {"role": "model", "parts": parts}}
            if "index" in candidate:
                chunk["index"] = candidate["index"]
            yield {"candidates": [chunk], **shared}
        final = dict(candidate)
        if last:
            final["content"] = {"role": "model", "parts": last}
        if position + 1 < len(candidates):
            yield {"candidates": [final], **shared}
        else:
            yield {**response, "candidates": [final]}
    if not candidates:
        yield response


def _chunks(parts: list[Document]) -> list[list[Document]]:
    """`parts` cut into chunks of a few tokens; parts that are not text stay whole."""
    chunks = []
    for part in parts:
        if "text" not in part:
            chunks.append([part])
            continue
        pieces = tokens.split(part["text"])
        for start in range(0, max(1, len(pieces)), _PIECES_PER_CHUNK):
            text = "".join(pieces[start : start + _PIECES_PER_CHUNK])
            chunks.append([{**part, "text": text}])
    return chunks or [[]]
