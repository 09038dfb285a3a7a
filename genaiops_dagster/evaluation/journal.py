"""A file on this machine that survives the process: what was paid for and is not in the bucket yet.

Lines are appended one by one as they come, which a killed process cannot lose; the bucket gets
them in larger pieces.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import tempfile
from pathlib import Path


class Journal:
    """Lines of one cache that wait to be written to the bucket.

    Args:
        identity: Names the cache; the same for all sessions that write to it.
    """

    def __init__(self, identity: str) -> None:
        folder = Path(tempfile.gettempdir()) / f"genaiops-{getpass.getuser()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = folder / f"{identity}.jsonl"
        self.left_over = self._read()
        """Lines that a session before wrote here and did not live to write to the bucket."""
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _read(self) -> list[bytes]:
        """Whole lines of the file; a line that broke off when its process died is left out."""
        if not self._path.exists():
            return []
        lines = self._path.read_bytes().splitlines(keepends=True)
        return [line for line in lines if line.endswith(b"}\n")]

    def append(self, line: bytes) -> None:
        """Add a line, which ends with a line break, in one step."""
        os.write(self._file, line)

    def close(self, *, everything_is_written: bool) -> None:
        """End the session; the file goes when the bucket has it all."""
        os.close(self._file)
        if everything_is_written:
            with contextlib.suppress(OSError):  # another session may hold or have removed it
                self._path.unlink()
