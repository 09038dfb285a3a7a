"""The log of a use case's promotions: the truth about the champion, as a chain of entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.records import layout
from genaiops_dagster.records.chain import (
    BrokenLogError,
    Chain,
    LogHead,
    LogMovedError,
    parse_chain,
)
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.promotion import Champion, Decision, EntryKind, LogEntry

_TITLE = "the decision log"


def decision_chain(store: ObjectStore, use_case: str) -> Chain[LogEntry]:
    """The chain of a use case's decision log."""
    place = Layout(use_case)
    return Chain(store, LogEntry, _TITLE, place.decisions, place.decision, place.log_head)


class DecisionLog:
    """The log of one use case.

    Args:
        store: Bucket that holds it.
        use_case: Name of the use case.
        clock: Dates new entries.
    """

    def __init__(self, store: ObjectStore, use_case: str, clock: Clock) -> None:
        self.chain = decision_chain(store, use_case)
        self.use_case = use_case
        self.clock = clock

    def uri(self, number: int) -> str:
        """`gs://` address of an entry."""
        return self.chain.uri(number)

    def read(self) -> list[LogEntry]:
        """All entries, as `read_log` gives them."""
        return self.chain.read()

    def append(self, after: Sequence[LogEntry], kind: EntryKind, **content: Any) -> LogEntry:
        """Write the entry that follows `after`.

        Args:
            after: The log as it was read; what the new entry says rests on it.
            kind: What the entry records.
            content: Its attributes.

        Raises:
            LogMovedError: the log has grown since it was read.
            NewerRecordError: a later release wrote to the log; nothing was written.
        """
        entry = LogEntry(
            number=0, kind=kind, at=self.clock.timestamp(), previous="", digest="", **content
        )
        left_out = () if entry.account else ("account",)  # as in entries from before there was one
        return self.chain.append(after, entry, left_out)


def read_log(store: ObjectStore, use_case: str) -> list[LogEntry]:
    """All entries of a use case's log, oldest first, after the chain was verified.

    Raises:
        BrokenLogError: an entry is missing, unreadable or was changed.
        NewerRecordError: a later release wrote an entry that cannot be read here.
    """
    return decision_chain(store, use_case).read()


def require_published(warehouse: Warehouse, use_case: str, entries: Sequence[LogEntry]) -> None:
    """Check that the log has all entries that the table `promotions` has a copy of.

    Raises:
        BrokenLogError: an entry was removed or replaced after it was published.
    """
    if not warehouse.exists(layout.PROMOTIONS):
        return
    table = warehouse.table_id(layout.PROMOTIONS)
    sql = f"SELECT number, digest FROM `{table}` WHERE use_case = @use_case"  # noqa: S608
    digests = {entry.number: entry.digest for entry in entries}
    for row in warehouse.rows(sql, {"use_case": use_case}):
        if digests.get(row["number"]) != row["digest"]:
            raise BrokenLogError(
                f"{use_case}: {_TITLE} is broken: entry {row['number']}, of which the table "
                f"{table} has a copy, was removed or replaced; restore it from a backup"
            )


def parse_log(stored: Iterable[tuple[str, bytes]], head: LogHead | None = None) -> list[LogEntry]:
    """Entries of a decision log that was read before, as `parse_chain` gives them."""
    return parse_chain(LogEntry, _TITLE, stored, head)


def champions(entries: Sequence[LogEntry]) -> list[Champion]:
    """Every champion there was, oldest first; the last one is meant to serve."""
    return [entry.champion for entry in entries if entry.champion is not None]


def latest_decision(entries: Sequence[LogEntry]) -> LogEntry | None:
    """The newest decision of the gate, or None before the first."""
    return next((entry for entry in reversed(entries) if entry.decision is not None), None)


class Move(NamedTuple):
    """An entry that changes who serves, and what the pointer says after it."""

    entry: LogEntry
    pointer: Champion


def moves(entries: Sequence[LogEntry]) -> list[Move]:
    """Every change of who serves, oldest first; what the last one says is meant to serve."""
    found: list[Move] = []
    for entry in entries:
        if entry.champion is not None:
            found.append(Move(entry, entry.champion))
        elif entry.rollout is not None and found:
            rollout = entry.rollout if entry.kind == "rollout" else None
            pointer = found[-1].pointer.model_copy(update={"rollout": rollout})
            found.append(Move(entry, pointer))
    return found


def is_completed(entries: Sequence[LogEntry], move: LogEntry) -> bool:
    """Whether pointer and alias have followed the entry `move`."""
    if move.champion is not None:
        return any(entry.completes == move.champion.number for entry in entries)
    return any(entry.completes_entry == move.number for entry in entries)


def record_decision(log: DecisionLog, decision: Decision) -> LogEntry:
    """The log's entry of a decision: a new one, unless the newest decision is the same already."""
    while True:
        entries = log.read()
        latest = latest_decision(entries)
        if latest and latest.decision and latest.decision.id == decision.id:
            return latest
        try:
            return log.append(entries, "decision", decision=decision)
        except LogMovedError:
            continue
