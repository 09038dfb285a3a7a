"""Shared by all sections of a use case file: their base, and the names that they use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

TUNED = "tuned"
"""As a candidate's `model`: the model that this use case tunes."""

CHAMPION = "champion"
"""As a gate rule's `candidate`: whatever production serves now."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section of the file: immutable, and closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def require(field: str, found: str, allowed: Iterable[str]) -> None:
    """Refuse a name that the file does not define.

    Args:
        field: Path of the field in the file, with dots.
        found: The name in the file.
        allowed: The names that are defined.

    Raises:
        PydanticCustomError: the name is not one of them.
    """
    if found not in allowed:
        raise wrong_name(field, found, allowed)


def wrong_name(field: str, found: str, allowed: Iterable[str]) -> PydanticCustomError:
    """The error of a name that `field` must not have."""
    return PydanticCustomError(
        "wrong_name",
        "found {found}, allowed: {allowed}",
        {"found": repr(found), "allowed": ", ".join(sorted(allowed)), "field": field},
    )
