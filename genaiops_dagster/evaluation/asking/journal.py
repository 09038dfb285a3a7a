"""A file on this machine that survives the process: what was paid for and is not in the bucket yet.

Lines are appended one by one as they come, which a killed process cannot lose; the bucket gets
them in larger pieces.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import stat
import tempfile
from pathlib import Path


class JournalFolderError(RuntimeError):
    """Somebody else can reach the journals' folder; the message says which, and what to do."""


class Journal:
    """Lines of one cache that wait to be written to the bucket.

    Args:
        identity: Names the cache; the same for all sessions that write to it.

    Raises:
        JournalFolderError: the folder is a link, another account's, or open to other accounts.
    """

    def __init__(self, identity: str) -> None:
        self._path = _private_folder() / f"{identity}.jsonl"
        self.left_over = self._read()
        """Lines that a killed session wrote here and did not write to the bucket."""
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


def _private_folder() -> Path:
    """This account's folder among the temporary files, where every account may make one first."""
    folder = Path(tempfile.gettempdir()) / f"genaiops-{getpass.getuser()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    wrong, remedy = "", "look at what it is, and move it away"
    if stat.S_ISLNK(found.st_mode):
        wrong = "is a link"
    elif not stat.S_ISDIR(found.st_mode):
        wrong = "is not a folder"
    elif found.st_uid != os.getuid():
        wrong = f"belongs to another account (user id {found.st_uid})"
    elif found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        wrong = f"is open to other accounts (mode {stat.S_IMODE(found.st_mode):04o})"
        remedy = f"if its files are yours, run `chmod 700 {folder}`; else move it away"
    if wrong:
        raise JournalFolderError(
            f"answers that were paid for are not kept in {folder}, because it {wrong}; {remedy}, "
            "or set TMPDIR to a folder of your own"
        )
    return folder
