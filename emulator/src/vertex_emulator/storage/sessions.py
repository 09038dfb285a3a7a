"""Resumable upload sessions, which outlive connections and the emulator's own restarts.

https://docs.cloud.google.com/storage/docs/resumable-uploads
"""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vertex_emulator.errors import ApiError
from vertex_emulator.storage.checksums import Checksums
from vertex_emulator.storage.contents import ContentStore, ContentWriter
from vertex_emulator.storage.database import Database
from vertex_emulator.storage.preconditions import Preconditions
from vertex_emulator.storage.records import now_microseconds

_LIFETIME_MICROSECONDS = 7 * 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class UploadRequest:
    """What a client announced when it started an upload; `total` is the size, where known."""

    bucket: str
    name: str
    fields: Mapping[str, Any]
    conditions: Preconditions
    checksums: Checksums
    total: int | None = None


@dataclass
class UploadSession:
    """One upload; `outcome` is the resource of the object once it is finished."""

    id: str
    request: UploadRequest
    writer: ContentWriter
    outcome: Mapping[str, Any] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SessionStore:
    """Starts, finds and ends upload sessions."""

    def __init__(self, database: Database, contents: ContentStore) -> None:
        self._database = database
        self._contents = contents
        self._open: dict[str, UploadSession] = {}
        self._lock = threading.Lock()

    def start(self, request: UploadRequest) -> UploadSession:
        """Start an upload."""
        writer = self._contents.writer()
        session = UploadSession(uuid.uuid4().hex, request, writer)
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO uploads VALUES (?, ?, ?, ?, NULL)",
                (session.id, writer.name, now_microseconds(), json.dumps(asdict(request))),
            )
        self._open[session.id] = session
        return session

    def get(self, session_id: str) -> UploadSession:
        """Find an upload, with the bytes that are safely kept.

        Raises:
            ApiError: 404 if there is none.
        """
        with self._lock:
            if session_id in self._open:
                return self._open[session_id]
            session = self._load(session_id)
            if session.outcome is None:
                self._open[session_id] = session
            return session

    def _load(self, session_id: str) -> UploadSession:
        rows = self._database.rows(
            "SELECT content, request, outcome FROM uploads WHERE id = ?", (session_id,)
        )
        if not rows:
            raise ApiError(404, "The upload session does not exist: start another one.")
        content, text, outcome = rows[0]
        values = json.loads(text)
        values["conditions"] = _conditions(values["conditions"])
        return UploadSession(
            session_id,
            UploadRequest(**values),
            self._contents.writer(content),
            json.loads(outcome) if outcome else None,
        )

    def finish(self, session: UploadSession, outcome: Mapping[str, Any]) -> None:
        """Remember how an upload ended, for clients that missed the answer.

        Call it in the transaction that gives the bytes to the object.
        """
        self._database.execute(
            "UPDATE uploads SET outcome = ?, content = NULL WHERE id = ?",
            (json.dumps(outcome), session.id),
        )
        self._database.when_committed(lambda: self._open.pop(session.id, None))

    def cancel(self, session: UploadSession) -> None:
        """Forget an upload and its bytes."""
        with self._database.transaction():
            self._database.execute("DELETE FROM uploads WHERE id = ?", (session.id,))
        self._open.pop(session.id, None)
        if session.outcome is None:
            session.writer.abandon()

    def expire(self) -> None:
        """Forget the uploads that were started more than a week ago."""
        with self._database.transaction():
            self._database.execute(
                "DELETE FROM uploads WHERE created < ?",
                (now_microseconds() - _LIFETIME_MICROSECONDS,),
            )

    def contents_in_use(self) -> set[str]:
        """Names of the files that unfinished uploads need."""
        rows = self._database.rows("SELECT content FROM uploads WHERE content IS NOT NULL")
        return {row[0] for row in rows}


def _conditions(values: Mapping[str, Any]) -> Preconditions:
    tags = {name: tuple(values[name]) for name in ("etags", "unwanted_etags")}
    return Preconditions(**{**values, **tags})
