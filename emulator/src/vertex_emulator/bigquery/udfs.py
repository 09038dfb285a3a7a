"""Functions that DuckDB lacks or has with other results, in Python."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from itertools import islice
from typing import Any, Literal

import duckdb

from vertex_emulator.bigquery.values import canonical_json

_SCALE = Decimal("1e-9")
_WIDE = Context(prec=100, rounding=ROUND_HALF_UP)
_Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def numeric_divide(dividend: Decimal, divisor: Decimal) -> Decimal:
    """A quotient of NUMERICs, rounded half away from zero to nine digits after the point."""
    return _WIDE.divide(dividend, divisor).quantize(_SCALE, context=_WIDE)


def normalize(value: str, form: _Form) -> str:
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions#normalize."""
    return unicodedata.normalize(form, value)


def normalize_and_casefold(value: str, form: _Form) -> str:
    """Like `normalize`, for comparisons that disregard case."""
    return unicodedata.normalize(form, unicodedata.normalize(form, value).casefold())


# The default delimiters: https://cloud.google.com/bigquery/docs/reference/standard-sql/
# string_functions#initcap
_WORD = re.compile(r"[^\s\[\](){}/|<>!?@\"^#$&~_,.:;*%+\-\\=]+")


def initcap(value: str) -> str:
    """Every word with a capital first letter and small others."""
    return _WORD.sub(lambda word: word[0][:1].upper() + word[0][1:].lower(), value)


def sha512(value: bytes) -> bytes:
    """The SHA-512 digest."""
    return hashlib.sha512(value).digest()


def farm_fingerprint(value: bytes) -> int:
    """FarmHash's Fingerprint64 as a signed number."""
    import farmhash

    unsigned = int(farmhash.Fingerprint64(value))
    return unsigned - 2**64 if unsigned >= 2**63 else unsigned


def canonical_json_text(value: str) -> str:
    """JSON text as BigQuery keeps it; the first of two members with one name counts.

    Raises:
        ValueError: the text is not JSON.
    """
    return canonical_json(json.loads(value, object_pairs_hook=_first_members))


def _first_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        members.setdefault(name, value)
    return members


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    compiled = re2.compile(pattern, options)
    if compiled.groups > 1:
        raise ValueError(
            "Regular expressions passed into extraction functions must not have more"
            " than 1 capturing group"
        )
    return compiled


def _matches(value: str, pattern: str, position: int) -> Iterator[Any]:
    if position < 1:
        raise ValueError("position must be positive")
    if position <= len(value) + 1:
        yield from _compiled(pattern).finditer(value, position - 1)


def _occurrence(value: str, pattern: str, position: int, occurrence: int) -> Any:
    if occurrence < 1:
        raise ValueError("occurrence must be positive")
    return next(islice(_matches(value, pattern, position), occurrence - 1, None), None)


def re2_extract(
    value: str | None, pattern: str | None, position: int | None, occurrence: int | None
) -> str | None:
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions#regexp_extract.

    DuckDB's own function gives an empty text both for no match and for a group left out.
    """
    if value is None or pattern is None or position is None or occurrence is None:
        return None
    found = _occurrence(value, pattern, position, occurrence)
    return None if found is None else found.group(found.re.groups)


def re2_extract_all(value: str | None, pattern: str | None) -> list[str | None] | None:
    """All matches, or what the group matched in them."""
    if value is None or pattern is None:
        return None
    return [found.group(found.re.groups) for found in _matches(value, pattern, 1)]


def re2_position(
    value: str | None,
    pattern: str | None,
    position: int | None,
    occurrence: int | None,
    after: int | None,
) -> int | None:
    """Where a match begins, counted from 1, or the place behind it; 0 without a match."""
    if None in (value, pattern, position, occurrence, after):
        return None
    found = _occurrence(str(value), str(pattern), int(position or 0), int(occurrence or 0))
    if found is None:
        return 0
    group = found.re.groups
    return int(found.end(group) if after else found.start(group)) + 1


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the functions known to all connections of a database."""
    connection.create_function(
        "numeric_divide", numeric_divide, ["DECIMAL(38,9)", "DECIMAL(38,9)"], "DECIMAL(38,9)"
    )
    connection.create_function("normalize", normalize, ["VARCHAR", "VARCHAR"], "VARCHAR")
    connection.create_function(
        "normalize_and_casefold", normalize_and_casefold, ["VARCHAR", "VARCHAR"], "VARCHAR"
    )
    connection.create_function("initcap", initcap, ["VARCHAR"], "VARCHAR")
    connection.create_function("sha512", sha512, ["BLOB"], "BLOB")
    connection.create_function("farm_fingerprint", farm_fingerprint, ["BLOB"], "BIGINT")
    connection.create_function("canonical_json", canonical_json_text, ["VARCHAR"], "VARCHAR")
    text = ["VARCHAR", "VARCHAR"]
    for name, function, parameters, result in (
        ("re2_extract", re2_extract, [*text, "BIGINT", "BIGINT"], "VARCHAR"),
        ("re2_extract_all", re2_extract_all, text, "VARCHAR[]"),
        ("re2_position", re2_position, [*text, "BIGINT", "BIGINT", "BIGINT"], "BIGINT"),
    ):
        connection.create_function(name, function, parameters, result, null_handling="special")
