"""The cache of what was paid for: answers of models and judgements of judges.

A record is filed under the fingerprint of everything that decides it. Records go to the bucket in
segments of many rows as they arrive, and to a journal on this machine before that, so that an
evaluation that was killed pays only for what was under way when it is started again. What an
evaluation has used is anchored in the measurement log, and must not change afterwards.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import uuid
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Generic, Literal, TypeVar

from genaiops_dagster.budget.ledger import Key
from genaiops_dagster.budget.payment import Receipt
from genaiops_dagster.evaluation.asking.journal import Journal
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.measurements import UnmeasuredError
from genaiops_dagster.records.record import Record, from_line, from_row

R = TypeVar("R", bound=Record)

CacheMode = Literal["reuse", "strict", "refresh"]
"""Use what is cached and pay for the rest; fail if something is missing; or pay for everything."""

SEGMENT_ROWS = 500
SEGMENT_SECONDS = 2.0
_READERS = 16
_DIGEST = re.compile(r"-([0-9a-f]{64})\.jsonl$")
"""With what the name of a segment ends; earlier releases wrote another name."""

_IDENTITY = re.compile(r"[0-9a-f]{32}")


class CacheMissError(RuntimeError):
    """A strict run would have to pay."""


class RecordCache(Generic[R]):
    """Records by fingerprint under one prefix of the bucket; a context manager that ends written.

    Args:
        store: The bucket.
        prefix: Where the segments are, with its trailing slash; one for all that shares a model
            and its configuration, so that little more is read than needed.
        record_type: Type of the records.
        clock: Tells when a segment is due.
        wanted: Fingerprints that may be looked up; no others are held in memory.
        anchored: Digest of the manifest that the measurement log knows; empty if it knows none.
        mode: Whether cached records are used, and new ones may be made.
    """

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        record_type: type[R],
        clock: Clock,
        wanted: Collection[str] | None = None,
        mode: CacheMode = "reuse",
        anchored: str = "",
    ) -> None:
        self.mode = mode
        self._anchored = anchored
        self.segments: dict[str, str] = {}
        """Digest of each segment that was read or written, by its name."""
        self._clock = clock
        self._store = store
        self._prefix = prefix
        self._lock = threading.Lock()
        self._record_type = record_type
        self._found: dict[str, bytes] = {}  # as JSON, which is a fifth of what records take
        self._pending: list[bytes] = []
        self.receipts: list[Receipt] = []
        """How the records were paid for that were found, as far as that is known."""
        self._last_write = self._clock.elapsed()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="response-cache")
        self._write: Future[None] | None = None
        self._journal = Journal(self._identity())
        wanted = None if wanted is None else frozenset(wanted)
        seen: set[tuple[str, Key]] = set()
        for line in self._segment_lines():
            entry = json.loads(line)
            if "paid" in entry:
                receipt = Receipt(**entry["paid"])
                if (entry["key"], receipt.key) not in seen:  # a line may be in both
                    seen.add((entry["key"], receipt.key))
                    self.receipts.append(receipt)
            if mode != "refresh" and (wanted is None or entry["key"] in wanted):
                record = from_row(record_type, entry["record"])
                self._found[entry["key"]] = record.model_dump_json().encode()
        self._pending += self._journal.left_over

    def _identity(self) -> str:
        """A name that this prefix of this very bucket has and no other, even of the same name."""
        name = f"{self._prefix}identity"
        if self._store.read(name) is None:
            self._store.write_once(name, uuid.uuid4().hex.encode(), "text/plain")
        found = (self._store.read(name) or b"").decode(errors="replace")
        if not _IDENTITY.fullmatch(found):  # it becomes the name of a file on this machine
            raise ValueError(
                f"{self._store.uri(name)} is not the identity of a cache, which is 32 hexadecimal "
                "digits; delete the object, and a new one is made"
            )
        return found

    def _segment_lines(self) -> Iterator[bytes]:
        """Lines of the journal and all segments; what was anchored comes last, and counts.

        Where some of what was anchored is gone, nothing is believed that was not: it may have come
        in its place.

        Raises:
            UnmeasuredError: a segment is not what was written.
        """
        if self.mode == "refresh":
            yield from self._journal.left_over
            return
        manifest = self._manifest()
        listed = (found.name for found in self._store.list(self._prefix))
        segments = [name for name in listed if name.endswith(".jsonl")]
        anchored = [name for name in segments if name in manifest]
        whole = len(anchored) == len(manifest)
        new = [name for name in segments if name not in manifest] if whole else []
        with ThreadPoolExecutor(_READERS) as readers:
            names = [*new, *anchored]
            contents = readers.map(self._store.read, names)
            for number, (name, content) in enumerate(zip(names, contents, strict=True)):
                if number == len(new):
                    yield from self._journal.left_over
                digest = hashlib.sha256(content or b"").hexdigest()
                written = _DIGEST.search(name)
                if digest != manifest.get(name, written[1] if written else digest):
                    raise UnmeasuredError(
                        f"{self._store.uri(name)} is not what was written there; delete it, and "
                        "what it held is paid for again"
                    )
                self.segments[name] = digest
                yield from (content or b"").splitlines()
        if not anchored:
            yield from self._journal.left_over

    def _manifest(self) -> dict[str, str]:
        """Digests of the segments that the measurement log knows, by name.

        Raises:
            UnmeasuredError: the manifest is gone or was changed.
        """
        if not self._anchored:
            return {}
        name = _manifest_name(self._prefix, self._anchored)
        found: dict[str, str] = self._store.read_json(name) or {}
        if fingerprint(found) != self._anchored:
            raise UnmeasuredError(
                f"{self._store.uri(name)}, the manifest of cached answers, was changed or removed; "
                "restore it from a backup, or set `cache: refresh` to pay for them again"
            )
        return found

    def write_manifest(self, segments: Mapping[str, str]) -> str:
        """Write down which segments there are; the digest under which that is anchored.

        Args:
            segments: The digest of each by its name, of all caches of this prefix.
        """
        digest = fingerprint(segments)
        if digest != self._anchored:
            content = json.dumps(segments, sort_keys=True).encode()
            self._store.write_once(_manifest_name(self._prefix, digest), content)
        return digest

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: str) -> R | None:
        """The record filed under `key`, if any.

        Raises:
            CacheMissError: there is none, and the run is strict.
        """
        found = self._found.get(key)
        self.refuse_if_strict(int(found is None), "record")
        return None if found is None else from_line(self._record_type, found)

    def refuse_if_strict(self, missing: int, what: str) -> None:
        """Say how many records are missing.

        Raises:
            CacheMissError: there are some, and the run is strict.
        """
        if missing and self.mode == "strict":
            raise CacheMissError(
                f"{missing} {what} are not cached in {self._store.uri(self._prefix)}, and the run "
                "is strict: run once with `cache: reuse` to pay for what is missing"
            )

    def lacks(self, key: str) -> bool:
        """Whether there is no record filed under `key`."""
        return key not in self._found

    def put(self, key: str, record: R, receipt: Receipt | None = None) -> None:
        """Keep a record: on this machine at once, in the bucket after two seconds at most.

        Args:
            key: Under which it is filed.
            record: What was paid for.
            receipt: How it was paid for; None if nobody counts it, or another record has it.

        Raises:
            google.api_core.exceptions.GoogleAPICallError: an earlier write failed.
        """
        content = record.model_dump_json().encode()
        paid = b"" if receipt is None else b',"paid":%s' % json.dumps(asdict(receipt)).encode()
        line = b'{"key":"%s","record":%s%s}\n' % (key.encode(), content, paid)
        with self._lock:
            self._journal.append(line)
            self._found[key] = content
            self._pending.append(line)
            waited = self._clock.elapsed() - self._last_write
            due = len(self._pending) >= SEGMENT_ROWS or waited >= SEGMENT_SECONDS
            busy = self._write is not None and not self._write.done()
        if due and not busy:
            if self._write is not None:
                self._write.result()
            self._write = self._writer.submit(self.flush)

    def flush(self) -> None:
        """Write what the bucket does not have yet, as one segment."""
        with self._lock:
            lines, self._pending = self._pending, []
            self._last_write = self._clock.elapsed()
        if not lines:
            return
        content = b"".join(lines)
        digest = hashlib.sha256(content).hexdigest()
        name = f"{self._prefix}{self._nanoseconds():020}-{digest}.jsonl"
        try:
            self._store.write_once(name, content, "application/x-ndjson")
            self.segments[name] = digest
        except BaseException:
            with self._lock:
                self._pending = lines + self._pending
            raise

    def _nanoseconds(self) -> int:
        """Since 1970; segments are read in the order of their names."""
        return int(self._clock.now().timestamp() * 1e6) * 1000

    def __enter__(self) -> RecordCache[R]:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.shutdown(wait=True)
        try:
            self.flush()
        finally:
            self._journal.close(everything_is_written=not self._pending)


def _manifest_name(prefix: str, digest: str) -> str:
    return f"{prefix}manifest-{digest}.json"
