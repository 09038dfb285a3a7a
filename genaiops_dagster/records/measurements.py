"""What was measured, anchored when it was made: digests in a log that only grows.

Reports, kept answers and load tests are in the bucket as objects that somebody could replace, and
their figures with them. Each is noted here by its digest before anything rests on it; what
promotes or serves on the strength of one looks here first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.chain import Chain, ChainEntry, LogMovedError, parse_chain
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.layout import Layout

_TITLE = "the measurement log"


class UnmeasuredError(RuntimeError):
    """Something is not what was measured; the message names it and the remedy."""


class Measurement(ChainEntry):
    """One entry of the log.

    Attributes:
        digests: sha256 by subject, such as `report/<fingerprint>`.
    """

    digests: dict[str, str]


def measurement_log(store: ObjectStore, use_case: str) -> Chain[Measurement]:
    """The measurement log of a use case."""
    place = Layout(use_case)
    return Chain(
        store,
        Measurement,
        _TITLE,
        place.measurements,
        place.measurement,
        place.measurements_head,
    )


def measured(store: ObjectStore, use_case: str) -> dict[str, str]:
    """The latest digest of every subject that was measured.

    Raises:
        BrokenLogError: the log is not what was written.
    """
    return latest(measurement_log(store, use_case).read())


def parse_measurements(stored: Iterable[tuple[str, bytes]]) -> list[Measurement]:
    """Entries of a log that was read before, as `parse_chain` gives them."""
    return parse_chain(Measurement, _TITLE, stored)


def latest(entries: Sequence[Measurement]) -> dict[str, str]:
    """The latest digest of every subject."""
    return {subject: digest for entry in entries for subject, digest in entry.digests.items()}


def differences(entries: Sequence[Measurement], evidence: Mapping[str, str]) -> Iterator[str]:
    """Subjects that were never measured to be what `evidence` says."""
    known = {item for entry in entries for item in entry.digests.items()}
    yield from (subject for subject, digest in evidence.items() if (subject, digest) not in known)


def anchor(store: ObjectStore, use_case: str, digests: Mapping[str, str], clock: Clock) -> None:
    """Note what was measured, unless the log says so already.

    Raises:
        BrokenLogError: the log is not what was written.
    """
    log = measurement_log(store, use_case)
    while True:
        entries = log.read()
        known = latest(entries)
        new = {
            subject: digest for subject, digest in digests.items() if known.get(subject) != digest
        }
        if not new:
            return
        entry = Measurement(number=0, at=clock.timestamp(), previous="", digest="", digests=new)
        try:
            log.append(entries, entry)
        except LogMovedError:
            continue
        return
