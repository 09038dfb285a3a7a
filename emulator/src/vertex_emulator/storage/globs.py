"""Glob patterns of object names.

https://docs.cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob
"""

from __future__ import annotations

import re

from vertex_emulator.errors import ApiError

_MAX_LENGTH = 1024


def compile_glob(glob: str) -> re.Pattern[str]:
    """The regular expression that matches whole names as the glob does.

    `*` stands for any characters but `/`, `**` for any characters, `?` for one character but `/`,
    `[...]` for one of a set or range (`[!...]` or `[^...]` for none of it), `{a,b}` for one of
    several globs; a backslash takes away the next character's meaning.

    Raises:
        ApiError: 400 if the glob is malformed.
    """
    if len(glob) > _MAX_LENGTH:
        raise ApiError(400, f"Invalid matchGlob: longer than {_MAX_LENGTH} characters.")
    parts: list[str] = []
    position = depth = 0
    while position < len(glob):
        character = glob[position]
        position += 1
        if character == "*":
            stars = len(glob[position:]) - len(glob[position:].lstrip("*"))
            position += stars
            parts.append(".*" if stars else "[^/]*")
        elif character == "?":
            parts.append("[^/]")
        elif character == "[":
            characters, position = _character_class(glob, position)
            parts.append(characters)
        elif character == "{":
            depth += 1
            parts.append("(?:")
        elif character == "}" and depth:
            depth -= 1
            parts.append(")")
        elif character == "," and depth:
            parts.append("|")
        else:
            if character == "\\" and position < len(glob):
                character = glob[position]
                position += 1
            parts.append(re.escape(character))
    try:
        if depth:
            raise ValueError("an open brace")
        return re.compile("".join(parts), re.DOTALL)
    except (ValueError, re.error, RecursionError, OverflowError):
        raise ApiError(400, f"Invalid matchGlob: {glob[:80]!r}.") from None


def _character_class(glob: str, start: int) -> tuple[str, int]:
    """The class that opens before `start`, and the position after its closing bracket."""
    negated = glob[start : start + 1] in {"!", "^"}
    first = start + negated
    end = glob.find("]", first + 1)
    if end < 0:
        raise ApiError(400, f"Invalid matchGlob: {glob[:80]!r} has an open bracket.")
    characters = re.sub(r"([\\\[\]^&~|])", r"\\\1", glob[first:end])
    return f"[{'^/' if negated else ''}{characters}]", end + 1


def literal_prefix(glob: str) -> str:
    """The text that every match begins with."""
    return re.split(r"[*?\[{\\]", glob, maxsplit=1)[0]
