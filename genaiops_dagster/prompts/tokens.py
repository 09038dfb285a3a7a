"""How many tokens a set of texts has: counted by the service on a sample, with its error."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI

Content = dict[str, Any]
"""A message in the Gemini API's form: `{"role": ..., "parts": [...]}`."""

CountTokens = Callable[[Sequence[Content]], int]
"""Counts the tokens of some messages together."""

T = TypeVar("T")

_CONFIDENCE_95 = 1.96
_CONCURRENT_REQUESTS = 8
_CONTENTS_PER_REQUEST = 100


@dataclass(frozen=True)
class TokenTotal:
    """Tokens of all rows together.

    Attributes:
        tokens: Their number; exact when `error` is 0.
        error: Half width of the 95 % confidence interval, in tokens.
    """

    tokens: float
    error: float = 0.0

    @property
    def at_most(self) -> float:
        """Upper end of the interval."""
        return self.tokens + self.error

    def __add__(self, other: TokenTotal) -> TokenTotal:
        return TokenTotal(self.tokens + other.tokens, self.error + other.error)

    def times(self, factor: float) -> TokenTotal:
        """The same rows, `factor` times over."""
        return TokenTotal(self.tokens * factor, self.error * factor)


NO_TOKENS = TokenTotal(0)


def user_message(text: str) -> Content:
    """`text` as the message of a user."""
    return {"role": "user", "parts": [{"text": text}]}


def api_counter(models: VertexAI, model: str) -> CountTokens:
    """Counts with the CountTokens API of the base model `model`, which is free of charge.

    Contents that end with a turn of the model, as training examples do, are refused by newer
    models: its text is counted as a user's.

    Sources: https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/get-token-count;
    https://github.com/LibreChat-AI/agents/issues/323 ("Requests ending with a model turn are not
    supported.").
    """
    client = models.serving(models.model_address(model)).genai

    def count(contents: Sequence[Content]) -> int:
        response = client.models.count_tokens(model=model, contents=_ending_with_user(contents))
        if response.total_tokens is None:
            raise RuntimeError(f"CountTokens of {model} answered without a total")
        return int(response.total_tokens)

    return count


def _ending_with_user(contents: Sequence[Content]) -> list[Any]:
    if not contents or contents[-1].get("role") != "model":
        return list(contents)
    return [*contents[:-1], {**contents[-1], "role": "user"}]


def sample(items: Iterable[T], size: int, seed: int) -> tuple[list[T], int]:
    """`size` items chosen uniformly, and how many there were; one pass, the same for a seed."""
    generator = random.Random(seed)  # noqa: S311 - a repeatable choice, not a secret
    chosen: list[T] = []
    seen = 0
    for item in items:
        seen += 1
        if len(chosen) < size:
            chosen.append(item)
        elif (place := generator.randrange(seen)) < size:
            chosen[place] = item
    return chosen, seen


def count_all(count: CountTokens, messages: Sequence[Content]) -> TokenTotal:
    """Tokens of all messages, counted exactly, many to a request."""
    batches = [
        messages[start : start + _CONTENTS_PER_REQUEST]
        for start in range(0, len(messages), _CONTENTS_PER_REQUEST)
    ]
    with ThreadPoolExecutor(_CONCURRENT_REQUESTS) as pool:
        return TokenTotal(sum(pool.map(count, batches)))


def count_sample(
    count: CountTokens, rows: Sequence[tuple[Sequence[Content], int]], total_size: int, total: int
) -> TokenTotal:
    """Tokens of all rows, estimated from some of them by the ratio of tokens to size.

    Args:
        count: Counts the tokens of a row.
        rows: The sampled rows: messages and size; a size is anything that grows with tokens, such
            as characters.
        total_size: Sizes of all rows together.
        total: How many rows there are.

    Source: ratio estimator and its variance, W. G. Cochran, Sampling Techniques (1977), ch. 6.
    """
    if not rows or total_size == 0:
        return TokenTotal(0)
    with ThreadPoolExecutor(_CONCURRENT_REQUESTS) as pool:
        tokens = list(pool.map(lambda row: count(row[0]), rows))
    sizes = [size for _, size in rows]
    if len(rows) == total:
        return TokenTotal(sum(tokens))
    ratio = sum(tokens) / sum(sizes)
    residuals = sum((t - ratio * s) ** 2 for t, s in zip(tokens, sizes, strict=True))
    variance = total * (total - len(rows)) / len(rows) * residuals / max(len(rows) - 1, 1)
    return TokenTotal(ratio * total_size, _CONFIDENCE_95 * math.sqrt(variance))
