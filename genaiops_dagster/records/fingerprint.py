"""Fingerprints: a sha256 over everything that decides a result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel


def fingerprint(*parts: Any) -> str:
    """Hex sha256 of `parts` in canonical JSON; equal parts give equal fingerprints.

    Args:
        parts: JSON values or pydantic models, nested as you like.

    Raises:
        TypeError: a part has no JSON form.
    """
    text = json.dumps(parts, default=_plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be part of a fingerprint")
