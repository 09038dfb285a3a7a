"""Buckets: their rows in the database and the rules of their names."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from typing import Any

from vertex_emulator.errors import ApiError
from vertex_emulator.storage.database import Database
from vertex_emulator.storage.preconditions import NO_CONDITIONS, Preconditions
from vertex_emulator.storage.records import BucketRecord, now_microseconds

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_IP_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_MAX_COMPONENT = 63


def check_bucket_name(name: str) -> None:
    """Apply the rules of https://docs.cloud.google.com/storage/docs/buckets#naming.

    Raises:
        ApiError: 400 if the name breaks a rule.
    """
    valid = (
        _NAME.fullmatch(name)
        and all(1 <= len(part) <= _MAX_COMPONENT for part in name.split("."))
        and not _IP_ADDRESS.fullmatch(name)
        and not name.startswith("goog")
        and "google" not in name
    )
    if not valid:
        raise ApiError(400, f"Invalid bucket name: {name[:80]!r}.")


class BucketStore:
    """Creates, changes and finds buckets, and remembers those that it found."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, BucketRecord] = {}

    def create(self, name: str, project: str, fields: Mapping[str, Any]) -> BucketRecord:
        """Make a bucket.

        Raises:
            ApiError: 400 for a bad name, 409 when it exists.
        """
        check_bucket_name(name)
        now = now_microseconds()
        try:
            with self._database.transaction():
                self._database.execute(
                    "INSERT INTO buckets VALUES (?, ?, 1, ?, ?, ?)",
                    (name, project, now, now, json.dumps(fields)),
                )
        except sqlite3.IntegrityError:
            raise ApiError(
                409,
                "Your previous request to create the named bucket succeeded and you already"
                " own it.",
            ) from None
        return self.get(name)

    def get(self, name: str, conditions: Preconditions = NO_CONDITIONS) -> BucketRecord:
        """The bucket `name`.

        Raises:
            ApiError: 404 if there is none; 304 or 412 if a condition is not met.
        """
        bucket = self._known.get(name) or self._look_up(name)
        conditions.check(0, bucket.metageneration)
        return bucket

    def _look_up(self, name: str) -> BucketRecord:
        with self._database.transaction():  # no change is under way while the row is remembered
            rows = self._database.rows("SELECT * FROM buckets WHERE name = ?", (name,))
            if not rows:
                raise ApiError(404, "The specified bucket does not exist.")
            return self._known.setdefault(name, _record_of(rows[0]))

    def exists(self, name: str) -> bool:
        """Whether there is a bucket `name`."""
        try:
            return bool(self.get(name))
        except ApiError:
            return False

    def page(self, project: str, prefix: str, start_after: str, limit: int) -> list[BucketRecord]:
        """At most `limit` buckets of a project in the order of their names."""
        rows = self._database.rows(
            "SELECT * FROM buckets WHERE project = ? AND name > ? AND substr(name, 1, ?) = ?"
            " ORDER BY name LIMIT ?",
            (project, start_after, len(prefix), prefix, limit),
        )
        return [_record_of(row) for row in rows]

    def change_fields(
        self, name: str, fields: Mapping[str, Any], conditions: Preconditions, *, patch: bool
    ) -> BucketRecord:
        """Change what a client may set: with `patch` the fields that are given, else all of it.

        Raises:
            ApiError: 404 if there is none; 304 or 412 if a condition is not met; 400 if the
                location would change.
        """
        with self._database.transaction():
            bucket = self.get(name, conditions)
            changed = merge_patch(bucket.fields if patch else {}, fields)
            if changed.setdefault("location", bucket.location) != bucket.location:
                raise ApiError(400, f"The location of bucket {name} cannot be changed.")
            self._database.execute(
                "UPDATE buckets SET fields = ?, metageneration = metageneration + 1, updated = ?"
                " WHERE name = ?",
                (json.dumps(changed), now_microseconds(), name),
            )
            self._known.pop(name, None)
            self._database.when_rolled_back(lambda: self._known.pop(name, None))
            return self.get(name)

    def delete(self, name: str, conditions: Preconditions) -> None:
        """Remove an empty bucket.

        Raises:
            ApiError: 404 if there is none; 409 if it holds objects; 304 or 412 if a condition is
                not met.
        """
        with self._database.transaction():
            self.get(name, conditions)
            if self._database.rows("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (name,)):
                raise ApiError(409, "The bucket you tried to delete is not empty.")
            self._database.execute("DELETE FROM buckets WHERE name = ?", (name,))
            self._known.pop(name, None)


def _record_of(row: tuple[Any, ...]) -> BucketRecord:
    *columns, fields = row
    return BucketRecord(*columns, fields=json.loads(fields))


def merge_patch(target: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a JSON merge patch (https://www.rfc-editor.org/rfc/rfc7396): null removes a member."""
    merged = dict(target)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = merge_patch(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged
