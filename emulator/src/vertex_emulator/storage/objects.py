"""Object versions: writing, finding, changing and deleting them under preconditions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, BinaryIO

from vertex_emulator.errors import ApiError
from vertex_emulator.storage.buckets import BucketStore, merge_patch
from vertex_emulator.storage.contents import Content, ContentStore
from vertex_emulator.storage.database import Database
from vertex_emulator.storage.preconditions import NO_CONDITIONS, Preconditions
from vertex_emulator.storage.records import ObjectRecord, now_microseconds

_MAX_NAME_BYTES = 1024
_ONE_VERSION = "WHERE bucket = ? AND name = ? AND generation = ?"


def check_object_name(name: str) -> None:
    """Apply the rules of https://docs.cloud.google.com/storage/docs/objects#naming.

    Raises:
        ApiError: 400 if the name breaks a rule.
    """
    if not name:
        raise ApiError(400, "Required parameter: name", reason="required")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise ApiError(400, "Invalid object name: it is not UTF-8.") from None
    if length > _MAX_NAME_BYTES:
        raise ApiError(
            400, f"Invalid object name: {length} bytes long, the limit is {_MAX_NAME_BYTES}."
        )
    if name in {".", ".."} or {"\r", "\n"}.intersection(name):
        raise ApiError(400, f"Invalid object name: {name[:80]!r}.")
    if name.startswith(".well-known/acme-challenge/"):
        raise ApiError(400, "Invalid object name: it starts with '.well-known/acme-challenge/'.")


class ObjectStore:
    """The objects of all buckets: rows in the database, bytes in the content store."""

    def __init__(self, database: Database, contents: ContentStore, buckets: BucketStore) -> None:
        self._database = database
        self._contents = contents
        self._buckets = buckets
        self._last_generation = database.rows("SELECT max(generation) FROM objects")[0][0] or 0

    def find(self, bucket: str, name: str, generation: int | None = None) -> ObjectRecord | None:
        """The live version, or the one of `generation`; None when there is none."""
        if generation is None:
            rows = self._database.rows(
                "SELECT * FROM objects WHERE bucket = ? AND name = ? AND deleted IS NULL",
                (bucket, name),
            )
        else:
            rows = self._database.rows(
                f"SELECT * FROM objects {_ONE_VERSION}",  # noqa: S608 - a constant
                (bucket, name, generation),
            )
        return record_of(rows[0]) if rows else None

    def get(
        self,
        bucket: str,
        name: str,
        generation: int | None = None,
        conditions: Preconditions = NO_CONDITIONS,
    ) -> ObjectRecord:
        """The live version, or the one of `generation`.

        Raises:
            ApiError: 404 if there is none; 304 or 412 if a condition is not met.
        """
        record = self.find(bucket, name, generation)
        if record is None:
            self._buckets.get(bucket)
            version = "" if generation is None else f"#{generation}"
            raise ApiError(404, f"No such object: {bucket}/{name}{version}")
        conditions.check(record.generation, record.metageneration)
        return record

    def open(
        self,
        bucket: str,
        name: str,
        generation: int | None = None,
        conditions: Preconditions = NO_CONDITIONS,
    ) -> tuple[ObjectRecord, BinaryIO]:
        """A version and its bytes, which stay readable even when it is overwritten.

        Raises:
            ApiError: as `get`.
        """
        with self._database.transaction():  # within one, no file is removed
            record = self.get(bucket, name, generation, conditions)
            try:
                return record, self._contents.open(record.content)
            except FileNotFoundError:
                raise ApiError(
                    500,
                    f"The bytes of {bucket}/{name} are missing in the emulator's state folder:"
                    " write the object again, or start with an empty folder.",
                ) from None

    def check_write(self, bucket: str, name: str, conditions: Preconditions) -> None:
        """Fail early, before any bytes are taken, where `put` would fail.

        Raises:
            ApiError: 400 for a bad name; 404 for no bucket; 304 or 412 if a condition is not met.
        """
        check_object_name(name)
        self._buckets.get(bucket)
        _meet(conditions, self.find(bucket, name))

    def put(
        self,
        bucket: str,
        name: str,
        content: Content,
        fields: Mapping[str, Any],
        conditions: Preconditions = NO_CONDITIONS,
        components: int | None = None,
    ) -> ObjectRecord:
        """Make `content` the live version; the store owns the file from here on.

        Raises:
            ApiError: 400 for a bad name; 404 for no bucket; 304 or 412 if a condition is not met;
                403 if the live version is held.
        """
        with self._database.transaction():
            self._database.when_rolled_back(lambda: self._contents.remove(content.name))
            check_object_name(name)
            home = self._buckets.get(bucket)
            live = self.find(bucket, name)
            _meet(conditions, live)
            now = now_microseconds()
            if live:
                self._retire(live, keep=home.versioned, now=now)
            self._last_generation = max(self._last_generation + 1, now)
            record = ObjectRecord(
                bucket=bucket,
                name=name,
                generation=self._last_generation,
                metageneration=1,
                content=content.name,
                size=content.size,
                crc32c=content.crc32c,
                md5=content.md5,
                components=components,
                created=now,
                updated=now,
                deleted=None,
                fields={**home.object_defaults, **fields},
            )
            self._database.execute(
                "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row_of(record),
            )
            return record

    def change_fields(
        self,
        bucket: str,
        name: str,
        fields: Mapping[str, Any],
        *,
        generation: int | None = None,
        conditions: Preconditions = NO_CONDITIONS,
        patch: bool = True,
    ) -> ObjectRecord:
        """Change what a client may set: with `patch` the fields that are given, else all of it.

        Raises:
            ApiError: 404 if there is no such version; 304 or 412 if a condition is not met; 400 if
                a field may not change in this way.
        """
        with self._database.transaction():
            record = self.get(bucket, name, generation, conditions)
            wanted = merge_patch(record.fields if patch else {}, fields)
            _check_change(record.fields, wanted)
            changed = replace(
                record,
                fields=wanted,
                metageneration=record.metageneration + 1,
                updated=now_microseconds(),
            )
            self._database.execute(
                f"UPDATE objects SET fields = ?, metageneration = ?, updated = ? {_ONE_VERSION}",  # noqa: S608
                (
                    *(json.dumps(changed.fields), changed.metageneration, changed.updated),
                    *(bucket, name, record.generation),
                ),
            )
            return changed

    def delete(
        self,
        bucket: str,
        name: str,
        generation: int | None = None,
        conditions: Preconditions = NO_CONDITIONS,
    ) -> None:
        """Delete the live version (it becomes noncurrent in a versioned bucket) or a given one.

        Raises:
            ApiError: 404 if there is none; 304 or 412 if a condition is not met; 403 if it is held.
        """
        with self._database.transaction():
            record = self.get(bucket, name, generation, conditions)
            keep = generation is None and self._buckets.get(bucket).versioned
            self._retire(record, keep=keep, now=now_microseconds())

    def contents_in_use(self) -> set[str]:
        """Names of the files that some version needs."""
        return {row[0] for row in self._database.rows("SELECT content FROM objects")}

    def _retire(self, record: ObjectRecord, *, keep: bool, now: int) -> None:
        """Make a version noncurrent, or remove it."""
        if record.fields.get("temporaryHold") or record.fields.get("eventBasedHold"):
            raise ApiError(
                403,
                f"Object '{record.bucket}/{record.name}' is under active hold and cannot be"
                " deleted, overwritten or archived until the hold is removed.",
            )
        key = (record.bucket, record.name, record.generation)
        if keep:
            self._database.execute(
                f"UPDATE objects SET deleted = ? {_ONE_VERSION}",  # noqa: S608
                (now, *key),
            )
            return
        self._database.execute(f"DELETE FROM objects {_ONE_VERSION}", key)  # noqa: S608
        self._database.when_committed(lambda: self._contents.remove(record.content))


def _meet(conditions: Preconditions, live: ObjectRecord | None) -> None:
    conditions.check(live.generation if live else 0, live.metageneration if live else 0)


def record_of(row: tuple[Any, ...]) -> ObjectRecord:
    """The record of a row of `objects`."""
    *columns, fields = row
    return ObjectRecord(*columns, fields=json.loads(fields))


def row_of(record: ObjectRecord) -> tuple[Any, ...]:
    """The row of `objects` of a record."""
    return (
        *(record.bucket, record.name, record.generation, record.metageneration),
        *(record.content, record.size, record.crc32c, record.md5, record.components),
        *(record.created, record.updated, record.deleted, json.dumps(record.fields)),
    )


def _check_change(before: Mapping[str, Any], after: dict[str, Any]) -> None:
    """Apply the rules of https://docs.cloud.google.com/storage/docs/metadata for two fields."""
    if after.setdefault("storageClass", before["storageClass"]) != before["storageClass"]:
        raise ApiError(
            400, "The storage class of an existing object cannot be changed: rewrite the object."
        )
    if "customTime" in before:
        old, new = before["customTime"], after.get("customTime")
        if new is None or datetime.fromisoformat(new) < datetime.fromisoformat(old):
            raise ApiError(400, "Custom time cannot be removed or set to an earlier time.")
