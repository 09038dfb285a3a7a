"""Reading requests as the API does: proto's JSON mapping, every mistake named with its place.

The mapping is https://protobuf.dev/programming-guides/json: both spellings of a field's name,
integers as numbers or strings, enum values by name or number, `null` for a field left out. What
comes out is a plain dict in one spelling (lowerCamelCase, enum values by name where they are
known), so that handlers neither convert nor build message objects: that is what makes hundreds of
requests a second possible.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from vertex_emulator.errors import ApiError
from vertex_emulator.vertex.schema import schema
from vertex_emulator.vertex.schema_form import Field, Schema

Document = dict[str, Any]

_TYPE_URL = "type.googleapis.com/google.cloud.aiplatform.v1beta1."
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_INTEGERS = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_DURATION = re.compile(r"-?\d{1,12}(\.\d{1,9})?s")
_MAX_DEPTH = 100


def parse(message: str, body: bytes) -> Document:
    """Read the JSON `body` as the message named `message`, such as `GenerateContentRequest`.

    Raises:
        ApiError: 400 INVALID_ARGUMENT that lists every unknown field and wrong value, in the
            words that Google's JSON parser uses.
    """
    if not body.strip():
        return {}
    try:
        value = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
        if b"\\ud" in body.lower():
            json.dumps(value, ensure_ascii=False).encode()  # fails on half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"Invalid JSON payload received. {error}") from error
    return check(message, value)


def check(message: str, value: Any) -> Document:
    """Read `value`, which came out of JSON, as the message named `message`; see `parse`."""
    reader = _Reader(schema())
    if not isinstance(value, dict):
        raise ApiError(
            400, 'Invalid JSON payload received. Unknown name "": Root element must be a message.'
        )
    document = reader.message(message, value, "", 0)
    if reader.violations:
        raise bad_request(reader.violations)
    return document


def timestamp(moment: datetime) -> str:
    """A time as the API prints it: in UTC, with microseconds and a Z."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def bad_request(violations: list[tuple[str, str]]) -> ApiError:
    """A 400 with one violation for each (field path, description)."""
    details = [
        {"field": path, "description": text} if path else {"description": text}
        for path, text in violations
    ]
    return ApiError(
        400,
        "\n".join(text for _, text in violations),
        details=[{"@type": _BAD_REQUEST, "fieldViolations": details}],
    )


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"Number out of range. {text[:50]}")
    return number


def _refuse_constant(name: str) -> float:
    raise ValueError(f"Unexpected token. {name}")


class _Reader:
    """Reads one value; collects violations as (field path, description)."""

    def __init__(self, known: Schema) -> None:
        self._known = known
        self.violations: list[tuple[str, str]] = []

    def message(self, name: str, value: Document, path: str, depth: int) -> Document:
        fields = self._known.messages[name]
        document: Document = {}
        groups: dict[str, str] = {}
        if depth > _MAX_DEPTH:
            self._violation(path, "Message too deep. Max recursion depth reached.")
            return document
        for key, item in value.items():
            field = fields.get(key)
            if field is None:
                at = f" at '{path}'" if path else ""
                self._violation(
                    path,
                    f'Invalid JSON payload received. Unknown name "{key}"{at}: Cannot find field.',
                )
                continue
            if item is None and field.kind != "value":
                continue
            if field.oneof:
                first = groups.setdefault(field.oneof, key)
                if first != key:
                    self._violation(
                        path,
                        f"Invalid value at '{path}' (oneof), oneof field '{field.oneof}' is already"
                        f" set. Cannot set '{key}'",
                    )
                    continue
            place = f"{path}.{_snake(key)}" if path else _snake(key)
            document[field.name] = self._field(field, item, path, key, place, depth + 1)
        return document

    def _field(self, field: Field, value: Any, path: str, key: str, place: str, depth: int) -> Any:
        if field.mapped:
            if not isinstance(value, dict):
                return self._wrong(place, "map", value)
            return {
                name: self._value(field, item, f"{place}[{name!r}]", depth)
                for name, item in value.items()
            }
        if field.repeated:
            # Google's parser takes a single value for a list of one.
            items = value if isinstance(value, list) else [value]
            return [
                self._value(field, item, f"{place}[{index}]", depth)
                for index, item in enumerate(items)
            ]
        if isinstance(value, list) and field.kind not in ("value", "list"):
            at = f" at '{path}'" if path else ""
            self._violation(
                path,
                f'Invalid JSON payload received. Unknown name "{key}"{at}:'
                " Proto field is not repeating, cannot start list.",
            )
            return None
        return self._value(field, value, place, depth)

    def _value(self, field: Field, value: Any, place: str, depth: int) -> Any:
        kind = field.kind
        if kind == "string":
            return value if isinstance(value, str) else self._wrong(place, "TYPE_STRING", value)
        if kind == "message":
            if isinstance(value, dict):
                return self.message(field.type, value, place, depth)
            return self._wrong(place, _TYPE_URL + field.type, value)
        if kind == "enum":
            return self._enum(field.type, value, place)
        if kind in ("value", "list", "struct"):
            wanted = {"struct": dict, "list": list}.get(kind)
            if wanted and not isinstance(value, wanted):
                return self._wrong(place, f"type.googleapis.com/google.protobuf.{kind}", value)
            return value
        parsed = _scalar(kind, value)
        return self._wrong(place, f"TYPE_{kind.upper()}", value) if parsed is None else parsed

    def _enum(self, name: str, value: Any, place: str) -> Any:
        numbers = self._known.enums[name]
        if isinstance(value, str) and value in numbers:
            return value
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,10}", value):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return next((name for name, number in numbers.items() if number == value), value)
        return self._wrong(place, _TYPE_URL + name, value)

    def _wrong(self, place: str, wanted: str, value: Any) -> None:
        shown = json.dumps(value)
        shown = shown if len(shown) <= 200 else shown[:200] + "…"
        self._violation(place, f"Invalid value at '{place}' ({wanted}), {shown}")

    def _violation(self, path: str, text: str) -> None:
        self.violations.append((path, text))


def _scalar(kind: str, value: Any) -> Any:
    """`value` as a scalar of `kind`, or None where it is not one."""
    if kind == "bool":
        return (
            {"true": True, "false": False}.get(value)
            if isinstance(value, str)
            else (value if isinstance(value, bool) else None)
        )
    if isinstance(value, bool):
        return None
    if kind in _INTEGERS:
        return _integer(value, *_INTEGERS[kind])
    if kind in ("double", "float"):
        return _float(value)
    if not isinstance(value, str):
        return None
    if kind == "bytes":
        return value if _is_base64(value) else None
    if kind == "timestamp":
        return value if _is_timestamp(value) else None
    if kind == "duration":
        return value if _DURATION.fullmatch(value) else None
    return value


def _integer(value: Any, lowest: int, highest: int) -> int | None:
    if isinstance(value, str):
        try:
            value = int(value) if re.fullmatch(r"-?\d{1,20}", value) else float(value)
        except ValueError:
            return None
    if isinstance(value, float):
        if not value.is_integer():
            return None
        value = int(value)
    return value if isinstance(value, int) and lowest <= value <= highest else None


def _float(value: Any) -> float | None:
    """A finite number; proto's "NaN" and "Infinity" are meant by no field of this API."""
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _is_base64(value: str) -> bool:
    try:
        decode_base64(value)
    except ValueError:
        return False
    return True


def decode_base64(value: str) -> bytes:
    """Bytes of a JSON `bytes` value: standard or URL-safe alphabet, padded or not.

    Raises:
        ValueError: it is not base64.
    """
    plain = value.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def _is_timestamp(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", lambda match: "_" + match[1].lower(), name)
