"""Files that only the user who runs the command may read: secrets, and where they are valid."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


class SecretFileError(RuntimeError):
    """Somebody else may have read or written a file; the message says why and what to do."""


def create_secret(path: Path, text: str) -> None:
    """Write a new file, of a line or so, that nobody else may read.

    Raises:
        FileExistsError: there is something at `path`, if only a symbolic link.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def read_secret(path: Path) -> str:
    """Text of a short file that no other account can have read or written.

    Raises:
        FileNotFoundError: there is no such file.
        SecretFileError: it is a symbolic link or not a regular file, belongs to another user, or
            others may read or write it.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_private(path, "is a symbolic link") from error
        if error.errno == errno.EACCES:
            raise _not_private(path, "cannot be read by you") from error
        raise
    try:
        status = os.fstat(file)
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode):
            raise _not_private(path, "is not a regular file")
        if status.st_uid != os.geteuid():
            raise _not_private(path, f"belongs to another user, number {status.st_uid}")
        if mode & 0o077:
            raise _not_private(path, f"is open to other users, by its mode {mode:04o}")
        return os.read(file, status.st_size).decode()
    finally:
        os.close(file)


def _not_private(path: Path, why: str) -> SecretFileError:
    return SecretFileError(
        f"{path} {why}, so what it says is not trusted: delete it; `genaiops dev` writes a new one"
    )
