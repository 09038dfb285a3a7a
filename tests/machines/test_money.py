"""Money: what is reserved, spent and recorded, whatever is lost on the way."""

from __future__ import annotations

from collections import defaultdict

import pytest
from google.api_core.exceptions import GoogleAPICallError
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from genaiops_dagster.budget.ledger import STALE_SECONDS, Month, Usage
from genaiops_dagster.budget.limits import BudgetExceededError
from genaiops_dagster.budget.payment import Purse, Receipt
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.use_case.budget import Budget
from tests.machines.machine import Machine
from tests.machines.running import run
from tests.machines.simulation import Worker

LIMIT = 5.0
BUDGET = Budget.model_validate(
    {"per_month_usd": LIMIT, "per_run_usd": LIMIT, "prices": {"m": {"input": 1e6, "output": 0.0}}}
)
"""A token in costs a dollar."""


def estimate(usd: float) -> CostEstimate:
    return CostEstimate(
        use_case="u",
        training_digest="",
        evaluation_digest="",
        prompt_digest="",
        stages=[],
        tokens=0,
        cost_usd=usd,
        maximum_usd=usd,
        maximum_tokens=int(usd),
        error_share=0.0,
        unknown_prices=[],
        emulated=False,
    )


class Money(Machine):
    """Runs that pay for pieces of work, of which several may want the same at once."""

    patience = STALE_SECONDS

    def __init__(self) -> None:
        super().__init__()
        self.answered: dict[str, int] = defaultdict(int)
        self.kept: list[Receipt] = []
        self.works: set[str] = set()
        self.runs = 0
        self.month = Month()

    @precondition(lambda self: self.has_room)
    @rule(work=st.integers(0, 1), answers=st.integers(1, 3))
    def pay(self, work: int, answers: int) -> None:
        """A run pays for some answers."""
        self._begin(f"evaluation/{work}", answers)

    @precondition(lambda self: self.has_room)
    @rule(work=st.integers(0, 1))
    def retry(self, work: int) -> None:
        """The step of a run that died is tried again, as the same run."""
        running = {worker.name.partition(" ")[0] for worker in self.simulation.running}
        gone = sorted(set(self.answered) - running)
        if gone:
            self._begin(f"evaluation/{work}", 1, gone[0])

    def _begin(self, work: str, answers: int, run_id: str = "") -> Worker:
        self.works.add(work)
        self.runs += 1
        run_id, kept = run_id or f"run-{self.runs}", [*self.kept]
        return self.begin(run_id, lambda clock: self._pay(clock, work, run_id, answers, kept))

    def _pay(self, clock: Clock, work: str, run_id: str, answers: int, kept: list[Receipt]) -> str:
        """What an evaluation does: settle what others left, reserve, ask and keep, record."""
        purse = self._purse(clock, run_id)
        purse.settle(kept, emulated=False)
        with purse.paying(
            work, stage="evaluation", model="m", estimate=estimate(answers + 0.5)
        ) as payment:
            for _ in range(answers):
                clock.sleep(6.0)
                self.answered[run_id] += 1
                self.kept.append(payment.receipt(Usage(1, 1)))
                payment.add(Usage(1, 1))
        return run_id

    def _purse(self, clock: Clock, run_id: str) -> Purse:
        return Purse("u", BUDGET, self.cloud.store, self.cloud.warehouse, clock, run_id)

    def holds(self) -> None:
        before, self.month = self.month, self.cloud.ledger("u", BUDGET).read()
        entries = {entry.key: entry for entry in self.month.entries}
        for entry in before.entries:
            assert entry.key in entries, "an entry is gone"
            assert entries[entry.key].spent_usd >= entry.spent_usd, "less was spent than before"
        was = {entry.key: entry.reserved_usd for entry in before.entries}
        if any(e.reserved_usd > was.get(e.key, 0.0) for e in self.month.entries):
            assert self.month.taken().usd <= LIMIT, "more was reserved than there was"
        for run_id, answers in self.answered.items():
            assert self._spent(run_id) <= answers + 1e-9, f"{run_id}: more than it was charged"
        for run_id in self._completed():
            assert self._spent(run_id) == pytest.approx(self.answered[run_id])
            reserved = [e for e in self.month.entries if e.run_id == run_id and e.reserved_usd]
            assert not reserved, f"{run_id} keeps a reservation"

    def _completed(self) -> list[str]:
        """Runs all of whose attempts ended well."""
        workers = self.simulation.workers
        others = {w.name.partition(" ")[0] for w in workers if not isinstance(w.result, str)}
        return sorted({w.result for w in workers if isinstance(w.result, str)} - others)

    def _spent(self, run_id: str) -> float:
        """What the ledger knows of."""
        return sum(entry.spent_usd for entry in self.month.entries if entry.run_id == run_id)

    def _recorded(self, run_id: str) -> float:
        """What the table `spend` knows of."""
        rows = self.cloud.bigquery.rows("spend")
        return sum(row["cost_usd"] for row in rows if row["run_id"] == run_id)

    def redo(self) -> None:
        self.holds()
        rows = {row["id"]: row["cost_usd"] for row in self.cloud.bigquery.rows("spend")}
        for entry in self.month.entries:
            if entry.recorded:
                work, run_id, attempt = entry.key
                found = rows.get(f"{work}@{run_id}#{attempt}", 0.0)
                assert found == pytest.approx(entry.spent_usd), "recorded, says the ledger"
        self.simulation.seconds += STALE_SECONDS
        for work in sorted(self.works):
            last = self._begin(work, 1)
            self.simulation.rest()
            self.holds()
            others = sum(e.reserved_usd for e in self.month.entries if e.work != work)
            spent = sum(entry.spent_usd for entry in self.month.entries)
            others = sum(e.reserved_usd for e in self.month.entries if e.work != work)
            if last.error is None:
                self._require_settled(work)
            elif spent + others + 1.5 <= LIMIT:
                raise AssertionError("refused for what the dead have reserved") from last.error
        purse = self._purse(self.simulation.clock_of(), "end")
        purse.settle(self.kept, emulated=False)
        purse.close(self.works, emulated=False)

    def _require_settled(self, work: str) -> None:
        """After one more attempt at a work nothing of those before it is open."""
        of_work = [entry for entry in self.month.entries if entry.work == work]
        assert not [entry for entry in of_work if entry.reserved_usd], "a reservation of the dead"
        rows = self.cloud.bigquery.rows("spend")
        recorded = sum(row["cost_usd"] for row in rows if row["id"].startswith(f"{work}@"))
        kept = sum(receipt.usd for receipt in self.kept if receipt.work == work)
        assert sum(entry.spent_usd for entry in of_work) == pytest.approx(kept)
        assert recorded == pytest.approx(kept)

    def holds_at_rest(self) -> None:
        assert not [entry for entry in self.month.entries if entry.reserved_usd], "nobody owns it"
        for run_id, answers in self.answered.items():
            assert self._spent(run_id) == pytest.approx(answers), f"{run_id} in the ledger"
            assert self._recorded(run_id) == pytest.approx(answers), f"{run_id} in the table"
        for worker in self.simulation.workers:
            expected = (GoogleAPICallError, BudgetExceededError)
            assert worker.error is None or isinstance(worker.error, expected), worker.error


def test_money(histories: int) -> None:
    run(Money, histories)
