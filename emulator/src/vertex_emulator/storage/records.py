"""The database's records of a bucket and of an object version."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def now_microseconds() -> int:
    """Microseconds since 1970: the unit of generations and of every stored time."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class BucketRecord:
    """One bucket; `fields` holds what a client may set, under the API's names."""

    name: str
    project: str
    metageneration: int
    created: int
    updated: int
    fields: Mapping[str, Any] = field(kw_only=True)

    @property
    def versioned(self) -> bool:
        """Whether overwritten and deleted objects are kept as noncurrent versions."""
        return bool(self.fields.get("versioning", {}).get("enabled"))

    @property
    def location(self) -> str:
        """The location that the bucket claims."""
        return str(self.fields.get("location", "US"))

    @property
    def object_defaults(self) -> dict[str, Any]:
        """Fields that a new object has unless the request sets them."""
        defaults = {"storageClass": self.fields.get("storageClass", "STANDARD")}
        if self.fields.get("defaultEventBasedHold"):
            return {**defaults, "eventBasedHold": True}
        return defaults


@dataclass(frozen=True)
class ObjectRecord:
    """One version of an object.

    Attributes:
        bucket: Name of its bucket.
        name: Object name.
        generation: Version of the bytes: microseconds, growing within the whole store.
        metageneration: Version of the metadata, from 1.
        content: Name of the file that holds the bytes.
        size: Length in bytes.
        crc32c: Base64, as the API shows it.
        md5: Base64, or None for a composite object.
        components: Number of objects that a composite object was made of.
        created: When the version was written, in microseconds.
        updated: When its metadata changed last, in microseconds.
        deleted: When it became noncurrent, in microseconds; None while it is live.
        fields: What a client may set, under the API's names.
    """

    bucket: str
    name: str
    generation: int
    metageneration: int
    content: str
    size: int
    crc32c: str
    md5: str | None
    components: int | None
    created: int
    updated: int
    deleted: int | None
    fields: Mapping[str, Any] = field(kw_only=True)
