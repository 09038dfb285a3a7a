"""The limits of a use case's budget, and the refusal when a run would go past them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from genaiops_dagster.budget.pricing import context_window
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.use_case.budget import Budget
from genaiops_dagster.use_case.tuning import Sweep


class BudgetExceededError(RuntimeError):
    """A paid step was refused; the message names the limit, the figures and how to raise it."""


@dataclass(frozen=True)
class Spent:
    """An amount already paid: US dollars and tokens."""

    usd: float = 0.0
    tokens: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.usd + other.usd, self.tokens + other.tokens)


NOTHING = Spent()
_ROUNDING = 1e-9
"""Share by which sums of floats may exceed a limit that they are equal to."""


@dataclass(frozen=True)
class BrokenLimit:
    """A limit that a payment would break.

    Attributes:
        sentence: Which limit, how much was asked, and how much is left of it.
        remedy: What to do about it.
    """

    sentence: str
    remedy: str


def broken_limits(
    estimate: CostEstimate,
    budget: Budget,
    run: Spent = NOTHING,
    month: Spent = NOTHING,
    left: CostEstimate | None = None,
) -> list[BrokenLimit]:
    """The limits that spending `estimate` would break; empty if it may be spent.

    Args:
        estimate: What would be paid now, in addition to what was.
        budget: The use case's limits.
        run: What this run has reserved and spent already.
        month: What all runs of this month have.
        left: What of `estimate` is not paid yet, where that is less: the month is charged with
            nothing twice.
    """
    left = left or estimate
    limits = [
        ("per_run_usd", budget.per_run_usd, run.usd, estimate.maximum_usd),
        ("per_run_tokens", budget.per_run_tokens, run.tokens, estimate.maximum_tokens),
        ("per_month_usd", budget.per_month_usd, month.usd, left.maximum_usd),
        ("per_month_tokens", budget.per_month_tokens, month.tokens, left.maximum_tokens),
        ("per_request_usd", budget.per_request_usd, 0.0, estimate.largest_request_usd),
        ("per_request_tokens", budget.per_request_tokens, 0, estimate.largest_request_tokens),
    ]
    broken = [
        BrokenLimit(
            f"the limit budget.{field} is {_amount(field, limit)}; asked "
            f"{_amount(field, requested)} at most, left {_amount(field, max(limit - taken, 0))}",
            f"Raise it in the use case file to {_enough(field, taken + requested)} or more, "
            "or evaluate fewer rows, or set a smaller max_output_tokens.",
        )
        for field, limit, taken, requested in limits
        if limit is not None and requested > 0 and taken + requested > limit * (1 + _ROUNDING)
    ]
    if estimate.unknown_prices and budget.unknown_price == "refuse":
        broken.append(
            BrokenLimit(
                f"no price is known for {', '.join(estimate.unknown_prices)}",
                "Give one in the use case file (budget.prices), or accept spending without a price "
                "with `budget: {unknown_price: allow}`.",
            )
        )
    return broken


def refusals(
    estimate: CostEstimate,
    budget: Budget,
    run: Spent = NOTHING,
    month: Spent = NOTHING,
    left: CostEstimate | None = None,
) -> list[str]:
    """Why `estimate` may not be spent, for people, with the remedies; as for `broken_limits`."""
    return [
        f"{estimate.use_case}: {one.sentence}. {one.remedy}"
        for one in broken_limits(estimate, budget, run, month, left)
    ]


def require_within_budget(
    estimate: CostEstimate, budget: Budget, run: Spent = NOTHING, month: Spent = NOTHING
) -> None:
    """Stop before paying anything that the budget does not allow.

    Every paid step checks this itself, whatever checks ran before, so that the same limits apply
    when one asset is materialized alone.

    Raises:
        BudgetExceededError: a limit would be broken, or a price is not known.
    """
    reasons = refusals(estimate, budget, run, month)
    if reasons:
        raise BudgetExceededError("\n".join(reasons))


def sweep_refusals(estimate: CostEstimate, sweep: Sweep | None) -> list[str]:
    """Why a sweep may not begin: all its jobs together may cost more than it allows."""
    if sweep is None:
        return []
    jobs = [stage for stage in estimate.of_stages("tuning").stages if stage.candidate]
    requested = sum(stage.maximum_usd or 0.0 for stage in jobs)
    if requested <= sweep.maximum_usd * (1 + _ROUNDING):
        return []
    return [
        f"{estimate.use_case}: the limit tuning.sweep.maximum_usd is "
        f"{_amount('usd', sweep.maximum_usd)}; the {len(jobs)} jobs of the sweep may cost "
        f"{_amount('usd', requested)}. Raise it in the use case file to "
        f"{_enough('usd', requested)} or more, or sweep fewer values."
    ]


def too_long(estimate: CostEstimate) -> list[str]:
    """Stages whose longest request may not fit the model's context window, in a sentence each."""
    windows = {stage.model: context_window(stage.model) for stage in estimate.stages}
    return [
        f"{stage.stage} {stage.candidate}: {stage.largest_request_tokens:,} tokens in and out; "
        f"{stage.model} takes {window:,}"
        for stage in estimate.stages
        if (window := windows[stage.model]) is not None and stage.largest_request_tokens > window
    ]


def require_current(estimate: CostEstimate, **digests: str) -> None:
    """Stop where an estimate was made of other data or another prompt than what would be paid for.

    Args:
        estimate: The estimate at hand.
        digests: Of what would be paid for, by the names of the estimate's own fields.

    Raises:
        BudgetExceededError: a digest differs.
    """
    stale = sorted(name for name, digest in digests.items() if getattr(estimate, name) != digest)
    if stale:
        raise BudgetExceededError(
            f"{estimate.use_case}: the estimate was made of something else "
            f"({', '.join(stale)} differs); materialize {estimate.use_case}/cost_estimate again"
        )


def _amount(field: str, amount: float) -> str:
    """An amount with as many digits as tell small ones apart."""
    if field.endswith("_tokens"):
        return f"{amount:,.0f} tokens"
    return f"{amount:.2f} USD" if amount >= 1 or amount == 0 else f"{amount:.6g} USD"


def _enough(field: str, amount: float) -> str:
    """A limit that `amount` does not break, as it is written in the use case file."""
    if field.endswith("_tokens"):
        return str(math.ceil(amount))
    return f"{math.ceil(amount * 100) / 100:.2f}"
