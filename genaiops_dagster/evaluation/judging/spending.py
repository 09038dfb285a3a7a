"""What a judge costs outside a report: for preferences, calibration and online evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.budget.stage_costs import (
    JUDGE_ANSWER_TOKENS,
    JUDGE_INSTRUCTION_TOKENS,
    JUDGE_MAXIMUM_ANSWER_TOKENS,
    estimate_of,
    price_requests,
)
from genaiops_dagster.evaluation.asking.counting import JudgementCounter
from genaiops_dagster.prompts.tokens import TokenTotal

_CHARACTERS_PER_TOKEN = 4
"""Source: https://ai.google.dev/gemini-api/docs/tokens (about 4 characters of English text)."""

_FEWEST_CHARACTERS_PER_TOKEN = 3
"""So that the reservation is on the safe side."""


@contextmanager
def spending_on_judge(
    purse: Purse,
    *,
    work: str,
    judge_model: str,
    calls: int,
    characters: int,
    emulated: bool,
) -> Iterator[JudgementCounter]:
    """Reserve what a judge may cost; the counter of its answers.

    Args:
        purse: The run's.
        work: Identifies it in the ledger.
        judge_model: Base model name of the judge.
        calls: Requests that have to be paid.
        characters: What the judge is shown in all of them together.
        emulated: Whether nothing is charged.

    Raises:
        BudgetExceededError: it may not be spent; nothing was sent.
    """
    per_call = characters // max(calls, 1)
    read = per_call // _CHARACTERS_PER_TOKEN + JUDGE_INSTRUCTION_TOKENS
    at_most = per_call // _FEWEST_CHARACTERS_PER_TOKEN + JUDGE_INSTRUCTION_TOKENS
    stage = price_requests(
        purse.prices(),
        stage="judging",
        candidate="",
        model=judge_model,
        calls=calls,
        prompts=TokenTotal(calls * at_most),
        output_tokens=calls * JUDGE_ANSWER_TOKENS,
        maximum_output_tokens=calls * JUDGE_MAXIMUM_ANSWER_TOKENS,
        longest=(at_most, JUDGE_MAXIMUM_ANSWER_TOKENS) if calls else (0, 0),
        basis=f"{calls} judgements",
    )
    estimate = estimate_of(purse.use_case, [stage], emulated=emulated)
    with purse.paying(
        f"judging/{work}", stage="judging", model=judge_model, estimate=estimate
    ) as payment:
        yield JudgementCounter(payment, read)
