"""A paid step: what it costs, when the ledger knows, and what happens when it fails."""

from __future__ import annotations

from typing import Any

import pytest

from genaiops_dagster.budget.ledger import STALE_SECONDS, Usage
from genaiops_dagster.budget.limits import BudgetExceededError
from genaiops_dagster.budget.payment import Purse, Receipt
from genaiops_dagster.budget.pricing import token_cost
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import to_json
from genaiops_dagster.use_case.budget import Budget
from tests.budget.conftest import estimate, stage
from tests.machines.cloud import Cloud

MODEL = "gemini-2.5-flash"


def purse_of(cloud: Cloud, **budget: Any) -> Purse:
    return Purse(
        "words",
        Budget.model_validate(budget),
        cloud.store,
        cloud.warehouse,
        cloud.simulation.clock_of(),
        "run",
    )


def paying(purse: Purse, usd: float = 2.0, model: str = MODEL, **more: Any) -> Any:
    asked = estimate(*([stage(usd)] if usd else []))
    return purse.paying("evaluation/1", stage="evaluation", model=model, estimate=asked, **more)


@pytest.mark.parametrize(
    ("how", "priced"),
    [
        ({}, {}),
        ({"batch": True}, {"batch": True}),
        ({"grounded": True}, {"searches": 10}),
    ],
)
def test_a_payment_is_priced_as_its_requests_are(how: Any, priced: Any) -> None:
    purse = purse_of(Cloud())
    used = Usage(requests=10, input_tokens=4000, output_tokens=500, cached_tokens=1000)
    with paying(purse, **how) as payment:
        payment.add(used)
    expected = token_cost(
        MODEL, 4000, 500, requests=10, cached_tokens=1000, prices=purse.prices(), **priced
    )
    assert payment.cost_usd == pytest.approx(expected)


def test_many_short_prompts_are_not_paid_as_one_long_prompt() -> None:
    purse = purse_of(Cloud())
    with paying(purse, model="gemini-2.5-pro") as payment:
        payment.add(Usage(requests=100, input_tokens=1_000_000))
    assert payment.cost_usd == pytest.approx(1.25)


def test_the_ledger_knows_every_ten_seconds_what_was_spent() -> None:
    cloud = Cloud()
    purse = purse_of(cloud)
    spent = []
    with paying(purse) as payment:
        for _ in range(3):
            cloud.simulation.seconds += 5.0
            payment.add(Usage(1, 100, 10))
            spent.append(sum(entry.requests for entry in purse.ledger().read().entries))
    assert spent == [0, 2, 2]
    assert [entry.requests for entry in purse.ledger().read().entries] == [3]


def test_what_a_step_spent_before_it_failed_is_recorded() -> None:
    cloud = Cloud()
    purse = purse_of(cloud)

    def fail() -> None:
        with paying(purse) as payment:
            payment.add(Usage(1, 100, 10))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    [row] = cloud.bigquery.rows("spend")
    assert row["cost_usd"] == token_cost(MODEL, 100, 10, prices=purse.prices())
    [entry] = purse.ledger().read().entries
    assert (entry.requests, entry.reserved_usd, entry.recorded) == (1, 0.0, True)


def test_a_request_without_a_price_has_a_receipt_that_can_be_settled() -> None:
    purse = purse_of(Cloud(), unknown_price="allow")
    with paying(purse, model="gemini-99") as payment:
        receipt = payment.receipt(Usage(1, 100, 10))
        payment.add(Usage(1, 100, 10))
    assert (receipt.usd, payment.cost_usd) == (0.0, None)
    purse.settle([receipt, receipt], emulated=False)
    assert [entry.requests for entry in purse.ledger().read().entries] == [2]


def test_what_a_dead_process_kept_does_not_make_its_reservation_last() -> None:
    cloud = Cloud()
    dead, later = purse_of(cloud), purse_of(cloud)
    month = dead.ledger()
    month.reserve("evaluation/1", "dead", estimate(stage(5.0)), "attempt", MODEL)
    cloud.simulation.seconds += STALE_SECONDS
    used = Receipt(month.month, "evaluation/1", "dead", "attempt", 1.0, 1, 100, 10)
    later.settle([used], emulated=False)
    month.reserve("evaluation/1", "next", estimate(stage(5.0)), "attempt", MODEL)
    [first] = [entry for entry in month.read().entries if entry.run_id == "dead"]
    assert (first.spent_usd, first.reserved_usd, first.recorded) == (1.0, 0.0, True)


@pytest.mark.parametrize(
    ("usd", "of_lifecycle", "refused"),
    [(1.0, True, True), (1.0, False, False), (0.0, True, False)],
)
def test_no_step_of_a_run_that_costs_too_much_is_paid(
    usd: float, of_lifecycle: bool, refused: bool
) -> None:
    """Serving goes on, and so does what is paid already."""
    cloud = Cloud()
    purse = purse_of(cloud, per_run_usd=10.0)
    whole = to_json(estimate(stage(11.0)))
    cloud.store.write(Layout("words").record("cost_estimate"), whole)
    if refused:
        with pytest.raises(BudgetExceededError, match="per_run_usd"), paying(purse, usd):
            pass
    else:
        with paying(purse, usd, of_lifecycle=of_lifecycle):
            pass
    assert len(purse.ledger().read().entries) == (not refused)
