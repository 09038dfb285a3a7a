"""The cost of a champion's answers."""

from __future__ import annotations

import functools
from collections.abc import Callable

from genaiops_dagster.budget.pricing import PriceList, is_tuned, token_cost
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.records.promotion import Champion


def answer_cost(prices: PriceList, champion: Champion) -> Callable[[Answer], float | None]:
    """How answers of `champion` are priced, in US dollars; None if the price is not known.

    A request without an answer costs nothing. Answers of the same size share their price,
    because it takes a while to look one up.
    """
    grounded = "google_search" in champion.generation.tools

    @functools.cache
    def price(input_tokens: int, output_tokens: int, cached: int, batch: bool) -> float | None:
        return token_cost(
            champion.base_model,
            input_tokens,
            output_tokens,
            tuned=is_tuned(champion.model),
            cached_tokens=cached,
            searches=int(grounded),
            batch=batch,
            prices=prices,
        )

    def cost(answer: Answer) -> float | None:
        if not answer.model_version:
            return 0.0
        return price(answer.input_tokens, answer.output_tokens, answer.cached_tokens, answer.batch)

    return cost
