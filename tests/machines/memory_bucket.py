"""A bucket in memory that obeys Cloud Storage's documented semantics, as its client shows them.

Operations are strongly consistent; each write gives the object a new generation, larger than any
before it; a precondition that does not hold is refused with 412 and changes nothing.

Sources:
    https://cloud.google.com/storage/docs/consistency
    https://cloud.google.com/storage/docs/request-preconditions
    https://cloud.google.com/storage/docs/retry-strategy (conditional requests are sent again)
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from google.api_core.exceptions import NotFound, PreconditionFailed

from tests.machines.simulation import START, Simulation


@dataclass(frozen=True)
class _Object:
    content: bytes
    generation: int
    updated: dt.datetime


class MemoryBucket:
    """Counterpart of `google.cloud.storage.Client`, for one bucket."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.objects: dict[str, _Object] = {}
        self._generation = 0

    def bucket(self, _: str) -> MemoryBucket:
        return self

    def blob(self, name: str, chunk_size: int = 0, generation: int | None = None) -> _Blob:
        return _Blob(self, name, generation)

    def list_blobs(
        self, _: str, prefix: str = "", start_offset: str | None = None, fields: str = ""
    ) -> _Listing:
        def found() -> list[dict[str, Any]]:
            return [
                {
                    "name": name,
                    "generation": str(item.generation),
                    "size": str(len(item.content)),
                    "updated": item.updated.isoformat(),
                }
                for name, item in sorted(self.objects.items())
                if name.startswith(prefix) and name >= (start_offset or "")
            ]

        return _Listing(self.simulation.call(f"list {prefix}", found))

    def put(self, name: str, content: bytes, if_generation_match: int | None) -> int:
        current = self.objects.get(name)
        found = current.generation if current else 0
        if if_generation_match is not None and if_generation_match != found:
            raise PreconditionFailed(f"{name} is at generation {found}")
        self._generation += 1
        updated = START + dt.timedelta(seconds=self.simulation.seconds)
        self.objects[name] = _Object(content, self._generation, updated)
        return self._generation

    def get(self, name: str, generation: int | None = None) -> _Object:
        found = self.objects.get(name)
        if found is None or (generation is not None and found.generation != generation):
            raise NotFound(name)
        return found

    def remove(self, name: str) -> None:
        self.get(name)
        del self.objects[name]


class _Listing:
    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.pages: Iterator[_Page] = iter([_Page({"items": items} if items else {})])


@dataclass
class _Page:
    raw_page: dict[str, Any]


class _Blob:
    """Counterpart of `google.cloud.storage.Blob`."""

    def __init__(self, bucket: MemoryBucket, name: str, generation: int | None) -> None:
        self._bucket, self.name, self.generation = bucket, name, generation

    def upload_from_string(
        self, data: bytes, content_type: str = "", if_generation_match: int | None = None
    ) -> None:
        self.generation = self._bucket.simulation.call(
            f"write {self.name} if {if_generation_match}",
            lambda: self._bucket.put(self.name, data, if_generation_match),
            repeatable=if_generation_match is not None,
        )

    def upload_from_file(self, data: BinaryIO, rewind: bool = False, **options: Any) -> None:
        if rewind:
            data.seek(0)
        self.upload_from_string(data.read(), **options)

    def download_as_bytes(self) -> bytes:
        found = self._bucket.simulation.call(
            f"read {self.name}", lambda: self._bucket.get(self.name, self.generation)
        )
        self.generation = found.generation
        return found.content

    def open(self, mode: str = "rb", chunk_size: int = 0) -> BinaryIO:
        return io.BytesIO(self.download_as_bytes())

    def exists(self) -> bool:
        return self._bucket.simulation.call(
            f"look for {self.name}", lambda: self.name in self._bucket.objects
        )

    def delete(self) -> None:
        self._bucket.simulation.call(
            f"delete {self.name}", lambda: self._bucket.remove(self.name), repeatable=False
        )
