"""Which limits a payment breaks, and what is reserved while it is made."""

from __future__ import annotations

import pytest

from genaiops_dagster.budget.ledger import Usage, spend_by_month
from genaiops_dagster.budget.limits import (
    NOTHING,
    BudgetExceededError,
    Spent,
    broken_limits,
    require_current,
    sweep_refusals,
    too_long,
)
from genaiops_dagster.use_case.budget import Budget
from genaiops_dagster.use_case.tuning import Sweep
from tests.budget.conftest import estimate, stage
from tests.machines.cloud import Cloud


@pytest.mark.parametrize(
    ("limit", "run", "month", "broken"),
    [
        ({"per_run_usd": 3.0}, Spent(1.0), NOTHING, False),
        ({"per_run_usd": 3.0}, Spent(1.1), NOTHING, True),
        ({"per_run_tokens": 300}, Spent(0.0, 100), NOTHING, False),
        ({"per_run_tokens": 300}, Spent(0.0, 101), NOTHING, True),
        ({"per_month_usd": 3.0}, NOTHING, Spent(1.0), False),
        ({"per_month_usd": 3.0}, NOTHING, Spent(1.1), True),
        ({"per_month_tokens": 300}, NOTHING, Spent(0.0, 100), False),
        ({"per_month_tokens": 300}, NOTHING, Spent(0.0, 101), True),
    ],
)
def test_a_limit_is_reached_and_not_broken(
    limit: dict[str, float], run: Spent, month: Spent, broken: bool
) -> None:
    found = broken_limits(estimate(stage(2.0)), Budget.model_validate(limit), run, month)
    assert bool(found) == broken


def test_what_is_paid_already_is_charged_to_a_month_once() -> None:
    """The run's own limits are for all of it, the month's for what is still to be paid."""
    budget = Budget(per_month_usd=3.0, per_month_tokens=500, per_run_usd=1.5)
    whole, left = estimate(stage(1.0), stage(1.0)), estimate(stage(1.0))
    month = Spent(2.0, 300)
    assert len(broken_limits(whole, budget, month=month)) == 3
    [only] = broken_limits(whole, budget, month=month, left=left)
    assert "per_run_usd" in only.sentence


@pytest.mark.parametrize(("maximum", "refused"), [(2.0, False), (1.99, True)])
def test_the_jobs_of_a_sweep_have_a_limit_of_their_own(maximum: float, refused: bool) -> None:
    jobs = [stage(1.0, stage="tuning", candidate=name) for name in ("epochs_2", "epochs_4")]
    whole = estimate(*jobs, stage(5.0, stage="tuning"), stage(5.0, candidate="epochs_2"))
    found = sweep_refusals(whole, Sweep(epochs=[2, 4], maximum_usd=maximum))
    assert bool(found) == refused
    assert sweep_refusals(whole, None) == []


@pytest.mark.parametrize(("tokens", "found"), [(1_048_576, 0), (1_048_577, 1)])
def test_a_request_may_fill_the_context_window(tokens: int, found: int) -> None:
    assert len(too_long(estimate(stage(largest_request_tokens=tokens)))) == found


def test_an_estimate_of_something_else_is_not_enough() -> None:
    require_current(estimate(), training_digest="training", prompt_digest="prompt")
    with pytest.raises(BudgetExceededError, match=r"\(prompt_digest differs\)"):
        require_current(estimate(), training_digest="training", prompt_digest="another")


@pytest.mark.parametrize(("seconds", "usd"), [(0, 4.0), (299, 4.0), (300, 2.0)])
def test_a_reservation_stands_until_its_run_was_silent_for_five_minutes(
    seconds: float, usd: float
) -> None:
    cloud = Cloud()
    ledger = cloud.ledger("words", Budget())
    ledger.reserve("evaluation/1", "dead", estimate(stage(2.0)))
    cloud.simulation.seconds += seconds
    ledger.reserve("evaluation/1", "next", estimate(stage(2.0)))
    assert ledger.read().taken().usd == usd


def test_what_is_only_reserved_was_not_spent() -> None:
    cloud = Cloud()
    ledger = cloud.ledger("words", Budget())
    ledger.reserve("evaluation/1", "run", estimate(stage(2.0)))
    ledger.set_spent("evaluation/1", "run", 0.5, Usage(1, 10, 5))
    assert ledger.read().taken() == Spent(2.0, 200)
    [spend] = spend_by_month(cloud.store, "words")
    assert (spend.month, spend.stage, spend.usd) == ("2026-11", "evaluation", 0.5)
