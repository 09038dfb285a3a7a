"""Logs in the bucket: append-only and hash-chained, one object for each entry.

An entry is written only where none exists: of two writers of the same number one wins, and the
other learns of it. Each entry carries the digest of the one before it, so that an entry changed or
removed by hand breaks the chain; the last entry is noted elsewhere as well, so that entries removed
from the end are missed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from genaiops_dagster.google_cloud.object_store import ObjectChangedError, ObjectStore
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.record import (
    Record,
    find_object,
    from_json,
    require_rewritable,
    to_json,
)

_READERS = 16


class BrokenLogError(RuntimeError):
    """The log is not what was written; the message names the first entry that is wrong."""


class LogMovedError(RuntimeError):
    """Somebody else wrote to the log in between; nothing was written."""


class ChainEntry(Record):
    """The fields of every entry.

    Attributes:
        number: Place in the log, from 1.
        at: When it was written, ISO 8601 in UTC.
        previous: Digest of the entry before; empty for the first.
        digest: sha256 over all other attributes.
        write_id: Tells one writer's entry from another's that says the same; empty in entries of
            earlier releases.
    """

    number: int
    at: str
    previous: str
    digest: str
    write_id: str = ""


class LogHead(Record):
    """The last entry of a log that was written, noted outside of the log's own prefix.

    With it, entries are missed that were removed from the end.
    """

    number: int
    digest: str


E = TypeVar("E", bound=ChainEntry)


@dataclass(frozen=True)
class Chain(Generic[E]):
    """A log.

    Attributes:
        store: Bucket that holds it.
        entry_type: Type of its entries.
        title: What messages call it, such as `the decision log`.
        prefix: Before the names of its entries, with its trailing slash.
        name_of: Object name of an entry, by its number.
        head_name: Object name of the note on its last entry.
    """

    store: ObjectStore
    entry_type: type[E]
    title: str
    prefix: str
    name_of: Callable[[int], str]
    head_name: str

    def uri(self, number: int) -> str:
        """`gs://` address of an entry."""
        return self.store.uri(self.name_of(number))

    def read(self) -> list[E]:
        """All entries, oldest first, after the chain was verified.

        Raises:
            BrokenLogError: an entry is missing, unreadable or was changed.
            NewerRecordError: a later release wrote an entry that cannot be read here.
        """
        head = self.head()  # first: the log may grow meanwhile, but not shrink
        return parse_chain(self.entry_type, self.title, self.stored(), head)

    def head(self) -> LogHead | None:
        """The note on the last entry; None if no release that writes one wrote to the log."""
        return find_object(self.store, self.head_name, LogHead)

    def stored(self) -> list[tuple[str, bytes]]:
        """Address and content of every entry, oldest first, as it is stored.

        Raises:
            BrokenLogError: an entry is missing.
        """
        names = [found.name for found in self.store.list(self.prefix)]
        with ThreadPoolExecutor(_READERS) as readers:
            contents = list(readers.map(self.store.read, names))
        for number, name in enumerate(names, start=1):
            if name != self.name_of(number):
                raise BrokenLogError(
                    f"{self.uri(number)}: {self.title} is broken: the entry is missing; restore it "
                    "from a backup"
                )
        return [
            (self.store.uri(name), content or b"")
            for name, content in zip(names, contents, strict=True)
        ]

    def append(self, after: Sequence[E], entry: E, leave_out: Collection[str] = ()) -> E:
        """Write the entry that follows `after`.

        Args:
            after: The log as it was read; what the new entry says rests on it.
            entry: What to write; number, previous and digest are set here.
            leave_out: Fields that are not stored.

        Returns:
            The entry as it was written.

        Raises:
            LogMovedError: the log has grown since it was read.
            NewerRecordError: a later release wrote to the log; nothing was written.
        """
        self.require_ours(after)
        place = {"number": len(after) + 1, "previous": after[-1].digest if after else ""}
        entry = entry.model_copy(update={**place, "write_id": uuid.uuid4().hex})
        stored = json.loads(to_json(entry, exclude=leave_out))
        entry = entry.model_copy(update={"digest": _digest(stored)})
        body = to_json(entry, indent=2, exclude=leave_out)
        name = self.name_of(entry.number)
        # An answer may be lost, and the request sent again: then the entry that is there is ours.
        if not self.store.write_once(name, body) and self.store.read(name) != body:
            raise LogMovedError(
                f"{self.uri(entry.number)} was written by somebody else in between; "
                "read what it says and run again"
            )
        self._note_head(entry)
        return entry

    def require_ours(self, entries: Sequence[E]) -> None:
        """Check that nothing is lost when this release goes on from a log.

        What a later release added is not read here, and would be missing in what is made of it.
        The last entry tells: after a later release's, no earlier one writes any.

        Raises:
            NewerRecordError: a later release wrote to the log.
        """
        content = self.store.read(self.name_of(len(entries))) if entries else None
        if content is not None:
            require_rewritable(self.entry_type, content, self.uri(len(entries)))

    def _note_head(self, entry: E) -> None:
        """Note the last entry outside of the log; a later one that was noted stays."""
        head = to_json(LogHead(number=entry.number, digest=entry.digest))
        while True:
            found = self.store.read_with_generation(self.head_name)
            if found and from_json(LogHead, found[0], self.head_name).number >= entry.number:
                return
            try:
                self.store.compare_and_set(self.head_name, head, found[1] if found else 0)
            except ObjectChangedError:
                continue
            return


def parse_chain(
    entry_type: type[E],
    title: str,
    stored: Iterable[tuple[str, bytes]],
    head: LogHead | None = None,
) -> list[E]:
    """Entries of a log, after the chain was verified.

    Args:
        entry_type: Type of the entries.
        title: What messages call the log.
        stored: Where each entry is kept, and its content, oldest first.
        head: The last entry that was noted before they were read; not checked if None.

    Raises:
        BrokenLogError: an entry is unreadable or was changed.
        NewerRecordError: a later release wrote an entry that cannot be read here.
    """
    entries: list[E] = []
    for number, (uri, content) in enumerate(stored, start=1):
        entry = _parse(entry_type, title, uri, content)
        if entry.number != number or entry.previous != (entries[-1].digest if entries else ""):
            raise BrokenLogError(
                f"{uri}: {title} is broken: an entry before it was changed or replaced"
            )
        entries.append(entry)
    if head is not None and [e.digest for e in entries[head.number - 1 : head.number]] != [
        head.digest
    ]:
        raise BrokenLogError(
            f"{title} is broken: entry {head.number} was written, and is gone or replaced; there "
            f"are {len(entries)}; restore it from a backup"
        )
    return entries


def _parse(entry_type: type[E], title: str, uri: str, text: bytes) -> E:
    try:
        content = json.loads(text)
        entry = from_json(entry_type, text, uri)
    except ValueError as error:
        raise BrokenLogError(f"{uri}: {title} is broken: not an entry: {error}") from error
    if entry.digest != _digest(content):
        raise BrokenLogError(
            f"{uri}: {title} is broken: the entry was changed after it was written"
        )
    return entry


def _digest(content: dict[str, Any]) -> str:
    """Over the stored JSON, with its version and what only other releases know."""
    return fingerprint({key: value for key, value in content.items() if key != "digest"})
