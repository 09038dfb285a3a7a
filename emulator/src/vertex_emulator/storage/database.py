"""The SQLite file with every bucket, object version and unfinished upload.

SQLite in WAL mode writes a committed transaction to the operating system before `COMMIT` returns,
so a killed process loses nothing that it acknowledged (https://www.sqlite.org/wal.html). Losing
power may cost the last transactions, which is a fair price for a local server.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    metageneration INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    fields TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL,
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    metageneration INTEGER NOT NULL,
    content TEXT NOT NULL,
    size INTEGER NOT NULL,
    crc32c TEXT NOT NULL,
    md5 TEXT,
    components INTEGER,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    deleted INTEGER,
    fields TEXT NOT NULL,
    PRIMARY KEY (bucket, name, generation)
) WITHOUT ROWID;

CREATE UNIQUE INDEX IF NOT EXISTS live_objects ON objects (bucket, name) WHERE deleted IS NULL;

CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY,
    content TEXT,
    created INTEGER NOT NULL,
    request TEXT NOT NULL,
    outcome TEXT
) WITHOUT ROWID;
"""


class Database:
    """One connection that all threads share, a transaction at a time.

    Args:
        path: The SQLite file; created when missing.

    Raises:
        RuntimeError: another process has the file open.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._when_committed: list[Callable[[], object]] = []
        self._when_rolled_back: list[Callable[[], object]] = []
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=2
        )
        try:
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            raise RuntimeError(
                f"{path} is in use ({error}): stop the other emulator on this state folder,"
                " or choose another folder"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block alone; commits when the outermost one ends, rolls back when it raises."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                self._finish(self._when_rolled_back)
                raise
            self._connection.execute("COMMIT")
            self._finish(self._when_committed)

    def when_committed(self, action: Callable[[], object]) -> None:
        """Have `action` run once the present transaction is committed."""
        self._when_committed.append(action)

    def when_rolled_back(self, action: Callable[[], object]) -> None:
        """Have `action` run once the present transaction is rolled back."""
        self._when_rolled_back.append(action)

    def _finish(self, actions: list[Callable[[], object]]) -> None:
        chosen = list(actions)
        self._when_committed.clear()
        self._when_rolled_back.clear()
        for action in chosen:
            action()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Change rows, within a transaction.

        Raises:
            sqlite3.IntegrityError: a row with the same key exists.
        """
        self._connection.execute(sql, parameters)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, read at one moment."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
