"""Prices of tokens, with dates: of generation, of tuning and of computed metrics.

Generation prices come from the package `genai-prices`. What it lacks comes from the facts of models
(tuning, and what tuned and regional endpoints cost more) and, for the evaluation service, from
here. A price that is not known is None, never 0. Models that the emulator serves are priced as the
models they stand for.

An endpoint of a tuned Gemini model costs nothing by the hour: its requests are paid, nothing else.
Source: https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/tuning/supervised-tuning
("Pricing"), as of September 2026. An endpoint with machines of its own has no price here: what it
answers is refused as unknown unless the use case says otherwise.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from genaiops_dagster.google_cloud.base_models import base_model_name, facts_of, model_facts
from genaiops_dagster.use_case.budget import ModelPrice

EVALUATION_SERVICE = "evaluation_service"
"""Name of the prices of computed metrics in `budget.prices`, by characters instead of tokens."""

EVALUATION_PRICES: Mapping[str, float] = {"input": 0.03, "output": 0.09}
"""US dollars for a million characters, of metrics that the evaluation service computes without a
judge; a judge is paid as the model that it is.

Source: https://cloud.google.com/vertex-ai/generative-ai/pricing, as of 14 April 2025.
"""

SCORE_CHARACTERS = 20
"""Characters of a score at most, as the service writes it."""


@dataclass(frozen=True)
class PriceList:
    """Published prices as of one moment, and what a use case has agreed instead.

    Attributes:
        at: When the requests are made; published prices change.
        own: The use case's own prices by base model (`budget.prices`), which come first.
    """

    at: dt.datetime
    own: Mapping[str, ModelPrice] = field(default_factory=dict)


def token_cost(
    model: str,
    input_tokens: int,
    output_tokens: int,
    *,
    tuned: bool = False,
    requests: int = 1,
    cached_tokens: int = 0,
    searches: int = 0,
    batch: bool = False,
    prices: PriceList,
) -> float | None:
    """Price of generated content in US dollars; None when the model's price is not known.

    Args:
        model: Base model name or resource; of a tuned model, what it was tuned from.
        input_tokens: Tokens in, cached ones included, all requests together.
        output_tokens: Tokens out, thinking included, all requests together.
        tuned: Whether requests go to a model that was tuned from `model`.
        requests: How many requests the tokens are of: prices of some models rise with the length
            of one prompt, so the total is priced as that many requests of mean length.
        cached_tokens: How many of `input_tokens` were read from a context cache.
        searches: Web searches that ground the answers.
        batch: Whether the requests are a batch job, which costs less.
        prices: What applies.

    Sources: the package genai-prices and
        https://cloud.google.com/vertex-ai/generative-ai/pricing (tuned models, batch).
    """
    from genai_prices import Usage, calc_price

    if requests < 1 or not (input_tokens or output_tokens or searches):
        return 0.0
    name = base_model_name(model)
    own = prices.own.get(name)
    factor = _tuned_factor(name, own) if tuned else 1.0
    if own is not None and own.input is not None and own.output is not None:
        listed = (input_tokens * own.input + output_tokens * own.output) / 1e6
        return factor * listed + searches * (own.search or 0.0)
    usage = Usage(
        input_tokens=-(-input_tokens // requests),
        output_tokens=-(-output_tokens // requests),
        cache_read_tokens=cached_tokens // requests,
    )
    try:
        price = calc_price(
            usage,
            name,
            provider_id="google",
            genai_request_timestamp=prices.at,
        )
    except LookupError:
        return None
    search = _search_price(name, prices.at) if searches else 0.0
    input_share = input_tokens / (usage.input_tokens or 1)
    output_share = output_tokens / (usage.output_tokens or 1)
    listed = float(price.input_price) * input_share + float(price.output_price) * output_share
    if batch:
        factor *= model_facts().batch_factor.value
    return factor * _regional_factor(name, prices.at) * listed + searches * search


def is_tuned(address: str) -> bool:
    """Whether a resource name is the endpoint of a tuned model, rather than a base model."""
    return "/endpoints/" in address


def _generation(name: str) -> int:
    """The generation of a Gemini model; 0 of another model."""
    found = re.match(r"gemini-(\d+)", name)
    return int(found[1]) if found else 0


def _tuned_factor(name: str, own: ModelPrice | None) -> float:
    if own is not None and own.tuned_factor is not None:
        return own.tuned_factor
    return model_facts().tuned_factor.value if _generation(name) >= 3 else 1.0


def _regional_factor(name: str, at: dt.datetime) -> float:
    factor = model_facts().regional_factor
    dearer = _generation(name) >= 3 and "preview" not in name and at.date() >= factor.as_of
    return factor.value if dearer else 1.0


def computed_metrics_cost(characters: int, scores: int, *, prices: PriceList) -> float:
    """Price of metrics that the evaluation service computes without a judge, in US dollars.

    Args:
        characters: Of all answers and references that it was sent, as often as it was.
        scores: How many it gave back.
        prices: What applies; a use case's own are under `evaluation_service`.
    """
    own = prices.own.get(EVALUATION_SERVICE)
    read = own.input if own and own.input is not None else EVALUATION_PRICES["input"]
    written = own.output if own and own.output is not None else EVALUATION_PRICES["output"]
    return (characters * read + scores * SCORE_CHARACTERS * written) / 1e6


def _search_price(model: str, at: dt.datetime) -> float:
    """US dollars of one web search by a model whose price is known."""
    from genai_prices import Usage, calc_price

    found = calc_price(
        Usage(web_searches=1), model, provider_id="google", genai_request_timestamp=at
    )
    return float(found.total_price)


CACHE_STORAGE_PRICES: Mapping[str, float] = {"pro": 4.5, "flash": 1.0}
"""US dollars for a million tokens kept an hour in a context cache, by kind of Gemini model.

Source: https://ai.google.dev/gemini-api/docs/pricing ("Context caching", storage), as of Gemini
2.5; a use case gives its own figure in `budget.prices.<model>.cache_storage`.
"""


def cache_storage_cost(
    model: str,
    tokens: int,
    time: dt.timedelta,
    *,
    prices: PriceList,
) -> float | None:
    """Price of keeping `tokens` in a context cache for `time`, in US dollars; None if unknown."""
    name = base_model_name(model)
    own = prices.own.get(name)
    kinds = (usd for kind, usd in CACHE_STORAGE_PRICES.items() if f"-{kind}" in name)
    usd = own.cache_storage if own and own.cache_storage is not None else next(kinds, None)
    return None if usd is None else usd * tokens / 1e6 * (time / dt.timedelta(hours=1))


def context_window(model: str) -> int | None:
    """Tokens that a request to `model` may have, in and out; None when it is not known.

    Source: the facts of models; of a model that they do not have, the package genai-prices.
    """
    facts = facts_of(model)
    if facts is not None and facts.context_tokens is not None:
        return facts.context_tokens
    from genai_prices import Usage, calc_price

    try:
        found = calc_price(Usage(input_tokens=1), base_model_name(model), provider_id="google")
    except LookupError:
        return None
    window: int | None = found.model.context_window
    return window


def tuning_cost(
    base_model: str,
    tokens: int,
    *,
    method: str = "supervised",
    prices: PriceList,
) -> float | None:
    """Price of a tuning job in US dollars; None when no price is known.

    Distillation has no published price: its teacher's answers are paid on top of the training.

    Args:
        base_model: Name or resource of the model that is tuned.
        tokens: Training tokens: those of the training set times the epochs.
        method: `supervised`, `preference` or `distillation`.
        prices: What applies.
    """
    name = base_model_name(base_model)
    own, facts = prices.own.get(name), facts_of(name)
    if own is not None and own.tuning is not None:
        return tokens / 1e6 * own.tuning
    published = facts.tuning_usd if facts and method != "distillation" else None
    return None if published is None else tokens / 1e6 * published.value
