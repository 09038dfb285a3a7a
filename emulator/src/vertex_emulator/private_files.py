"""Keeps the emulator's files private to the account that it runs as."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Permission bits of group and others; as a umask, the ones to withhold."""


def keep_private(folder: Path, own: Collection[str]) -> None:
    """Make our files in `folder`, and all that this process writes from now on, private.

    A folder that also holds other things stays as open as it is.

    Args:
        folder: The folder of state; created when missing.
        own: Names of files and folders in it that are ours.

    Raises:
        PermissionError: something of ours belongs to another account.
    """
    os.umask(OTHERS)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if {entry.name for entry in folder.iterdir()} <= set(own):
        make_private_folder(folder)
        return
    for entry in (folder / name for name in own):
        if entry.is_dir() and not entry.is_symlink():
            make_private_folder(entry)
        elif entry.exists():
            make_private(entry)


def make_private_folder(folder: Path) -> None:
    """Make a folder that is 0700 with everything in it 0600 or 0700, or make one so that exists.

    What an earlier release or another umask left open is closed. Links are not followed.

    Args:
        folder: One whose whole content is ours; created when missing.

    Raises:
        PermissionError: something in the folder belongs to another account.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = folder.resolve()
    if not folder.stat().st_mode & OTHERS:
        return
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            make_private(Path(parent, name))
    make_private(folder)  # last, so that a killed process does it again


def make_private(path: Path) -> None:
    """Close one file or folder to group and others, unless it is a link or gone.

    Raises:
        PermissionError: it belongs to another account, or its file system has no modes.
    """
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not mode & OTHERS:
            return
        try:
            path.chmod(stat.S_IMODE(mode) & ~OTHERS)
        except PermissionError as error:
            raise PermissionError(
                f"{path} is open to other accounts of this machine, and cannot be closed to them: "
                f"{error.strerror}; make it yours with chown, or choose another folder"
            ) from error
