"""Listing objects: a page at a time, grouped by a delimiter, in the order of UTF-8 names.

https://docs.cloud.google.com/storage/docs/json_api/v1/objects/list
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any

from vertex_emulator.errors import ApiError
from vertex_emulator.storage.database import Database
from vertex_emulator.storage.globs import compile_glob, literal_prefix
from vertex_emulator.storage.objects import record_of
from vertex_emulator.storage.records import ObjectRecord

MAX_PAGE = 1000
_FIRST_GROUPS = 8
_SURROGATES = range(0xD800, 0xE000)
_LAST_CODE_POINT = 0x10FFFF

# Where a look-up starts: an object name and, among its versions, a generation.
Position = tuple[str, int]


@dataclass(frozen=True)
class ListQuery:
    """What a client asks to be listed; `limit` counts objects and prefixes together."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    end: str = ""
    glob: str = ""
    versions: bool = False
    trailing_delimiter: bool = False
    limit: int = MAX_PAGE
    page_token: str = ""


@dataclass
class Page:
    """One page: objects, common prefixes, and the token of the next page, if there is one."""

    records: list[ObjectRecord] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_token: str | None = None


def list_objects(database: Database, query: ListQuery) -> Page:
    """The page that `query` asks for.

    Raises:
        ApiError: 400 if the page token or the glob is malformed.
    """
    pattern = compile_glob(query.glob) if query.glob else None
    beginning = literal_prefix(query.glob)
    start: Position = (max(query.start, query.prefix, beginning), 0)
    if query.page_token:
        start = max(start, decode_page_token(query.page_token))
    bounds = (query.end or None, successor(query.prefix), successor(beginning))
    end = min((bound for bound in bounds if bound is not None), default=None)

    page = Page()
    position: Position | None = start
    count = _FIRST_GROUPS if query.delimiter else query.limit + 1
    while position is not None:
        rows = _rows(database, query, position, end, count)
        position = _take(page, query, pattern, rows, whole=len(rows) < count)
        # The rest of a large group was read in vain: read little until the names differ again.
        in_group = position is not None and position[1] == 0
        count = _FIRST_GROUPS if in_group else min(count * 4, MAX_PAGE + 1)
    return page


def live_names(database: Database, bucket: str, prefix: str) -> list[str]:
    """The names of all live objects that start with `prefix`, in order."""
    end = successor(prefix)
    before_end = "" if end is None else " AND name < ?"
    rows = database.rows(
        "SELECT name FROM objects WHERE bucket = ? AND deleted IS NULL AND name >= ?"  # noqa: S608
        f"{before_end} ORDER BY name",
        [bucket, prefix] if end is None else [bucket, prefix, end],
    )
    return [name for (name,) in rows]


def _take(
    page: Page,
    query: ListQuery,
    pattern: re.Pattern[str] | None,
    rows: list[tuple[Any, ...]],
    *,
    whole: bool,
) -> Position | None:
    """Put rows on the page; returns where to look for more, None when the page is done.

    Names below one common prefix that go on after `rows` are skipped with a single look-up, so that
    the cost of a page does not grow with the number of objects that it groups. `whole` says that no
    rows follow.
    """
    skipped: str | None = None
    for row in rows:
        name, generation = row[1], row[2]
        group = _group(name, query)
        is_placeholder = query.trailing_delimiter and name == group
        if group is not None and group == skipped and not is_placeholder:
            continue
        skipped = None
        if pattern is None or pattern.fullmatch(group or name):
            is_new = group is None or group not in page.prefixes[-1:]
            if is_new and len(page.records) + len(page.prefixes) >= query.limit:
                page.next_token = encode_page_token(name, generation)
                return None
            if is_new and group is not None:
                page.prefixes.append(group)
            if group is None or is_placeholder:
                page.records.append(record_of(row))
        if group is not None and not is_placeholder:
            skipped = group
    if whole:
        return None
    if skipped is not None:
        after = successor(skipped)
        return None if after is None else (after, 0)
    return rows[-1][1], rows[-1][2] + 1


def _group(name: str, query: ListQuery) -> str | None:
    """The common prefix under which `name` is shown; None when it is shown itself."""
    if not query.delimiter:
        return None
    end = name.find(query.delimiter, len(query.prefix))
    return None if end < 0 else name[: end + len(query.delimiter)]


def _rows(
    database: Database, query: ListQuery, position: Position, end: str | None, count: int
) -> list[tuple[Any, ...]]:
    name, generation = position
    where = "(name, generation) >= (?, ?)"
    parameters: list[Any] = [query.bucket, name, generation]
    if not query.versions:
        where += " AND deleted IS NULL"
    if end is not None:
        where += " AND name < ?"
        parameters.append(end)
    return database.rows(
        f"SELECT * FROM objects WHERE bucket = ? AND {where}"  # noqa: S608
        " ORDER BY name, generation LIMIT ?",
        [*parameters, count],
    )


def successor(prefix: str) -> str | None:
    """The least string that comes after everything that starts with `prefix`; None if none does."""
    while prefix:
        last = ord(prefix[-1])
        if last < _LAST_CODE_POINT:
            following = last + 1
            return prefix[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)
        prefix = prefix[:-1]
    return None


def encode_page_token(name: str, generation: int) -> str:
    """The opaque token of the page that starts at a version of an object."""
    return base64.urlsafe_b64encode(json.dumps([name, generation]).encode()).decode()


def decode_page_token(token: str) -> Position:
    """The version that a page starts at.

    Raises:
        ApiError: 400 if it is not a token of `encode_page_token`.
    """
    try:
        name, generation = json.loads(base64.urlsafe_b64decode(token))
        name.encode()
        if isinstance(name, str) and isinstance(generation, int) and 0 <= generation < 2**63:
            return name, generation
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    raise ApiError(400, f"Invalid pageToken: {token[:80]!r}.")
