"""What every part of the storage service shares."""

from __future__ import annotations

from dataclasses import dataclass

from genaiops_dagster.emulator.config import EmulatorConfig
from genaiops_dagster.emulator.stats import Stats
from genaiops_dagster.emulator.storage.buckets import BucketStore
from genaiops_dagster.emulator.storage.contents import ContentStore
from genaiops_dagster.emulator.storage.database import Database
from genaiops_dagster.emulator.storage.objects import ObjectStore
from genaiops_dagster.emulator.storage.sessions import SessionStore


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
