"""The base of the records that assets exchange."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """What one asset tells the next: immutable, small, valid JSON always (never NaN)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        defer_build=True,  # its validator is made when it is first used, not when it is imported
    )


def record_name(use_case: str, *asset: str) -> str:
    """Object name of the record of an asset (its name's parts, and its partition if it has one)."""
    return f"{use_case}/assets/{'/'.join(asset)}.json"
