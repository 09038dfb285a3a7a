"""A paid step from reservation to record: nothing is paid that was not reserved before."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genaiops_dagster.budget.ledger import Entry, Key, Ledger, Usage
from genaiops_dagster.budget.limits import require_within_budget
from genaiops_dagster.budget.pricing import PriceList, token_cost
from genaiops_dagster.budget.spend import Spend, record_spend
from genaiops_dagster.google_cloud.bookkeeping import bookkeeping
from genaiops_dagster.records.budget import CostEstimate, Stage
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.record import find_record
from genaiops_dagster.use_case.budget import Budget

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.google_cloud.warehouse import Warehouse

_FLUSH_SECONDS = 10.0


Price = Callable[[Usage], float | None]
"""US dollars of what was used; None when no price is known."""


@dataclass(frozen=True)
class Receipt:
    """The payment of one request; stored with its answer.

    With it, what a process spent is known although it was killed before it could say so.

    Attributes:
        month: Ledger in which it was reserved.
        work, run_id, attempt: Who paid, as in the ledger.
        usd: Price in US dollars; an unknown one counts as nothing.
        requests, input_tokens, output_tokens: What was used.
    """

    month: str
    work: str
    run_id: str
    attempt: str
    usd: float
    requests: int
    input_tokens: int
    output_tokens: int

    @property
    def key(self) -> Key:
        """Work, run and attempt."""
        return self.work, self.run_id, self.attempt


class Payment:
    """A reservation that is being spent.

    It writes totals to the ledger, not what came since the last time: a write that is repeated
    because its answer was lost counts once.
    """

    def __init__(self, ledger: Ledger, key: Key, price: Price, clock: Clock) -> None:
        self._ledger, self._key, self._price, self._clock = ledger, key, price, clock
        self._written = Usage()
        self._flushed_at = clock.elapsed()
        self.total = Usage()

    def receipt(self, used: Usage) -> Receipt:
        """The receipt of a request with this usage."""
        usd = self._price(used) or 0.0
        return Receipt(
            self._ledger.month,
            *self._key,
            usd,
            used.requests,
            used.input_tokens,
            used.output_tokens,
        )

    def add(self, used: Usage) -> None:
        """Count what was used; goes to the ledger every ten seconds and at the end."""
        self.total += used
        if self._clock.elapsed() - self._flushed_at >= _FLUSH_SECONDS:
            self.flush()

    @property
    def cost_usd(self) -> float | None:
        """Price of all that was counted; None when no price is known."""
        return self._price(self.total)

    def flush(self) -> None:
        """Write what was counted to the ledger."""
        self._flushed_at = self._clock.elapsed()
        counted = self.total
        if counted == self._written:
            return
        work, run_id, attempt = self._key
        self._ledger.set_spent(work, run_id, self._price(counted) or 0.0, counted, attempt)
        self._written = counted


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
    """Lets the paid steps of one run reserve, spend and record.

    Attributes:
        use_case: Name of the use case.
        budget: Its limits and prices.
        store: Bucket of the ledger.
        warehouse: Dataset of the table `spend`.
        clock: Gives the month, and says when the ledger has to be written.
        run_id: Dagster run that pays.
    """

    use_case: str
    budget: Budget
    store: ObjectStore
    warehouse: Warehouse
    clock: Clock
    run_id: str

    def prices(self) -> PriceList:
        """The prices of requests that are made now."""
        return PriceList(self.clock.now(), self.budget.prices)

    def ledger(self, month: str | None = None) -> Ledger:
        """The ledger of a month, by default of the present one."""
        return Ledger(self.store, self.use_case, self.budget, self.clock, month)

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

        What was used is recorded also when the step fails, with its own error; what an attempt
        before it used that was killed, or could not record it, is recorded now.

        Args:
            work: Identifies what is paid; each attempt at the same work has a row of its own in the
                table `spend`.
            stage: Part of the run.
            model: Base model by which it is priced.
            estimate: What the step may cost.
            tuned: Whether requests go to a model that was tuned from `model`.
            batch: Whether the requests are a batch job, which costs less.
            grounded: Whether each request searches the web, which costs more.
            of_lifecycle: Whether the step is part of the run that `cost_estimate` is of; serving
                goes on when the next tuning would cost too much.

        Raises:
            BudgetExceededError: a limit would be broken; nothing was reserved.
        """
        if (estimate.maximum_usd or estimate.maximum_tokens) and of_lifecycle:
            require_affordable_run(self.store, self.use_case, self.budget)
        ledger, attempt = self.ledger(), _new_id()
        killed = ledger.reserve(work, self.run_id, estimate, attempt, model)

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

        payment = Payment(ledger, (work, self.run_id, attempt), price, self.clock)

        def finish() -> None:
            payment.flush()
            used, recorded = payment.total, True
            if used != Usage():
                spend = Spend(
                    id=_spend_id((work, self.run_id, attempt)),
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
                recorded = record_spend(self.warehouse, [spend], self.clock.now())
            ledger.release(work, self.run_id, attempt, recorded=recorded)
            self._record(ledger, killed, attempt, emulated=estimate.emulated)

        try:
            yield payment
        except BaseException:
            with bookkeeping(f"The ledger of {work}", "The next attempt at it settles that."):
                finish()
            raise
        finish()

    def settle(self, receipts: Iterable[Receipt], *, emulated: bool) -> None:
        """Record what the receipts show and a killed process did not record.

        Args:
            receipts: All that are stored with some answers, each once.
            emulated: Whether the emulator gave the answers.
        """
        months: dict[str, dict[Key, tuple[float, Usage]]] = {}
        for one in receipts:
            month = months.setdefault(one.month, {})
            usd, used = month.get(one.key, (0.0, Usage()))
            paid = Usage(one.requests, one.input_tokens, one.output_tokens)
            month[one.key] = (usd + one.usd, used + paid)
        for name, totals in months.items():
            ledger, recorder = self.ledger(name), _new_id()
            late = ledger.understated(totals)
            if late:
                self._record(ledger, ledger.set_totals(late, recorder), recorder, emulated=emulated)

    def close(self, works: Collection[str], *, emulated: bool) -> None:
        """Release what is reserved for work that is done, and record what was spent on it."""
        ledger, recorder = self.ledger(), _new_id()
        killed = ledger.close(works, self.run_id, recorder)
        self._record(ledger, killed, recorder, emulated=emulated)

    def _record(
        self, ledger: Ledger, entries: Collection[Entry], recorder: str, *, emulated: bool
    ) -> None:
        """Record what others spent who seem to be over, until none of them has spent more.

        Where the table cannot be written, the ledger goes on to say that they are not recorded.
        """
        while entries:
            spent = [self._spend(entry, emulated=emulated) for entry in entries]
            if not record_spend(self.warehouse, spent, self.clock.now()):
                return
            entries = ledger.mark_recorded(entries, recorder)

    def _spend(self, entry: Entry, *, emulated: bool) -> Spend:
        return Spend(
            id=_spend_id(entry.key),
            use_case=self.use_case,
            stage=entry.work.partition("/")[0],
            run_id=entry.run_id,
            model=entry.model,
            requests=entry.requests,
            input_tokens=entry.input_tokens,
            output_tokens=entry.output_tokens,
            cost_usd=entry.spent_usd,
            emulated=emulated,
        )


def _new_id() -> str:
    return uuid.uuid4().hex[:8]


def _spend_id(key: Key) -> str:
    """Identifies an attempt's row in the table `spend`."""
    work, run_id, attempt = key
    return f"{work}@{run_id}#{attempt}" if attempt else f"{work}@{run_id}"
