"""JSON values of rows and query parameters, read as the values that their schema says they are.

What each type accepts follows
https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json#details_of_loading_json_data
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from vertex_emulator.bigquery.types import Field, Type

_SCALE = Decimal("1e-9")
_WIDE = Context(prec=60, rounding=ROUND_HALF_UP)
# https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types
_NUMERIC_LIMIT = Decimal("1e29")

_DATE = r"(\d{1,4})-(\d{1,2})-(\d{1,2})"
_TIME = r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,6}))?"
_ZONE = r"\s?(?:(Z|z|UTC)|([+-])(\d{1,2})(?::?(\d{2}))?|([A-Za-z_]+(?:/[A-Za-z_+\-0-9]+)+))"
_DATE_PATTERN = re.compile(_DATE)
_TIME_PATTERN = re.compile(_TIME)
_DATETIME_PATTERN = re.compile(rf"{_DATE}(?:[Tt ]{_TIME})?")
_TIMESTAMP_PATTERN = re.compile(rf"{_DATE}(?:[Tt ]{_TIME})?(?:{_ZONE})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class InvalidValueError(ValueError):
    """A value that its column cannot hold.

    Args:
        path: Dotted name of the column, with the index of a repeated value.
        message: What is wrong.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{message} Field: {path}" if path else message)
        self.path = path
        self.message = message


def parse_row(
    row: Any, fields: tuple[Field, ...], *, ignore_unknown: bool = False, json_text: bool = False
) -> dict[str, Any]:
    """The values of one JSON row, by column name, absent ones as None.

    Args:
        row: JSON object; keys match column names in any case.
        fields: Columns.
        ignore_unknown: Skip keys that are not columns.
        json_text: Whether strings given for JSON columns are JSON text (as in `insertAll`)
            and not JSON strings (as in a loaded file).

    Raises:
        InvalidValueError: a value does not fit, or a key is not a column.
    """
    return _parse_members(row, fields, "", ignore_unknown, json_text)


def _parse_members(
    row: Any, fields: tuple[Field, ...], path: str, ignore_unknown: bool, json_text: bool
) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise InvalidValueError(path, "This field is a record: a JSON object is needed.")
    by_name = {key.lower(): value for key, value in row.items()}
    prefix = f"{path}." if path else ""
    values = {
        field.name: parse_value(
            by_name.pop(field.name.lower(), None),
            field.type,
            prefix + field.name,
            ignore_unknown=ignore_unknown,
            json_text=json_text,
        )
        for field in fields
    }
    if by_name and not ignore_unknown:
        raise InvalidValueError(f"{prefix}{next(iter(by_name))}", "no such field.")
    return values


def parse_value(
    value: Any, type_: Type, path: str, *, ignore_unknown: bool = False, json_text: bool = False
) -> Any:
    """One JSON value as the Python value that DuckDB and Arrow take for `type_`.

    Raises:
        InvalidValueError: the value is not one of that type.
    """
    if type_.element is not None:
        if value is None:
            return []
        if not isinstance(value, list):
            raise InvalidValueError(path, "Array specified for non-repeated field or the reverse.")
        if any(element is None for element in value):
            raise InvalidValueError(path, "Only optional fields can be set to NULL.")
        return [
            parse_value(
                element,
                type_.element,
                f"{path}[{index}]",
                ignore_unknown=ignore_unknown,
                json_text=json_text,
            )
            for index, element in enumerate(value)
        ]
    if value is None:
        return None
    if type_.name == "STRUCT":
        return _parse_members(value, type_.fields, path, ignore_unknown, json_text)
    if type_.name == "JSON":
        return _json(value, path, json_text)
    if isinstance(value, list | dict):
        raise InvalidValueError(path, f"Could not convert a JSON list or object to {type_}.")
    try:
        return _SCALARS[type_.name](value)
    except (ValueError, InvalidOperation, OverflowError, binascii.Error) as error:
        shown = str(value)[:100]
        raise InvalidValueError(path, f"Could not convert value {shown!r} to {type_}.") from error


def canonical_json(value: Any) -> str:
    """JSON as BigQuery keeps it: members by name, no blanks.

    Its documentation only says that the order of members is not kept; this is the order that the
    results there have.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _json(value: Any, path: str, json_text: bool) -> str:
    if json_text and isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise InvalidValueError(path, "Could not parse the text as JSON.") from error
    return canonical_json(value)


def _int64(value: Any) -> int:
    # Python takes digits apart with underscores.
    if isinstance(value, bool) or "_" in str(value):
        raise ValueError(value)
    number = int(value)
    if isinstance(value, float) and number != value:
        raise ValueError(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError(value)
    return number


def _float64(value: Any) -> float:
    if isinstance(value, bool) or "_" in str(value):
        raise ValueError(value)
    return float(value)


def _numeric(value: Any) -> Decimal:
    if isinstance(value, bool) or "_" in str(value):
        raise ValueError(value)
    number = Decimal(repr(value) if isinstance(value, float) else value)
    if not number.is_finite() or abs(number) >= _NUMERIC_LIMIT:
        raise OverflowError(value)
    return number.quantize(_SCALE, context=_WIDE)


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    word = str(value).lower()
    if word not in words:
        raise ValueError(value)
    return words[word]


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError(value)
    # Both alphabets of base64 are taken, as Google's parser does.
    return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)


def _matched(pattern: re.Pattern[str], value: Any) -> re.Match[str]:
    match = pattern.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(value)
    return match


def _date(value: Any) -> date:
    return date(*(int(part) for part in _matched(_DATE_PATTERN, value).groups()))


def _clock(parts: tuple[str | None, ...]) -> tuple[int, int, int, int]:
    hour, minute, second, fraction = parts
    return int(hour or 0), int(minute or 0), int(second or 0), int((fraction or "").ljust(6, "0"))


def _time(value: Any) -> time:
    return time(*_clock(_matched(_TIME_PATTERN, value).groups()))


def _moment(groups: tuple[str | Any, ...]) -> datetime:
    day = date(int(groups[0]), int(groups[1]), int(groups[2]))
    return datetime.combine(day, time(*_clock(groups[3:7])))


def _datetime(value: Any) -> datetime:
    groups = _matched(_DATETIME_PATTERN, value).groups()
    return _moment(groups)


def _timestamp(value: Any) -> datetime:
    if isinstance(value, bool):
        raise ValueError(value)
    if isinstance(value, int | float) or re.fullmatch(r"-?\d+(\.\d+)?([eE]\d+)?", value):
        seconds = Decimal(str(value))
        return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
    groups = _matched(_TIMESTAMP_PATTERN, value).groups()
    _, sign, hours, minutes, name = groups[7:]
    zone: timezone | ZoneInfo = UTC
    if sign:
        offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
        zone = timezone(-offset if sign == "-" else offset)
    elif name:
        try:
            zone = ZoneInfo(name)
        except (KeyError, OSError) as error:
            raise ValueError(value) from error
    return _moment(groups).replace(tzinfo=zone).astimezone(UTC)


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "INT64": _int64,
    "FLOAT64": _float64,
    "NUMERIC": _numeric,
    "BOOL": _bool,
    "STRING": _string,
    "BYTES": _bytes,
    "DATE": _date,
    "TIME": _time,
    "DATETIME": _datetime,
    "TIMESTAMP": _timestamp,
}
