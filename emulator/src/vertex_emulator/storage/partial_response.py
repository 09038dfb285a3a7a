"""The `fields` parameter: which parts of an answer a client wants.

https://docs.cloud.google.com/storage/docs/json_api#partial-response
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from vertex_emulator.errors import ApiError

_TOKEN = re.compile(r"[(),/]|[^(),/\s]+")
_MAX_DEPTH = 20

Selection = dict[str, "Selection"]


def parse_selector(selector: str) -> Selection:
    """A selector, such as `items(name,size),nextPageToken`, as a tree of names.

    An empty tree below a name stands for all of it.

    Raises:
        ApiError: 400 if the selector is malformed.
    """
    tokens = iter([*_TOKEN.findall(selector), ""])
    try:
        selection, end = _parse(tokens, _MAX_DEPTH)
    except ValueError:
        end = "?"
    if end or not selection:
        raise ApiError(400, f"Invalid field selection {selector[:80]!r}.")
    return selection


def _parse(tokens: Iterator[str], depth: int) -> tuple[Selection, str]:
    """Read a comma-separated list; returns it and the token that ended it."""
    if not depth:
        raise ValueError("nested too deep")
    selection: Selection = {}
    while True:
        below, end = _parse_path(tokens, selection, depth)
        if end == "(":
            inner, end = _parse(tokens, depth - 1)
            if end != ")":
                raise ValueError("unclosed parenthesis")
            below.update(inner)
            end = next(tokens)
        if end != ",":
            return selection, end


def _parse_path(tokens: Iterator[str], selection: Selection, depth: int) -> tuple[Selection, str]:
    """Read `name/name/...` into `selection`; returns the last name's tree and the next token."""
    end = "/"
    while end == "/" and depth:
        name = next(tokens)
        if not name or name in "(),/":
            raise ValueError("a name is missing")
        selection = selection.setdefault(name, {})
        end = next(tokens)
        depth -= 1
    return selection, end


def select_fields(resource: Mapping[str, Any], selection: Selection) -> dict[str, Any]:
    """The parts of `resource` that the client wants."""
    selected: dict[str, Any] = _select(resource, selection)
    return selected


def _select(value: Any, selection: Selection) -> Any:
    if not selection:
        return value
    if isinstance(value, list):
        return [_select(item, selection) for item in value]
    if not isinstance(value, Mapping):
        return value
    everything = selection.get("*")
    return {
        name: _select(below, selection.get(name, everything or {}))
        for name, below in value.items()
        if name in selection or everything is not None
    }
