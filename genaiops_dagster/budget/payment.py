"""A paid step from reservation to record: nothing is paid that was not reserved before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genaiops_dagster.budget.ledger import Ledger
from genaiops_dagster.budget.limits import require_within_budget
from genaiops_dagster.budget.pricing import PriceList, token_cost
from genaiops_dagster.budget.spend import Spend, record_spend
from genaiops_dagster.records.budget import CostEstimate, Stage
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.record import find_record
from genaiops_dagster.use_case.budget import Budget

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.google_cloud.warehouse import Warehouse

_FLUSH_SECONDS = 10.0


@dataclass
class Usage:
    """What requests used; `cached_tokens` are some of `input_tokens`."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    fixed_usd: float = 0.0

    def add(
        self,
        requests: int,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        fixed_usd: float = 0.0,
    ) -> None:
        """Count more; `fixed_usd` is what has a price of its own, such as storage."""
        self.requests += requests
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cached_tokens += cached_tokens
        self.fixed_usd += fixed_usd


Price = Callable[[Usage], float | None]
"""US dollars of what was used; None when no price is known."""


class Payment:
    """A reservation that is being spent.

    Args:
        ledger: Where it is reserved.
        work: What is paid.
        run_id: Dagster run that pays.
        price: What usage costs.
        clock: Tells when the ledger is due.
    """

    def __init__(self, ledger: Ledger, work: str, run_id: str, price: Price, clock: Clock) -> None:
        self._ledger, self._work, self._run_id, self._price = ledger, work, run_id, price
        self._clock = clock
        self._pending = Usage()
        self._flushed_at = clock.elapsed()
        self.total = Usage()

    def add(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        requests: int = 1,
        cached_tokens: int = 0,
        fixed_usd: float = 0.0,
    ) -> None:
        """Count what was used; goes to the ledger every ten seconds and at the end."""
        for usage in (self._pending, self.total):
            usage.add(requests, input_tokens, output_tokens, cached_tokens, fixed_usd)
        if self._clock.elapsed() - self._flushed_at >= _FLUSH_SECONDS:
            self.flush()

    @property
    def cost_usd(self) -> float | None:
        """Price of all that was counted; None when no price is known."""
        return self._price(self.total)

    def flush(self) -> None:
        """Write what was counted since the last time to the ledger."""
        used, self._pending = self._pending, Usage()
        if used.requests or used.fixed_usd:
            usd = self._price(used) or 0.0
            self._ledger.spend(
                self._work, self._run_id, usd, used.input_tokens + used.output_tokens
            )
        self._flushed_at = self._clock.elapsed()


def require_affordable_run(store: ObjectStore, use_case: str, budget: Budget) -> None:
    """Stop where the run that a paid step is part of may not be paid, as it was last estimated.

    A failed check stops only the run that it is in; without this the assets of a refused run could
    be bought one by one.

    Raises:
        BudgetExceededError: the latest estimate breaks a limit of the use case as it is now.
    """
    estimate = find_record(store, CostEstimate, use_case, "cost_estimate")
    if estimate is not None:
        require_within_budget(estimate, budget)


@dataclass(frozen=True)
class Purse:
    """What the paid steps of one run need in order to reserve, spend and record.

    Attributes:
        use_case: Name of the use case.
        budget: Its limits and prices.
        store: Bucket of the ledger.
        warehouse: Dataset of the table `spend`.
        clock: Tells the month, and when the ledger is due.
        run_id: Dagster run that pays.
    """

    use_case: str
    budget: Budget
    store: ObjectStore
    warehouse: Warehouse
    clock: Clock
    run_id: str

    def prices(self) -> PriceList:
        """What requests cost that are made now."""
        return PriceList(self.clock.now(), self.budget.prices)

    def ledger(self) -> Ledger:
        """The ledger of the present month."""
        return Ledger(self.store, self.use_case, self.budget, self.clock)

    @contextmanager
    def paying(
        self,
        work: str,
        *,
        stage: Stage,
        model: str,
        estimate: CostEstimate,
        tuned: bool = False,
        batch: bool = False,
        grounded: bool = False,
        of_lifecycle: bool = True,
    ) -> Iterator[Payment]:
        """Reserve what a step may cost, let it be spent, and record what it did cost.

        What was used is recorded also when the step fails.

        Args:
            work: Identifies what is paid; the same work of the same run is recorded once.
            stage: Part of the run.
            model: Base model by which it is priced.
            estimate: What the step may cost.
            tuned: Whether a model is asked that was tuned from `model`.
            batch: Whether the requests are a batch job, which costs less.
            grounded: Whether each request searches the web, which costs more.
            of_lifecycle: Whether the step is part of the run that `cost_estimate` is of; serving
                goes on when the next tuning would cost too much.

        Raises:
            BudgetExceededError: a limit would be broken; nothing was reserved.
        """
        if (estimate.maximum_usd or estimate.maximum_tokens) and of_lifecycle:
            require_affordable_run(self.store, self.use_case, self.budget)
        ledger = self.ledger()
        ledger.reserve(work, self.run_id, estimate)

        prices = self.prices()

        def price(used: Usage) -> float | None:
            usd = token_cost(
                model,
                used.input_tokens,
                used.output_tokens,
                tuned=tuned,
                requests=used.requests,
                cached_tokens=used.cached_tokens,
                searches=used.requests if grounded else 0,
                batch=batch,
                prices=prices,
            )
            return None if usd is None else usd + used.fixed_usd

        payment = Payment(ledger, work, self.run_id, price, self.clock)
        try:
            yield payment
        finally:
            payment.flush()
            ledger.release(work, self.run_id)
            used = payment.total
            if used.requests:
                spend = Spend(
                    id=f"{work}@{self.run_id}",
                    use_case=self.use_case,
                    stage=stage,
                    run_id=self.run_id,
                    model=model,
                    requests=used.requests,
                    input_tokens=used.input_tokens,
                    output_tokens=used.output_tokens,
                    cost_usd=price(used),
                    emulated=estimate.emulated,
                )
                record_spend(self.warehouse, [spend], self.clock.now())
