"""The ledger that concurrent runs share: what is reserved and what was spent this month.

It is one object in the bucket for each use case and month, changed by compare-and-set alone, so
that two runs that reserve at the same moment cannot both take what is left. Before a paid step its
highest price is reserved; while the step runs, and when it ends, the real price replaces the
reservation. A process that is killed leaves its reservation behind: it counts until the same work
is reserved again, which may take it over when its run has been silent for `STALE_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from pydantic import Field

from genaiops_dagster.budget.limits import NOTHING, Spent, require_within_budget
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
_FEWEST_ATTEMPTS = 8
"""A change is tried so often however slow storage is."""

Key = tuple[str, str, str]
"""Work, run and attempt."""

_PATIENCE_SECONDS = 120.0
"""How long a change is tried again while others change the same month."""


class Entry(Record):
    """The reservation and spending of one attempt at one piece of work.

    Attributes:
        work: What is paid, such as a tuning recipe's fingerprint.
        run_id: Dagster run that pays.
        attempt: Identifies the attempt, where a run may try the work several times.
        model: Base model by which it is priced; empty in entries of earlier releases.
        reserved_usd, reserved_tokens: What may still be spent.
        spent_usd, spent_tokens: What was; an unknown price counts as nothing.
        requests, input_tokens, output_tokens: What that was spent on.
        recorded: Whether the table `spend` has what was spent.
        recorder: Attempt that records it in place of this one, which seemed to be over; empty if
            there is none.
        updated: When this was written, in seconds since 1970.
    """

    work: str
    run_id: str
    attempt: str = ""
    model: str = ""
    reserved_usd: float = 0.0
    reserved_tokens: int = 0
    spent_usd: float = 0.0
    spent_tokens: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    recorded: bool = False
    recorder: str = ""
    updated: float

    @property
    def key(self) -> Key:
        """Work, run and attempt, which no two entries share."""
        return self.work, self.run_id, self.attempt

    def spend(self, usd: float, tokens: int) -> Entry:
        """With so much spent in all, of which less than before is not believed."""
        more_usd, more_tokens = usd - self.spent_usd, tokens - self.spent_tokens
        return self.model_copy(
            update={
                "reserved_usd": max(0.0, self.reserved_usd - max(0.0, more_usd)),
                "reserved_tokens": max(0, self.reserved_tokens - max(0, more_tokens)),
                "spent_usd": max(usd, self.spent_usd),
                "spent_tokens": max(tokens, self.spent_tokens),
            }
        )

    def free(self) -> Entry:
        """With nothing reserved."""
        return self.model_copy(update={"reserved_usd": 0.0, "reserved_tokens": 0})

    @property
    def taken(self) -> Spent:
        """Reserved and spent together."""
        return Spent(self.reserved_usd + self.spent_usd, self.reserved_tokens + self.spent_tokens)


class Month(Record):
    """The ledger of one month: the content of `<use case>/budget/<month>.json`."""

    entries: list[Entry] = Field(default_factory=list)

    def taken(self, run_id: str | None = None) -> Spent:
        """Reserved and spent of one run, or of all."""
        return sum((e.taken for e in self.entries if run_id in (None, e.run_id)), NOTHING)

    def without(self, work: str, run_id: str, now: float) -> Month:
        """Without reservations for `work` that no longer hold; what was spent under them stays.

        Those are the run's own earlier ones, and others' whose runs have been silent for too long.
        """
        return self.map(lambda e: e.free() if e.work == work and _is_over(e, run_id, now) else e)

    def unrecorded(self, works: Collection[str], run_id: str, now: float) -> list[Entry]:
        """What finished attempts have spent without recording it.

        Those at `works`, of `run_id` or silent for too long; and at any other work those that are
        silent and hold no reservation, as after BigQuery could not be written.
        """

        def is_left(entry: Entry) -> bool:
            if entry.work in works:
                return _is_over(entry, run_id, now)
            return not entry.reserved_usd and _is_over(entry, "", now)

        return [e for e in self.entries if e.requests and not e.recorded and is_left(e)]

    def recorded_by(self, recorder: str, entries: Collection[Entry]) -> Month:
        """With the name of who records some entries; their own run leaves it to them."""
        keys = {entry.key for entry in entries}
        return self.map(
            lambda e: e.model_copy(update={"recorder": recorder}) if e.key in keys else e
        )

    def map(self, change: Callable[[Entry], Entry]) -> Month:
        """With every entry changed."""
        return Month(entries=[change(entry) for entry in self.entries])

    def entry(self, work: str, run_id: str, attempt: str = "") -> Entry:
        """The entry of a run's work; an empty one where there is none."""
        found = (e for e in self.entries if e.key == (work, run_id, attempt))
        return next(found, Entry(work=work, run_id=run_id, attempt=attempt, updated=0.0))

    def replace(self, entry: Entry) -> Month:
        """With `entry` in place of the one of the same work, run and attempt."""
        return Month(entries=[*(e for e in self.entries if e.key != entry.key), entry])


def _is_over(entry: Entry, run_id: str, now: float) -> bool:
    """Whether an attempt is over for a run that begins the same work."""
    return entry.run_id == run_id or now - entry.updated >= STALE_SECONDS


@dataclass
class Usage:
    """The usage of requests; `cached_tokens` are part of `input_tokens`."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    fixed_usd: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.input_tokens + self.output_tokens


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
        clock: Gives the month, and the age of a reservation.
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
        """What a new reservation of `work` adds to: the amounts of the run, and of the month."""
        freed = self.read().without(work, run_id, self._now())
        return freed.taken(run_id), freed.taken()

    def reserve(
        self, work: str, run_id: str, estimate: CostEstimate, attempt: str = "", model: str = ""
    ) -> list[Entry]:
        """Take `estimate.maximum_usd` from what is left, or refuse.

        Reserving the same work of the same run again replaces the reservation.

        Returns:
            What earlier attempts spent without recording it.

        Raises:
            BudgetExceededError: a limit would be broken; nothing was reserved.
        """
        killed: list[Entry] = []

        def change(month: Month) -> Month:
            now = self._now()
            freed = month.without(work, run_id, now)
            require_within_budget(estimate, self._budget, freed.taken(run_id), freed.taken())
            killed[:] = freed.unrecorded([work], run_id, now)
            return freed.recorded_by(attempt, killed).replace(
                freed.entry(work, run_id, attempt).model_copy(
                    update={
                        "model": model,
                        "reserved_usd": estimate.maximum_usd,
                        "reserved_tokens": estimate.maximum_tokens,
                        "updated": now,
                    }
                )
            )

        self._change(change)
        return killed

    def set_spent(
        self, work: str, run_id: str, usd: float, used: Usage, attempt: str = ""
    ) -> Entry:
        """Say what an attempt has spent so far, in all; its reservation shrinks by that.

        Totals only grow, so that saying the same again, as after a lost acknowledgement, changes
        nothing.
        """
        key = (work, run_id, attempt)
        return self.set_totals({key: (usd, used)})[0]

    def set_totals(
        self, totals: Mapping[Key, tuple[float, Usage]], recorder: str = ""
    ) -> list[Entry]:
        """Say what several attempts have spent in all; their entries, with what is known now.

        Args:
            totals: US dollars and usage by attempt.
            recorder: Who records it; the attempts themselves if empty. Only those show by this
                that their process is alive.
        """

        def change(month: Month) -> Month:
            for key, (usd, used) in totals.items():
                entry = month.entry(*key)
                alive = not recorder or not entry.updated
                found = _with_totals(entry, usd, used, self._now() if alive else entry.updated)
                month = month if found == entry else month.replace(found)
            if recorder:
                month = month.recorded_by(recorder, [month.entry(*key) for key in totals])
            return month

        month = self._change(change)
        return [month.entry(*key) for key in totals]

    def understated(
        self, totals: Mapping[Key, tuple[float, Usage]]
    ) -> dict[Key, tuple[float, Usage]]:
        """Those of `totals` that are more than the ledger knows."""
        month = self.read()
        return {
            key: (usd, used)
            for key, (usd, used) in totals.items()
            if _is_more(month.entry(*key), usd, used)
        }

    def release(self, work: str, run_id: str, attempt: str = "", *, recorded: bool = True) -> None:
        """Give back what is still reserved, after what was spent was recorded, or could not be."""

        def change(entry: Entry) -> Entry:
            if entry.key != (work, run_id, attempt):
                return entry
            return entry.free().model_copy(update={"recorded": recorded and not entry.recorder})

        self._change(lambda month: month.map(change))

    def close(self, works: Collection[str], run_id: str, recorder: str) -> list[Entry]:
        """Release what any run has reserved for work that is already done.

        Returns:
            What `recorder` has to record for processes that were killed.
        """
        killed: list[Entry] = []

        def change(month: Month) -> Month:
            killed[:] = month.unrecorded(works, run_id, self._now())
            freed = month.map(lambda e: e.free() if e.work in works else e)
            return freed.recorded_by(recorder, killed)

        self._change(change)
        return killed

    def mark_recorded(self, entries: Collection[Entry], recorder: str) -> list[Entry]:
        """Note that the table `spend` has these entries as they are here.

        Returns:
            Those that have changed since, as they are now: they are to be recorded again.
        """
        amounts = {entry.key: (entry.spent_usd, entry.spent_tokens) for entry in entries}

        def mark(entry: Entry) -> Entry:
            same = amounts.get(entry.key) == (entry.spent_usd, entry.spent_tokens)
            if not same or entry.recorder != recorder:
                return entry
            return entry.model_copy(update={"recorded": True})

        month = self._change(lambda month: month.map(mark))
        now = [month.entry(*key) for key in amounts]
        return [e for e in now if amounts[e.key] != (e.spent_usd, e.spent_tokens)]

    def settle_once(self, work: str, run_id: str, usd: float, tokens: int) -> None:
        """Set what was spent for work that is paid once, whichever run finds it done."""

        def change(month: Month) -> Month:
            freed = month.map(lambda e: e.free() if e.work == work else e)
            if any(e.work == work and e.spent_tokens for e in month.entries):
                return freed
            return freed.replace(
                freed.entry(work, run_id).model_copy(
                    update={"spent_usd": usd, "spent_tokens": tokens, "updated": self._now()}
                )
            )

        self._change(change)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _change(self, change: Callable[[Month], Month]) -> Month:
        """Apply `change` to the month as it stands, however many others do the same; the outcome.

        `change` may be applied again to a month that has it already: when the answer to a write is
        lost, it is unknown whether it was written.

        Raises:
            NewerRecordError: a later release writes this ledger; nothing was changed.
        """
        import tenacity

        deadline = self._clock.elapsed() + _PATIENCE_SECONDS
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ObjectChangedError),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=2),
            stop=lambda state: (
                self._clock.elapsed() >= deadline and state.attempt_number >= _FEWEST_ATTEMPTS
            ),
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
                    break
                require_rewritable(Month, content, where)
                self._store.compare_and_set(self.name, to_json(changed), generation)
        return changed


def spent_by_run(store: ObjectStore, use_case: str, run_id: str) -> float:
    """US dollars that a run has spent, in this month and the one before."""
    found = 0.0
    for item in [*store.list(Layout(use_case).ledgers)][-2:]:
        month = find_object(store, item.name, Month) or Month()
        found += sum(entry.spent_usd for entry in month.entries if entry.run_id == run_id)
    return found


def _is_more(entry: Entry, usd: float, used: Usage) -> bool:
    """Whether it is more than an entry says; sums in another order differ in their last digits."""
    return usd > entry.spent_usd + 1e-9 or used.tokens > entry.spent_tokens


def _with_totals(entry: Entry, usd: float, used: Usage, updated: float) -> Entry:
    if not _is_more(entry, usd, used):
        return entry
    counts = ("requests", "input_tokens", "output_tokens")
    return entry.spend(usd, used.tokens).model_copy(
        update={
            **{name: max(getattr(entry, name), getattr(used, name)) for name in counts},
            "recorded": False,
            "updated": updated,
        }
    )


def spend_by_month(store: ObjectStore, use_case: str) -> list[MonthlySpend]:
    """Spending in each month that has a ledger, stage by stage, oldest first."""
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
