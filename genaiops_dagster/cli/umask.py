"""Who may read what a command writes: nobody else its own files, the usual ones the user's.

The umask belongs to the process, and processes that it starts inherit it: emulator, web server,
daemon and runs write private files, too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from genaiops_dagster.cli.private_folders import OTHERS

_umask_of_user: int | None = None


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Inside, files are made for the user's account alone, whatever the umask is."""
    global _umask_of_user
    before = os.umask(OTHERS)
    _umask_of_user = before
    try:
        yield
    finally:
        _umask_of_user = None
        os.umask(before)


@contextlib.contextmanager
def files_of_the_user() -> Iterator[None]:
    """Inside, files are made as the user's own umask says: those that the user asked for.

    Programs of the user's that are started inside, such as a browser, inherit that umask, too.
    """
    if _umask_of_user is None:
        yield
        return
    private = os.umask(_umask_of_user)
    try:
        yield
    finally:
        os.umask(private)
