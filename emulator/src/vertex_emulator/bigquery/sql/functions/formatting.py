"""FORMAT_DATE, PARSE_DATE and their like, and FORMAT.

https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements
"""

from __future__ import annotations

import re

from vertex_emulator.bigquery.sql.casts import cast, coerce, fail
from vertex_emulator.bigquery.sql.functions.dates import from_zone, in_zone
from vertex_emulator.bigquery.sql.parsing import invalid_query, refused
from vertex_emulator.bigquery.sql.scope import Typed
from vertex_emulator.bigquery.sql.signatures import Call, Functions, render
from vertex_emulator.bigquery.types import (
    DATE,
    DATETIME,
    FLOAT64,
    INT64,
    STRING,
    TIME,
    TIMESTAMP,
    text,
)

_ELEMENT = re.compile(r"%(E\*S|E4Y|Ez|E\dS|.)", re.DOTALL)
# Elements that stand for several others.
_COMPOUND = {
    "D": "%m/%d/%y",
    "F": "%Y-%m-%d",
    "R": "%H:%M",
    "T": "%H:%M:%S",
    "X": "%H:%M:%S",
    "c": "%a %b %e %H:%M:%S %Y",
    "h": "%b",
    "x": "%m/%d/%y",
    "E4Y": "%Y",
}
# What DuckDB prints under the same letter.
_SAME = frozenset("AaBbdGHIjMmpSUuVWwYy%")
_PRINTED = {
    "C": "lpad(CAST(date_part('year', {0}) // 100 AS VARCHAR), 2, '0')",
    "e": "lpad(CAST(date_part('day', {0}) AS VARCHAR), 2, ' ')",
    "k": "lpad(CAST(date_part('hour', {0}) AS VARCHAR), 2, ' ')",
    "l": "lpad(strftime({0}, '%-I'), 2, ' ')",
    "P": "lower(strftime({0}, '%p'))",
    "Q": "CAST(date_part('quarter', {0}) AS VARCHAR)",
    "g": "lpad(CAST(date_part('isoyear', {0}) % 100 AS VARCHAR), 2, '0')",
    "n": "chr(10)",
    "t": "chr(9)",
    "s": "CAST(CAST(floor(epoch_us({0}) / 1000000) AS BIGINT) AS VARCHAR)",
    "E*S": "strftime({0}, '%S') || regexp_replace(rtrim(strftime({0}, '.%f'), '0'), '\\.$', '')",
}
_CLOCK = frozenset(
    ("H", "I", "M", "S", "p", "P", "k", "l", "E*S", "R", "T", "X", "s", "E3S", "E6S")
)
_CALENDAR = frozenset("AaBbhdDeFGgjmUuVWwYyQCx") | {"E4Y"}
# Two digits of a year below 69 are of this century.
_PARSED = frozenset("AaBbdHIMmpSYy%j")


def _expanded(pattern: str) -> str:
    for _ in range(3):
        pattern = _ELEMENT.sub(
            lambda found: _COMPOUND.get(found[1], found[0]) if found[1] != "%" else found[0],
            pattern,
        )
    return pattern


def _format(call: Call) -> Typed:
    """FORMAT_<TYPE>(format, value[, zone])."""
    call.check_count(2, 3)
    name = call.name.removeprefix("FORMAT_")
    type_ = {"DATE": DATE, "DATETIME": DATETIME, "TIME": TIME, "TIMESTAMP": TIMESTAMP}[name]
    pattern = call.text_argument(0)
    value = coerce(call.argument(1), type_, call.node)
    if len(call.nodes) == 3:
        if type_ != TIMESTAMP:
            raise call.no_signature()
        value = in_zone(value, call.argument(2), call.node)
    elif type_ == TIMESTAMP:
        value = Typed(f"CAST({value.sql} AS TIMESTAMP)", DATETIME)
    moment = {
        DATE: f"CAST({value.sql} AS TIMESTAMP)",
        TIME: f"(DATE '1970-01-01' + {value.sql})",
    }.get(type_, value.sql)
    outside = _CLOCK if type_ == DATE else _CALENDAR if type_ == TIME else frozenset()
    utc = type_ == TIMESTAMP and len(call.nodes) == 2
    pieces = _pieces(call, _expanded(pattern), outside, utc=utc)
    sql = " || ".join(pieces) or "CASE WHEN {0} IS NULL THEN NULL ELSE '' END"
    return Typed(f"({render(sql, [Typed(moment, DATETIME)])})", STRING)


def _pieces(call: Call, pattern: str, outside: frozenset[str], *, utc: bool) -> list[str]:
    """DuckDB SQL of the parts of a format, with `{0}` for the value."""
    pieces: list[str] = []
    plain = ""
    end = 0
    for found in _ELEMENT.finditer(pattern):
        element = found[1]
        plain += pattern[end : found.start()].replace("%", "%%")
        end = found.end()
        if element in outside:
            raise refused(f"{call.name} with %{element}", call.node)
        if element in _SAME:
            plain += f"%{element}"
            continue
        if element in ("Z", "z", "Ez") and utc:
            plain += {"Z": "UTC", "z": "+0000", "Ez": "+00:00"}[element]
            continue
        fraction = re.fullmatch(r"E(\d)S", element)
        if element not in _PRINTED and not fraction:
            raise refused(f"{call.name} with %{element}", call.node)
        if plain:
            pieces.append(f"strftime({{0}}, {text(plain)})")
            plain = ""
        if fraction:
            digits = int(fraction[1])
            shown = f" || left(strftime({{0}}, '.%f'), {digits + 1})" if digits else ""
            pieces.append(f"strftime({{0}}, '%S'){shown}")
        else:
            pieces.append(_PRINTED[element])
    rest = pattern[end:]
    if "{" in pattern:
        raise refused(f"{call.name} with a brace in its format", call.node)
    plain += rest.replace("%", "%%")
    return [*pieces, f"strftime({{0}}, {text(plain)})"] if plain else pieces


def _parse(call: Call) -> Typed:
    """PARSE_<TYPE>(format, text[, zone]); what the format leaves out is that of 1970-01-01 0:00."""
    call.check_count(2, 3)
    name = call.name.removeprefix("PARSE_")
    type_ = {"DATE": DATE, "DATETIME": DATETIME, "TIME": TIME, "TIMESTAMP": TIMESTAMP}[name]
    value = coerce(call.argument(1), STRING, call.node)
    pattern = _expanded(call.text_argument(0))
    elements = {found[1] for found in _ELEMENT.finditer(pattern)}
    if unknown := elements - _PARSED - {"E*S", "e", "z", "Ez"}:
        raise refused(f"{call.name} with %{min(unknown)}", call.node)
    outside = _CLOCK if type_ == DATE else _CALENDAR if type_ == TIME else frozenset()
    if wrong := elements & (outside | ({"z", "Ez"} if type_ != TIMESTAMP else set())):
        raise invalid_query(f"Invalid format element %{min(wrong)} for {call.name}", call.node)
    pattern = pattern.replace("%e", "%d").replace("%Ez", "%z")
    source = value.sql
    if not elements & {"Y", "y"}:
        pattern, source = f"%Y {pattern}", f"'1970 ' || {source}"
    patterns = [pattern]
    if "E*S" in elements:
        patterns = [pattern.replace("%E*S", "%S.%f"), pattern.replace("%E*S", "%S")]
    listed = ", ".join(text(each) for each in patterns)
    moment = Typed(f"strptime({source}, [{listed}])", DATETIME)
    if elements & {"z", "Ez"}:
        return Typed(moment.sql, TIMESTAMP)
    if type_ != TIMESTAMP:
        return cast(moment, type_, call.node) if type_ != DATETIME else moment
    if len(call.nodes) == 3:
        return from_zone(moment, call.argument(2), call.node)
    return cast(moment, TIMESTAMP, call.node)


_SPECIFIER = re.compile(r"%(?:([-+ 0]*)(\d*)(?:\.(\d+))?([a-zA-Z'])|(%))")


def _printf(call: Call) -> Typed:
    """FORMAT(format, ...): %s, %d, %i, %f, %e, %x, %t with flags, width and precision."""
    call.check_count(1, 100)
    pattern = call.text_argument(0)
    pieces: list[str] = []
    arguments = call.arguments[1:]
    end = index = 0
    for found in _SPECIFIER.finditer(pattern):
        pieces.append(_verbatim(call, pattern[end : found.start()]))
        end = found.end()
        if found[5]:
            pieces.append("'%'")
            continue
        if index >= len(arguments):
            raise invalid_query("Too few arguments to FORMAT for pattern", call.node)
        pieces.append(_specified(call, found, arguments[index]))
        index += 1
    if index != len(arguments):
        raise invalid_query("Too many arguments to FORMAT for pattern", call.node)
    pieces.append(_verbatim(call, pattern[end:]))
    shown = [piece for piece in pieces if piece != "''"] or ["''"]
    return Typed(f"({' || '.join(shown)})", STRING)


def _verbatim(call: Call, part: str) -> str:
    if "%" in part:
        raise refused(f"FORMAT with {part[part.index('%') :][:5]!r}", call.node)
    return text(part)


def _specified(call: Call, found: re.Match[str], value: Typed) -> str:
    flags, width, precision, kind = found[1], found[2], found[3], found[4]
    if kind in ("d", "i", "x") and value.type == INT64 and precision is None:
        if kind == "x" and set(flags) - set("-0"):
            raise refused(f"FORMAT with {found[0]}", call.node)
        printed = text(f"%{flags}{width}{kind.replace('i', 'd')}")
        if kind == "x":
            failing = fail("'FORMAT of a negative number with %x'", STRING)
            return (
                f"CASE WHEN {value.sql} < 0 THEN {failing} ELSE printf({printed}, {value.sql}) END"
            )
        return f"printf({printed}, {value.sql})"
    if kind in ("f", "e") and value.type == FLOAT64:
        digits = precision or "6"
        return f"printf({text(f'%{flags}{width}.{digits}{kind}')}, {value.sql})"
    if kind == "s" and value.type == STRING and precision is None and not set(flags) - {"-"}:
        return f"printf({text(f'%{flags}{width}s')}, {value.sql})" if width else value.sql
    if kind == "t" and not flags and not width and precision is None and value.type in _SHOWN:
        shown = cast(value, STRING, call.node).sql if value.type != STRING else value.sql
        return f"coalesce({shown}, 'NULL')"
    raise refused(f"FORMAT with {found[0]} for {value.type}", call.node)


_SHOWN = (STRING, INT64, DATE, DATETIME, TIME, TIMESTAMP)


FUNCTIONS: Functions = {
    "FORMAT": _printf,
    **{f"FORMAT_{name}": _format for name in ("DATE", "DATETIME", "TIME", "TIMESTAMP")},
    **{f"PARSE_{name}": _parse for name in ("DATE", "DATETIME", "TIME", "TIMESTAMP")},
}
