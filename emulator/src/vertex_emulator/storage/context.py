"""What every part of the storage service shares."""

from __future__ import annotations

from dataclasses import dataclass

from vertex_emulator.config import EmulatorConfig
from vertex_emulator.stats import Stats
from vertex_emulator.storage.buckets import BucketStore
from vertex_emulator.storage.contents import ContentStore
from vertex_emulator.storage.database import Database
from vertex_emulator.storage.objects import ObjectStore
from vertex_emulator.storage.sessions import SessionStore


@dataclass(frozen=True)
class StorageContext:
    """The stores that request handlers work with."""

    config: EmulatorConfig
    stats: Stats
    database: Database
    contents: ContentStore
    buckets: BucketStore
    objects: ObjectStore
    sessions: SessionStore
