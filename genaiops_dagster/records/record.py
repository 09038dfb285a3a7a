"""The base of the records that assets exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict

from genaiops_dagster.records.layout import Layout

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

R = TypeVar("R", bound=BaseModel)


class Record(BaseModel):
    """What one asset tells the next: immutable, small, valid JSON always (never NaN)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        defer_build=True,  # its validator is made when it is first used, not when it is imported
    )


def read_record(store: ObjectStore, record_type: type[R], use_case: str, *asset: str) -> R:
    """The latest record of an asset that is far upstream, such as `"evaluation_report", "pro"`.

    For evidence that is read again: an edge for each piece would hide the lineage.

    Raises:
        FileNotFoundError: the asset was never materialized.
    """
    return read_object(store, Layout(use_case).record(*asset), record_type)


def read_object(store: ObjectStore, name: str, record_type: type[R]) -> R:
    """The record in the object `name`.

    Raises:
        FileNotFoundError: the asset was never materialized.
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
    """The record in the object `name`, or None when there is no such object."""
    content = store.read(name)
    return None if content is None else record_type.model_validate_json(content)
