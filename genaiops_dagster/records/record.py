"""The base of the records that assets exchange, and how records are stored and read.

A stored record says by which version of its schema it was written, `<major>.<minor>`; one without
was written by release 0.1.0 and counts as 1.0. A field that an older reader may do without raises
the minor part, and readers ignore what they do not know. What they must not ignore raises the major
part, and is refused by older readers with a sentence that says what to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pydantic_core
from pydantic import BaseModel, ConfigDict, ValidationError

from genaiops_dagster.records.layout import Layout

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

UPGRADE = "upgrade genaiops-dagster where this runs"
_VERSION = "schema_version"


class Record(BaseModel):
    """What one asset hands to the next: immutable, small, always valid JSON (never NaN).

    In code it has no fields but its own; where it is stored, `to_json` and `from_json` write and
    read its version next to them. A record inside another one has no version of its own: what
    changes it changes the version of the outer one as well.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        defer_build=True,  # its validator is made when it is first used, not when it is imported
    )

    schema_version: ClassVar[str] = "1.0"
    """Major and minor version of what is stored."""

    migrations: ClassVar[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}
    """For each earlier major version: makes of its stored fields those of the next one."""


R = TypeVar("R", bound=Record)


class NewerRecordError(RuntimeError):
    """A later release wrote what this one must not ignore; the message names it and the remedy."""


def to_json(record: Record, *, indent: int | None = None, exclude: Collection[str] = ()) -> bytes:
    """A record as it is stored: its version, then its fields.

    Args:
        record: What to store.
        indent: Spaces of indentation, for what a person may read; one line if None.
        exclude: Fields that are left out.
    """
    fields = record.model_dump(mode="json", exclude=set(exclude))
    stored = {_VERSION: record.schema_version, **fields}
    return pydantic_core.to_json(stored, indent=indent, inf_nan_mode="null")


def from_json(record_type: type[R], content: bytes | str, where: str) -> R:
    """The record that was stored as `content`, by this release, an earlier or a later one.

    Args:
        record_type: What it is.
        content: As `to_json` or an earlier release wrote it.
        where: Its address, for messages.

    Raises:
        NewerRecordError: a later release wrote it, and it cannot be read without what is new.
        pydantic.ValidationError: it is not such a record.
    """
    stored = _stored_version(content, where)
    known = _parsed(record_type.schema_version)
    if stored[0] > known[0]:
        raise _newer(record_type, stored, where)
    if stored[0] < known[0]:
        fields = json.loads(content)
        for major in range(stored[0], known[0]):
            fields = record_type.migrations[major](fields)
        content = json.dumps(fields)
    try:
        return record_type.model_validate_json(content, extra="ignore")
    except NewerRecordError as error:  # of a record that knows what may not be ignored
        raise NewerRecordError(f"{where}: {error}") from error
    except ValidationError as error:
        if stored > known:
            raise _newer(record_type, stored, where, f": {error}") from error
        raise


def require_rewritable(record_type: type[Record], content: bytes | str, where: str) -> None:
    """Check that what takes the place of a stored record, or goes on from it, loses nothing of it.

    Reading leaves out what a later minor version added; writing that back would remove it.

    Raises:
        NewerRecordError: a later version is stored than this release writes.
    """
    stored = _stored_version(content, where)
    if stored > _parsed(record_type.schema_version):
        raise _newer(record_type, stored, where, ", and would lose what is new if it went on")


def from_line(record_type: type[R], line: bytes | str) -> R:
    """The record in a line of an object or in a cursor, which have no version of their own.

    Raises:
        pydantic.ValidationError: it is not such a record.
    """
    return record_type.model_validate_json(line, extra="ignore")


def from_row(record_type: type[R], row: Mapping[str, Any]) -> R:
    """The record in a row of a table or file, which has no version of its own.

    Raises:
        pydantic.ValidationError: it is not such a record.
    """
    return record_type.model_validate(row, extra="ignore")


def read_record(store: ObjectStore, record_type: type[R], use_case: str, *asset: str) -> R:
    """The latest record of an asset that is far upstream, such as `"evaluation_report", "pro"`.

    For evidence that is read again: an edge for each piece would hide the lineage.

    Raises:
        FileNotFoundError: the asset was never materialized.
        NewerRecordError: a later release made it.
    """
    return read_object(store, Layout(use_case).record(*asset), record_type)


def read_object(store: ObjectStore, name: str, record_type: type[R]) -> R:
    """The record in the object `name`.

    Raises:
        FileNotFoundError: the asset was never materialized.
        NewerRecordError: a later release made it.
    """
    found = find_object(store, name, record_type)
    if found is None:
        asset = name.replace("/assets/", "/").removesuffix(".json")
        raise FileNotFoundError(f"{store.uri(name)} does not exist: materialize {asset} first")
    return found


def find_record(store: ObjectStore, record_type: type[R], use_case: str, *asset: str) -> R | None:
    """The latest record of an asset, or None when it was never materialized."""
    return find_object(store, Layout(use_case).record(*asset), record_type)


def find_object(store: ObjectStore, name: str, record_type: type[R]) -> R | None:
    """The record in the object `name`, or None when there is no such object.

    Raises:
        NewerRecordError: a later release made it.
    """
    content = store.read(name)
    return None if content is None else from_json(record_type, content, store.uri(name))


def _stored_version(content: bytes | str, where: str) -> tuple[int, int]:
    """Major and minor version; release 0.1.0's for content that has none or is not a record."""
    try:
        fields = json.loads(content)
    except ValueError:
        return 1, 0
    named = fields.get(_VERSION, "1.0") if isinstance(fields, dict) else "1.0"
    try:
        return _parsed(named)
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{where}: {_VERSION} is {named!r}, not a version such as 1.0; restore the object "
            "from a backup"
        ) from error


def _parsed(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)


def _newer(
    record_type: type[Record], stored: tuple[int, int], where: str, why: str = ""
) -> NewerRecordError:
    return NewerRecordError(
        f"{where} was written by a later release, as {record_type.__name__} "
        f"{stored[0]}.{stored[1]}; {UPGRADE}, which knows {record_type.schema_version}{why}"
    )
