"""The log of a use case's promotions: append-only, hash-chained, and the truth about the champion.

An entry is one object, `<use case>/decisions/<number>.json`, written only where none exists: of two
writers of the same number one wins, and the other learns of it. Each entry carries the digest of
the one before it, so that an entry changed or removed by hand breaks the chain.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.promotion import Champion, Decision, EntryKind, LogEntry
from genaiops_dagster.records.record import from_json, require_rewritable, to_json

_READERS = 16
_BROKEN = "the decision log is broken"


class BrokenLogError(RuntimeError):
    """The log is not what was written; the message names the first entry that is wrong."""


class LogMovedError(RuntimeError):
    """Somebody else wrote to the log in between; nothing was written."""


class DecisionLog:
    """The log of one use case.

    Args:
        store: Bucket that holds it.
        use_case: Name of the use case.
        clock: Dates new entries.
    """

    def __init__(self, store: ObjectStore, use_case: str, clock: Clock) -> None:
        self._store = store
        self.use_case = use_case
        self.clock = clock
        self._layout = Layout(use_case)

    def uri(self, number: int) -> str:
        """`gs://` address of an entry."""
        return self._store.uri(self._layout.decision(number))

    def read(self) -> list[LogEntry]:
        """All entries, as `read_log` gives them."""
        return read_log(self._store, self.use_case)

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
        self.require_ours(after)
        entry = LogEntry(
            number=len(after) + 1,
            kind=kind,
            at=self.clock.timestamp(),
            previous=after[-1].digest if after else "",
            digest="",
            **content,
        )
        left_out = () if entry.account else ("account",)  # as in entries from before there was one
        stored = json.loads(to_json(entry, exclude=left_out))
        entry = entry.model_copy(update={"digest": _digest(stored)})
        body = to_json(entry, indent=2, exclude=left_out)
        if not self._store.write_once(self._layout.decision(entry.number), body):
            raise LogMovedError(
                f"{self.uri(entry.number)} was written by somebody else in between; "
                "read what it says and run again"
            )
        return entry

    def require_ours(self, entries: Sequence[LogEntry]) -> None:
        """Check that nothing is lost when this release goes on from a log.

        What a later release added to a champion is not read here, and would be missing in what is
        made of it. The last entry tells: after a later release's, no earlier one writes any.

        Raises:
            NewerRecordError: a later release wrote to the log.
        """
        name = self._layout.decision(len(entries))
        content = self._store.read(name) if entries else None
        if content is not None:
            require_rewritable(LogEntry, content, self._store.uri(name))


def read_log(store: ObjectStore, use_case: str) -> list[LogEntry]:
    """All entries of a use case's log, oldest first, after the chain was verified.

    Raises:
        BrokenLogError: an entry is missing, unreadable or was changed.
        NewerRecordError: a later release wrote an entry that cannot be read here.
    """
    return parse_log(stored_log(store, use_case))


def stored_log(store: ObjectStore, use_case: str) -> list[tuple[str, bytes]]:
    """Address and content of every entry, oldest first, as it is stored.

    Raises:
        BrokenLogError: an entry is missing.
    """
    layout = Layout(use_case)
    names = [found.name for found in store.list(layout.decisions)]
    with ThreadPoolExecutor(_READERS) as readers:
        contents = list(readers.map(store.read, names))
    for number, name in enumerate(names, start=1):
        if name != layout.decision(number):
            raise BrokenLogError(
                f"{store.uri(layout.decision(number))}: {_BROKEN}: the entry is missing; restore "
                "it from a backup"
            )
    return [
        (store.uri(name), content or b"") for name, content in zip(names, contents, strict=True)
    ]


def parse_log(stored: Iterable[tuple[str, bytes]]) -> list[LogEntry]:
    """Entries of a log, after the chain was verified.

    Args:
        stored: Where each entry is kept, and its content, oldest first.

    Raises:
        BrokenLogError: an entry is unreadable or was changed.
        NewerRecordError: a later release wrote an entry that cannot be read here.
    """
    entries: list[LogEntry] = []
    for number, (uri, content) in enumerate(stored, start=1):
        entry = _parse(uri, content)
        if entry.number != number or entry.previous != (entries[-1].digest if entries else ""):
            raise BrokenLogError(f"{uri}: {_BROKEN}: an entry before it was changed or replaced")
        entries.append(entry)
    return entries


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


def _digest(content: dict[str, Any]) -> str:
    """Over the stored JSON, with its version and what only other releases know."""
    return fingerprint({key: value for key, value in content.items() if key != "digest"})


def _parse(uri: str, text: bytes) -> LogEntry:
    try:
        content = json.loads(text)
        entry = from_json(LogEntry, text, uri)
    except ValueError as error:
        raise BrokenLogError(f"{uri}: {_BROKEN}: not an entry: {error}") from error
    if entry.digest != _digest(content):
        raise BrokenLogError(f"{uri}: {_BROKEN}: the entry was changed after it was written")
    return entry
