"""Pictures as text: sorted, a line for each thing, so that a difference can be read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

_WIDTH = 120


def layout(value: Any) -> str:
    """JSON with sorted keys, in which whatever fits into a line stands on one."""
    return _laid_out(value, "") + "\n"


def _laid_out(value: Any, indent: str) -> str:
    line = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if len(indent) + len(line) < _WIDTH or not value or not isinstance(value, dict | list):
        return line
    inner = f"{indent} "
    if isinstance(value, dict):
        parts: Iterable[str] = (
            f"{json.dumps(key, ensure_ascii=False)}: {_laid_out(part, inner)}"
            for key, part in sorted(value.items())
        )
        first, last = "{", "}"
    else:
        parts = (_laid_out(part, inner) for part in value)
        first, last = "[", "]"
    return f"{first}\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}{last}"
