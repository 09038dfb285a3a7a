"""Resources of the Vertex AI API (jobs, models, endpoints, caches) as JSON documents in SQLite."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Document = dict[str, Any]


class ResourceStore:
    """Documents by full resource name, in order of creation.

    Every change is one transaction, and `transaction()` makes one of several.

    Args:
        path: SQLite file; created when missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS resource ("
            " sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
            " name TEXT UNIQUE NOT NULL, kind TEXT NOT NULL, parent TEXT NOT NULL,"
            " document TEXT NOT NULL)"
        )
        self._database.execute(
            "CREATE INDEX IF NOT EXISTS resource_by_parent ON resource (kind, parent, sequence)"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the changes of the block visible, and durable, together or not at all."""
        with self._lock:
            if self._database.in_transaction:
                yield
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def new_id(self) -> str:
        """A numeric resource id that was never handed out before."""
        with self.transaction():
            self._database.execute("CREATE TABLE IF NOT EXISTS counter (value INTEGER)")
            row = self._database.execute("SELECT value FROM counter").fetchone()
            value = 1_000_000_000 if row is None else row[0] + 1
            if row is None:
                self._database.execute("INSERT INTO counter VALUES (?)", (value,))
            else:
                self._database.execute("UPDATE counter SET value = ?", (value,))
            return str(value)

    def put(self, name: str, kind: str, document: Document) -> None:
        """Create or replace the document called `name`, whose parent is all before its kind."""
        parent = "/".join(name.split("/")[:-2])
        with self._lock:
            self._database.execute(
                "INSERT INTO resource (name, kind, parent, document) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET document = excluded.document",
                (name, kind, parent, json.dumps(document)),
            )

    def get(self, name: str) -> Document | None:
        """The document called `name`, or None."""
        with self._lock:
            row = self._database.execute(
                "SELECT document FROM resource WHERE name = ?", (name,)
            ).fetchone()
        return None if row is None else json.loads(row[0])

    def update(self, name: str, change: Callable[[Document], None]) -> Document | None:
        """Apply `change` to the document called `name` atomically; the new document, or None.

        What `change` does to other documents belongs to the same transaction.
        """
        with self.transaction():
            document = self.get(name)
            if document is None:
                return None
            change(document)
            self._database.execute(
                "UPDATE resource SET document = ? WHERE name = ?", (json.dumps(document), name)
            )
            return document

    def list(self, kind: str, parent: str | None = None) -> list[Document]:
        """Documents of `kind`, all or those under `parent`, in order of creation."""
        with self._lock:
            if parent is None:
                rows = self._database.execute(
                    "SELECT document FROM resource WHERE kind = ? ORDER BY sequence", (kind,)
                ).fetchall()
            else:
                rows = self._database.execute(
                    "SELECT document FROM resource WHERE kind = ? AND parent = ? ORDER BY sequence",
                    (kind, parent),
                ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def delete(self, name: str) -> bool:
        """Remove the document called `name`; whether it existed."""
        with self._lock:
            cursor = self._database.execute("DELETE FROM resource WHERE name = ?", (name,))
            return cursor.rowcount > 0

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()
