"""Files of commands are for the account that runs them, and for no other on this machine.

The emulator has the same functions for its own state; neither imports the other.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""What group and others may do with a file; as a umask, what they may not."""


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
