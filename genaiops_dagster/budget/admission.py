"""Which of many prompts may be sent within the budget, decided one by one before any is sent."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from genaiops_dagster.budget.limits import NOTHING, Spent, refusals
from genaiops_dagster.budget.pricing import PriceList, context_window
from genaiops_dagster.budget.stage_costs import estimate_of, price_requests
from genaiops_dagster.prompts.tokens import TokenTotal
from genaiops_dagster.records.budget import CostEstimate, Stage
from genaiops_dagster.use_case.budget import Budget


@dataclass(frozen=True)
class Requests:
    """Settings that all requests of a step share.

    Attributes:
        use_case, stage, candidate: What the requests are for, as the estimate names it.
        model: Base model by which they are priced.
        max_output_tokens: Of one answer, thoughts included.
        tuned: Whether they go to a model that was tuned from `model`.
        batch: Whether they are a batch job, which costs less.
        grounded: Whether each may search the web, which costs more.
        emulated: Whether the emulator answers.
        answers: How many answers each asks for.
    """

    use_case: str
    stage: Stage
    candidate: str
    model: str
    max_output_tokens: int
    tuned: bool = False
    batch: bool = False
    grounded: bool = False
    emulated: bool = False
    answers: int = 1

    def estimate(self, prompts: Sequence[int], prices: PriceList) -> CostEstimate:
        """The most that requests with prompts of these token counts may cost."""
        calls, longest_answer = len(prompts), self.answers * self.max_output_tokens
        stage = price_requests(
            prices,
            stage=self.stage,
            candidate=self.candidate,
            model=self.model,
            calls=calls,
            prompts=TokenTotal(sum(prompts)),
            output_tokens=calls * longest_answer,
            maximum_output_tokens=calls * longest_answer,
            longest=(max(prompts, default=0), longest_answer if prompts else 0),
            basis=f"{calls} prompts, each counted",
            tuned=self.tuned,
            batch=self.batch,
            searches=calls if self.grounded else 0,
        )
        return estimate_of(self.use_case, [stage], emulated=self.emulated)


def refuse_over_budget(
    prompts: Sequence[int],
    requests: Requests,
    budget: Budget,
    prices: PriceList,
    run: Spent = NOTHING,
    month: Spent = NOTHING,
) -> list[str | None]:
    """Why each prompt may not be sent; None where it may.

    Prompts are admitted in order as long as all that were admitted fit the limits together; a
    shorter one after a refused one may still fit.

    Args:
        prompts: Tokens of each.
        requests: What they have in common.
        budget: The limits.
        prices: What applies.
        run: What this run has reserved and spent already.
        month: What all runs of this month have.
    """
    window = context_window(requests.model)
    price = functools.cache(lambda tokens: requests.estimate([tokens], prices))  # it is slow
    reasons: list[str | None] = []
    taken = NOTHING
    for tokens in prompts:
        if window is not None and tokens + requests.max_output_tokens > window:
            reasons.append(
                f"{requests.use_case}: {tokens:,} tokens in and up to "
                f"{requests.max_output_tokens:,} out; {requests.model} takes {window:,}"
            )
            continue
        estimate = price(tokens)
        found = refusals(estimate, budget, run + taken, month + taken)
        reasons.append("\n".join(found) or None)
        if not found:
            taken += Spent(estimate.maximum_usd, estimate.maximum_tokens)
    return reasons
