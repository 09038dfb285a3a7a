"""The message for a full disk, whichever library noticed it first."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}
_LEAST_FREE = 1 << 20
"""Bytes; on a disk with less, SQLite and DuckDB report only that input or output failed."""


def disk_problem(error: BaseException) -> str:
    """A sentence if an error came of a full disk; empty if it did not.

    Args:
        error: What a command ended with; its causes are looked at, too.
    """
    chain = list(_chain(error))
    full = [folder for folder in _folders() if _is_full(folder)]
    named = any(isinstance(one, OSError) and one.errno in _FULL for one in chain)
    guessed = full and any("disk" in str(one) or "space" in str(one) for one in chain)
    if not named and not guessed:
        return ""
    where = f" in {full[0]}" if full else ""
    return (
        f"there is no space left on the disk{where}; free some and run again: what was finished "
        "is kept"
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _folders() -> Iterator[Path]:
    """Where commands write."""
    home = os.environ.get("DAGSTER_HOME")
    if home:
        yield Path(home)
    for find in (Path.cwd, tempfile.gettempdir):
        with contextlib.suppress(FileNotFoundError):
            yield Path(find())


def _is_full(folder: Path) -> bool:
    """Whether a folder's disk has next to no room; not if there is no such folder."""
    try:
        return shutil.disk_usage(folder).free < _LEAST_FREE
    except OSError:
        return False
