"""How much a model thinks before it answers, and the room that a request leaves for it.

Thoughts are paid as output and count towards a request's output limit, so that a limit that is
meant for the visible answer alone may leave no answer at all.

Source: https://github.com/googleapis/python-genai/issues/811
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genaiops_dagster.google_cloud.base_models import facts_of, model_facts

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.base_models import ThinkingLevel

_EXPECTED_SHARE = 0.25
"""The share of the room that thoughts are expected to take; no source says how much they do."""


@dataclass(frozen=True)
class Thinking:
    """The thinking of one request.

    Attributes:
        level, budget: As the request says it; None leaves it to the model.
        expected, at_most: Tokens of thoughts.
    """

    level: ThinkingLevel | None = None
    budget: int | None = None
    expected: int = 0
    at_most: int = 0


def thinking_of(
    base_model: str, level: ThinkingLevel | None, budget: int | None, *, tuned: bool
) -> Thinking:
    """How much a model thinks.

    A tuned model thinks as little as it can unless told otherwise: it was trained on answers
    without thoughts.

    Source: https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/gemini-supervised-tuning

    Args:
        base_model: The model, or what it was tuned from.
        level: As a use case has it; None if it does not say.
        budget: Tokens of thoughts, likewise.
        tuned: Whether it is a tuned model.
    """
    facts = facts_of(base_model)
    levels = facts.thinking_levels if facts else ()
    if budget is not None or facts is None or not levels:
        at_most = budget or 0
        return Thinking(level, budget, round(at_most * _EXPECTED_SHARE), at_most)
    asked = level or (levels[0] if tuned else None)
    used = asked or facts.thinking_default or levels[-1]
    tokens: int = getattr(model_facts().thinking_tokens, used)
    # At the lowest level a model does not think about most questions.
    # Source: https://ai.google.dev/gemini-api/docs/generate-content/thinking#thinking-levels
    expected = 0 if used == "MINIMAL" else round(tokens * _EXPECTED_SHARE)
    return Thinking(asked, None, expected, tokens)


def output_limit(base_model: str, answer_tokens: int, thinking: Thinking) -> int:
    """Tokens that a request may have out: those of the answer, and room for thoughts."""
    facts = facts_of(base_model)
    wanted = answer_tokens + thinking.at_most
    most = facts.output_tokens if facts else None
    return wanted if most is None else min(wanted, most)


def ignores_sampling(base_model: str) -> bool:
    """Whether temperature, top-p and top-k have no effect on a model."""
    facts = facts_of(base_model)
    return facts is not None and facts.sampling == "ignored"
