"""What a test states about the type of a value before it looks into it."""

from __future__ import annotations

from typing import Any, TypeVar

import dagster as dg

T = TypeVar("T")


def present(value: T | None) -> T:
    """Returns `value`, which must not be None."""
    assert value is not None, "the value is missing"
    return value


def text_of(entry: dg.MetadataValue[Any]) -> str:
    """Returns the text that a metadata entry shows."""
    assert isinstance(entry.value, str), f"not a text: {entry.value!r}"
    return entry.value
