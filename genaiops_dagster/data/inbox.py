"""The inbox: which of its objects may be read, which are new, and what was seen before.

An object is known by its name and generation: an overwrite is new, a deletion is nothing, and
neither names nor times have to come in order. What was seen is kept as one object in the bucket,
named by its digest, and the sensor's cursor holds only that digest: a tick that dies leaves the
cursor at a state that is still there.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic import Field

from genaiops_dagster.data.formats import OBJECT_FORMATS, ending
from genaiops_dagster.google_cloud.object_store import ObjectStore, StoredObject
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case.data import Source

KEPT_NAMES = 1_000
"""Last names that are kept where names sort by time: how many names an object may be late."""

Seen = Mapping[str, int]
"""Generation by name of the objects that were reported."""


class Cursor(Record):
    """The sensor's state between ticks, in a form that people can read.

    Attributes:
        seen: Digest of the objects that were reported; empty: none.
        previous: Digest that it replaced, whose object can go.
        run_due: Whether objects were reported that no run was requested for.
        backlog: New objects that are left for the next tick.
        waiting: New objects whose batch is not complete.
        quarantined: How many objects cannot be read, by reason.
        decision: What the last tick decided, in words.
    """

    seen: str = ""
    previous: str = ""
    run_due: bool = False
    backlog: int = 0
    waiting: int = 0
    quarantined: dict[str, int] = Field(default_factory=dict)
    decision: str = ""


class Batch(NamedTuple):
    """The new objects of a tick.

    Attributes:
        new: To be reported now, in order of name.
        backlog: How many more there are.
        seen: What has been seen when these are reported.
    """

    new: list[StoredObject]
    backlog: int
    seen: dict[str, int]


def complete(
    objects: Iterable[StoredObject], source: Source, now: float
) -> tuple[list[StoredObject], list[StoredObject]]:
    """Objects that may be read, and those whose batch is still being uploaded.

    Args:
        objects: The inbox; folder placeholders and completion markers are not data.
        source: Says what completes a batch.
        now: Seconds since the epoch.
    """
    found = [one for one in objects if not one.name.endswith("/")]
    marker = source.completion_marker
    marked = {_folder(one) for one in found if _is_marker(one, marker)}
    ready: list[StoredObject] = []
    waiting: list[StoredObject] = []
    for one in found:
        if _is_marker(one, marker):
            continue
        unmarked = marker is not None and _folder(one) not in marked
        fresh = now - one.updated < source.quiet_seconds
        (waiting if unmarked or fresh else ready).append(one)
    return ready, waiting


def _is_marker(one: StoredObject, marker: str | None) -> bool:
    return marker is not None and one.name.rpartition("/")[2] == marker


def _folder(one: StoredObject) -> str:
    return one.name.rpartition("/")[0]


def new_objects(objects: Sequence[StoredObject], seen: Seen, source: Source, limit: int) -> Batch:
    """The first `limit` objects that were not seen in their present generation."""
    new = sorted((one for one in objects if seen.get(one.name) != one.generation), key=_name)
    batch = new[:limit]
    names = {one.name for one in objects}
    remembered = {name: generation for name, generation in seen.items() if name in names}
    remembered |= {one.name: one.generation for one in batch}
    if source.names_sort_by_time:
        remembered = dict(sorted(remembered.items())[-KEPT_NAMES:])
    return Batch(batch, len(new) - len(batch), remembered)


def _name(one: StoredObject) -> str:
    return one.name


def list_from(seen: Seen, source: Source) -> str | None:
    """Name from which the inbox has to be listed; None for its beginning."""
    return min(seen) if source.names_sort_by_time and len(seen) >= KEPT_NAMES else None


def unreadable(one: StoredObject) -> str | None:
    """Why an object cannot be read, as far as a listing tells; None when it may be readable."""
    if ending(one.name) not in OBJECT_FORMATS:
        return "unknown_format"
    return "empty_object" if one.size == 0 else None


def digest_of(seen: Seen) -> str:
    """Digest of what was seen; empty for nothing."""
    return fingerprint(dict(seen)) if seen else ""


def read_seen(store: ObjectStore, use_case: str, digest: str) -> dict[str, int]:
    """The state called `digest`; empty if it is gone, so that everything counts as new."""
    content = store.read(Layout(use_case).inbox_state(digest)) if digest else None
    return {} if content is None else json.loads(gzip.decompress(content))


def write_seen(store: ObjectStore, use_case: str, seen: Seen) -> str:
    """Keep what was seen; its digest."""
    digest = digest_of(seen)
    if digest:
        text = json.dumps(dict(seen), separators=(",", ":"))
        content = gzip.compress(text.encode(), compresslevel=1, mtime=0)
        store.write_once(Layout(use_case).inbox_state(digest), content, "application/gzip")
    return digest


def forget(store: ObjectStore, use_case: str, digest: str) -> None:
    """Remove a state that no cursor holds any more."""
    if digest:
        store.delete(Layout(use_case).inbox_state(digest))
