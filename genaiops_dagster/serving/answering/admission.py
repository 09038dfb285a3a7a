"""Prompts within the budget: counted, admitted one by one, and paid for together."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from genaiops_dagster.budget.admission import Requests, refuse_over_budget
from genaiops_dagster.budget.limits import BudgetExceededError
from genaiops_dagster.budget.payment import Payment, Purse
from genaiops_dagster.evaluation.asking.inference import Contents
from genaiops_dagster.prompts.tokens import CountTokens, user_message

_COUNTERS = 16
_RESERVATIONS = 5


def count_prompts(
    count: CountTokens, system_instruction: str, prompts: dict[str, Contents]
) -> dict[str, int]:
    """Tokens of each prompt with the system instruction, several counted at a time."""
    if not prompts:
        return {}
    instruction = count([user_message(system_instruction)]) if system_instruction else 0
    with ThreadPoolExecutor(_COUNTERS, thread_name_prefix="count-tokens") as pool:
        turns = ([dict(turn) for turn in contents] for contents in prompts.values())
        counts = pool.map(count, turns)
        return {key: tokens + instruction for key, tokens in zip(prompts, counts, strict=True)}


@contextmanager
def paying(
    purse: Purse, work: str, requests: Requests, tokens: dict[str, int]
) -> Iterator[tuple[Payment, dict[str, str]]]:
    """Reserve what the admitted prompts may cost; the payment, and why others are refused.

    Another run may reserve between the look at the ledger and the reservation: then prompts are
    admitted again, by what is left.
    """
    ledger, prices = purse.ledger(), purse.prices()
    for attempt in range(1, _RESERVATIONS + 1):
        run, month = ledger.taken(work, purse.run_id)
        reasons = refuse_over_budget(
            list(tokens.values()), requests, purse.budget, prices, run, month
        )
        refused = {key: reason for key, reason in zip(tokens, reasons, strict=True) if reason}
        admitted = [count for key, count in tokens.items() if key not in refused]
        with ExitStack() as stack:
            try:
                payment = stack.enter_context(
                    purse.paying(
                        work,
                        stage=requests.stage,
                        model=requests.model,
                        estimate=requests.estimate(admitted, prices),
                        tuned=requests.tuned,
                        batch=requests.batch,
                        grounded=requests.grounded,
                        of_lifecycle=False,
                    )
                )
            except BudgetExceededError:
                if attempt == _RESERVATIONS:
                    raise
                continue
            yield payment, refused
            return
