"""The bytes of objects, one immutable file for each object version, under names made here.

An object's own name never becomes a path. A file is complete before any row of the database names
it; a file that no row names is what a killed process left behind, and is removed at the next start.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import google_crc32c

_BUFFER_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Content:
    """Bytes that are safely on disk.

    Attributes:
        name: Name of the file within the content store.
        size: Length in bytes.
        crc32c: Base64 of the big-endian CRC32C, as the API shows it.
        md5: Base64 of the MD5 digest; composite objects have none.
    """

    name: str
    size: int
    crc32c: str
    md5: str | None


class ContentStore:
    """A folder of immutable files.

    It has no folders within: file systems find a name among a million as fast as among ten, and
    ext4 lays the files of different folders far apart, which makes writing small ones slow.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Path of the file `name`."""
        return self._folder / name

    def writer(self, name: str | None = None) -> ContentWriter:
        """Start a new file, or go on with the unfinished file `name`."""
        if name is None:
            return ContentWriter(self, uuid.uuid4().hex)
        writer = ContentWriter(self, name)
        writer.read_back()
        return writer

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading; it stays readable even when it is removed."""
        return self.path(name).open("rb")

    def duplicate(self, name: str) -> str:
        """Give the bytes of `name` a second name, without copying where the disk allows it."""
        twin = uuid.uuid4().hex
        try:
            os.link(self.path(name), self.path(twin))
        except OSError:
            shutil.copyfile(self.path(name), self.path(twin))
        return twin

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self.path(name).unlink(missing_ok=True)

    def sweep(self, keep: Collection[str]) -> int:
        """Remove every file whose name is not in `keep`; returns how many went."""
        removed = 0
        for entry in os.scandir(self._folder):
            if entry.name not in keep:
                Path(entry).unlink()
                removed += 1
        return removed


class ContentWriter:
    """Writes one file from chunks and computes its checksums on the way.

    Small contents are held back and written at once by `flush`; a writer holds at most
    about `_BUFFER_BYTES` plus one chunk in memory.
    """

    def __init__(self, store: ContentStore, name: str) -> None:
        self.name = name
        self._store = store
        self._path = store.path(name)
        self._buffer = bytearray()
        self._file: BinaryIO | None = None
        self._crc32c = google_crc32c.Checksum()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def read_back(self) -> None:
        """Take in what an earlier writer has left in the file."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            while chunk := file.read(_BUFFER_BYTES):
                self._crc32c.update(chunk)
                self._md5.update(chunk)
                self.size += len(chunk)

    def write(self, chunk: bytes) -> bool:
        """Take a chunk; returns whether enough is held back for `flush` to be worth calling."""
        self._buffer += chunk
        self.size += len(chunk)
        return len(self._buffer) >= _BUFFER_BYTES

    def flush(self) -> None:
        """Write what is held back to the file."""
        if self._file is None:
            self._file = self._path.open("ab")
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            self._crc32c.update(data)
            self._md5.update(data)
            self._file.write(data)

    def finish(self) -> Content:
        """Write the rest and close the file."""
        self.pause()
        return Content(
            name=self.name,
            size=self.size,
            crc32c=base64.b64encode(self._crc32c.digest()).decode(),
            md5=base64.b64encode(self._md5.digest()).decode(),
        )

    def pause(self) -> None:
        """Write what is held back and close the file; a later `write` goes on where it ended."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def abandon(self) -> None:
        """Close and remove the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._store.remove(self.name)
