"""What tokens cost: dated prices of generation, and of tuning.

Generation prices come from the kept database `genai-prices`; the prices of tuning, which it does
not have, are in `TUNING_PRICES` with their sources. A price that is not known is None, never 0.
Models that the emulator serves are priced as the models they stand for.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

from genaiops_dagster.budget_policy import ModelPrice

_VERTEX_PRICING = "https://cloud.google.com/vertex-ai/generative-ai/pricing"


@dataclass(frozen=True)
class TuningPrice:
    """Published price of supervised or preference tuning.

    Attributes:
        usd_per_million_tokens: US dollars for a million training tokens; training tokens are
            those of the data set times the epochs.
        as_of: When the source said so.
        source: Where it is published.
    """

    usd_per_million_tokens: float
    as_of: dt.date
    source: str


TUNING_PRICES: Mapping[str, TuningPrice] = {
    "gemini-2.5-pro": TuningPrice(25.0, dt.date(2026, 2, 1), _VERTEX_PRICING),
    "gemini-2.5-flash": TuningPrice(5.0, dt.date(2026, 2, 1), _VERTEX_PRICING),
    "gemini-2.5-flash-lite": TuningPrice(1.5, dt.date(2026, 2, 1), _VERTEX_PRICING),
}
"""By base model. A model is missing here as long as no published price was found; a use case gives
its own figure then, in `budget.prices`."""


def base_model_name(model: str) -> str:
    """The bare name by which a base model is priced.

    Args:
        model: `gemini-2.5-flash`, with a version (`-001`, `@default`), as `publishers/...` or
            `projects/...` resource, or as an emulated model version (`gemini-2.5-flash-emulated`).
    """
    name = model.rsplit("/", 1)[-1].partition("@")[0].removesuffix("-emulated")
    return re.sub(r"(?<=\d-)(pro|flash|flash-lite)-\d{3}$", r"\1", name)


def token_cost(
    model: str,
    input_tokens: int,
    output_tokens: int,
    *,
    requests: int = 1,
    cached_tokens: int = 0,
    searches: int = 0,
    base_model: str | None = None,
    batch: bool = False,
    prices: Mapping[str, ModelPrice] | None = None,
    at: dt.datetime | None = None,
) -> float | None:
    """Price of generated content in US dollars; None when the model's price is not known.

    Args:
        model: Base model name or resource, or the endpoint of a tuned model.
        input_tokens: Tokens in, cached ones included, all requests together.
        output_tokens: Tokens out, thinking included, all requests together.
        requests: How many requests the tokens are of: prices of some models rise with the length
            of one prompt, so the total is priced as that many requests of mean length.
        cached_tokens: How many of `input_tokens` were read from a context cache.
        searches: Web searches that ground the answers.
        base_model: What `model` was tuned from; a tuned Gemini model is priced as its base.
        batch: Whether the requests are a batch job, which costs less where that is published.
        prices: The use case's own prices by base model, which go before the published ones.
        at: When the requests are made; now by default.

    Sources: the package genai-prices and
        https://cloud.google.com/vertex-ai/generative-ai/pricing (tuned models, batch).
    """
    from genai_prices import Usage, calc_price

    if requests < 1:
        return 0.0
    name = base_model_name(base_model or model)
    own = (prices or {}).get(name)
    if own is not None and own.input is not None and own.output is not None:
        return (input_tokens * own.input + output_tokens * own.output) / 1e6 + searches * (
            own.search or 0.0
        )
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
            genai_request_timestamp=at,
            price_context={"processing": "batch"} if batch else None,
        )
    except LookupError:
        return None
    search = _search_price(name, at) if searches else 0.0
    input_share = input_tokens / (usage.input_tokens or 1)
    output_share = output_tokens / (usage.output_tokens or 1)
    return float(price.input_price) * input_share + (
        float(price.output_price) * output_share + searches * search
    )


def _search_price(model: str, at: dt.datetime | None) -> float:
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
    prices: Mapping[str, ModelPrice] | None = None,
) -> float | None:
    """Price of keeping `tokens` in a context cache for `time`, in US dollars; None: not known."""
    name = base_model_name(model)
    own = (prices or {}).get(name)
    kinds = (usd for kind, usd in CACHE_STORAGE_PRICES.items() if f"-{kind}" in name)
    usd = own.cache_storage if own and own.cache_storage is not None else next(kinds, None)
    return None if usd is None else usd * tokens / 1e6 * (time / dt.timedelta(hours=1))


def context_window(model: str) -> int | None:
    """Tokens that a request to `model` may have, in and out; None when it is not known.

    Source: the package genai-prices.
    """
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
    prices: Mapping[str, ModelPrice] | None = None,
) -> float | None:
    """Price of a tuning job in US dollars; None when no price is known.

    Distillation has no published price: its teacher's answers are paid beside the training.

    Args:
        base_model: Name or resource of the model that is tuned.
        tokens: Training tokens: those of the training set times the epochs.
        method: `supervised`, `preference` or `distillation`.
        prices: The use case's own prices by base model, which go before the published ones.
    """
    name = base_model_name(base_model)
    own, published = (prices or {}).get(name), TUNING_PRICES.get(name)
    if own is not None and own.tuning is not None:
        return tokens / 1e6 * own.tuning
    return (
        None
        if published is None or method == "distillation"
        else tokens / 1e6 * published.usd_per_million_tokens
    )
