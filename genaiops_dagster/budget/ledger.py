"""What is reserved and what was spent this month: the ledger that concurrent runs share.

It is one object in the bucket for each use case and month, changed by compare-and-set alone, so
that two runs that reserve at the same moment cannot both take what is left. Before a paid step its
price at most is reserved; while it goes on, and when it ends, the real price takes the place of the
reservation. A process that is killed leaves its reservation behind: it counts until the same work
is reserved again, which may take it over when nothing was heard of its run for `STALE_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from genaiops_dagster.budget.limits import Spent, require_within_budget
from genaiops_dagster.google_cloud.object_store import ObjectChangedError
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import (
    Record,
    find_object,
    from_json,
    require_rewritable,
    to_json,
)
from genaiops_dagster.use_case.budget import Budget

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

STALE_SECONDS = 300.0
_PATIENCE_SECONDS = 120.0
"""How long a change is tried again while others change the same month."""


class Entry(Record):
    """What one run reserved and spent for one piece of work.

    Attributes:
        work: What is paid, such as a tuning recipe's fingerprint.
        run_id: Dagster run that pays.
        reserved_usd, reserved_tokens: What may still be spent.
        spent_usd, spent_tokens: What was; an unknown price counts as nothing.
        updated: When this was written, in seconds since 1970.
    """

    work: str
    run_id: str
    reserved_usd: float = 0.0
    reserved_tokens: int = 0
    spent_usd: float = 0.0
    spent_tokens: int = 0
    updated: float

    @property
    def taken(self) -> Spent:
        """Reserved and spent together."""
        return Spent(self.reserved_usd + self.spent_usd, self.reserved_tokens + self.spent_tokens)


class Month(Record):
    """The ledger of one month: the content of `<use case>/budget/<month>.json`."""

    entries: list[Entry] = Field(default_factory=list)

    def taken(self, run_id: str | None = None) -> Spent:
        """Reserved and spent of one run, or of all."""
        counted = [e.taken for e in self.entries if run_id in (None, e.run_id)]
        return Spent(sum(s.usd for s in counted), sum(s.tokens for s in counted))

    def without(self, work: str, run_id: str, now: float, *, settled: bool) -> Month:
        """Without reservations for `work` that no longer hold.

        Those are the run's own earlier one, and others' that nothing was heard of for long, or
        all others' once the work is `settled`. What was spent under them stays.
        """
        return Month(
            entries=[
                entry.model_copy(update={"reserved_usd": 0.0, "reserved_tokens": 0})
                if entry.work == work
                and (settled or entry.run_id == run_id or now - entry.updated >= STALE_SECONDS)
                else entry
                for entry in self.entries
            ]
        )

    def entry(self, work: str, run_id: str) -> Entry:
        """The entry of a run's work; an empty one where there is none."""
        found = (e for e in self.entries if (e.work, e.run_id) == (work, run_id))
        return next(found, Entry(work=work, run_id=run_id, updated=0.0))

    def replace(self, entry: Entry) -> Month:
        """With `entry` in place of the one of the same work and run."""
        others = [e for e in self.entries if (e.work, e.run_id) != (entry.work, entry.run_id)]
        return Month(entries=[*others, entry])


@dataclass(frozen=True)
class MonthlySpend:
    """US dollars that were spent on one stage in one month."""

    month: str
    stage: str
    usd: float


class Ledger:
    """The ledger of one use case.

    Args:
        store: Bucket of the ledger.
        use_case: Name of the use case.
        budget: Its limits.
        clock: Tells the month, and how old a reservation is.
        month: As `2026-11`; the present one (UTC) by default. Work that was reserved in one month
            and ends in the next is settled where it was reserved.
    """

    def __init__(
        self,
        store: ObjectStore,
        use_case: str,
        budget: Budget,
        clock: Clock,
        month: str | None = None,
    ) -> None:
        self._store = store
        self._budget = budget
        self._clock = clock
        self.month = month or clock.now().strftime("%Y-%m")
        self.name = Layout(use_case).ledger(self.month)

    def read(self) -> Month:
        """The month as it stands."""
        return find_object(self._store, self.name, Month) or Month()

    def taken(self, work: str, run_id: str) -> tuple[Spent, Spent]:
        """What counts against a new reservation of `work`: of the run, and of all this month."""
        freed = self.read().without(work, run_id, self._now(), settled=False)
        return freed.taken(run_id), freed.taken()

    def reserve(self, work: str, run_id: str, estimate: CostEstimate) -> None:
        """Take `estimate.maximum_usd` from what is left, or refuse.

        Reserving the same work of the same run again replaces the reservation.

        Raises:
            BudgetExceededError: a limit would be broken; nothing was reserved.
        """

        def change(month: Month) -> Month:
            now = self._now()
            freed = month.without(work, run_id, now, settled=False)
            require_within_budget(estimate, self._budget, freed.taken(run_id), freed.taken())
            return freed.replace(
                freed.entry(work, run_id).model_copy(
                    update={
                        "reserved_usd": estimate.maximum_usd,
                        "reserved_tokens": estimate.maximum_tokens,
                        "updated": now,
                    }
                )
            )

        self._change(change)

    def spend(self, work: str, run_id: str, usd: float, tokens: int) -> None:
        """Move an amount from what is reserved to what was spent, while the work goes on."""

        def change(month: Month) -> Month:
            entry = month.entry(work, run_id)
            return month.replace(
                entry.model_copy(
                    update={
                        "reserved_usd": max(0.0, entry.reserved_usd - usd),
                        "reserved_tokens": max(0, entry.reserved_tokens - tokens),
                        "spent_usd": entry.spent_usd + usd,
                        "spent_tokens": entry.spent_tokens + tokens,
                        "updated": self._now(),
                    }
                )
            )

        self._change(change)

    def release(self, work: str, run_id: str) -> None:
        """Give back what is still reserved for the work of a run."""
        self._change(lambda month: month.without(work, run_id, 0.0, settled=False))

    def settle_once(self, work: str, run_id: str, usd: float, tokens: int) -> None:
        """Set what was spent for work that is paid once, whichever run finds it done."""

        def change(month: Month) -> Month:
            now = self._now()
            freed = month.without(work, run_id, now, settled=True)
            if any(e.work == work and e.spent_tokens for e in month.entries):
                return freed
            return freed.replace(
                freed.entry(work, run_id).model_copy(
                    update={"spent_usd": usd, "spent_tokens": tokens, "updated": now}
                )
            )

        self._change(change)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _change(self, change: Callable[[Month], Month]) -> None:
        """Apply `change` to the month as it stands, however many others do the same.

        Raises:
            NewerRecordError: a later release writes this ledger; nothing was changed.
        """
        import tenacity

        deadline = self._clock.elapsed() + _PATIENCE_SECONDS
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ObjectChangedError),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=2),
            stop=lambda _: self._clock.elapsed() >= deadline,
            sleep=self._clock.sleep,
            reraise=True,
        ):
            with attempt:
                found = self._store.read_with_generation(self.name)
                content, generation = found or (to_json(Month()), 0)
                where = self._store.uri(self.name)
                month = from_json(Month, content, where)
                changed = change(month)
                if changed == month:
                    return
                require_rewritable(Month, content, where)
                self._store.compare_and_set(self.name, to_json(changed), generation)


def spend_by_month(store: ObjectStore, use_case: str) -> list[MonthlySpend]:
    """What was spent in each month that has a ledger, stage by stage, oldest first."""
    found = []
    for item in store.list(Layout(use_case).ledgers):
        ledger = find_object(store, item.name, Month) or Month()
        stages: dict[str, float] = {}
        for entry in ledger.entries:
            stage = entry.work.partition("/")[0]
            stages[stage] = stages.get(stage, 0.0) + entry.spent_usd
        month = item.name.rsplit("/", 1)[-1].removesuffix(".json")
        found += [MonthlySpend(month, stage, usd) for stage, usd in sorted(stages.items()) if usd]
    return found
