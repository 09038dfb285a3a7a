"""JSON values that satisfy a schema, filled from the words of a prompt.

Takes both forms that the API takes: `responseSchema` and function parameters (a subset of OpenAPI
3.0, https://cloud.google.com/vertex-ai/docs/reference/rest/v1/Schema) and JSON Schema
(`responseJsonSchema`, `parametersJsonSchema`). A value is checked against its schema before it is
given out; a schema that cannot be satisfied is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.models.text import content_words
from vertex_emulator.vertex.messages import Document, check

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Choose = Callable[[list[str]], str]

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
_MOST_DEPTH = 12
_MOST_VALUES = 20_000
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "emulated@example.com",
    "uri": "https://example.com/emulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
}


def plain_schema(schema: Document) -> Document:
    """A `Schema` message as JSON Schema: types in lower case, `nullable` as a type.

    Raises:
        ApiError: 400 for `additionalProperties` that are not a `Schema`.
    """
    plain: Document = {}
    for key, value in schema.items():
        if key in ("properties", "defs"):
            plain["$defs" if key == "defs" else key] = {
                name: plain_schema(item) for name, item in value.items()
            }
        elif key in ("anyOf", "prefixItems"):
            plain[key] = [plain_schema(item) for item in value]
        elif key == "items":
            plain[key] = plain_schema(value)
        elif key == "additionalProperties" and isinstance(value, dict):
            plain[key] = plain_schema(check("Schema", value))
        elif key == "type":
            plain[key] = str(value).lower()
        elif key == "ref":
            plain["$ref"] = value
        elif key not in ("nullable", "propertyOrdering", "example"):
            plain[key] = value
    if plain.get("type") == "type_unspecified":
        del plain["type"]
    if schema.get("nullable") is True and isinstance(plain.get("type"), str):
        plain["type"] = [plain["type"], "null"]
        if "enum" in plain:
            plain["enum"] = [*plain["enum"], None]
    return plain


def problem(value: Any, schema: Any) -> str | None:
    """Why `value` does not satisfy `schema`; None when it does.

    Raises:
        ApiError: 400 when `schema` is not a JSON Schema.
    """
    from jsonschema.exceptions import SchemaError
    from referencing.exceptions import Unresolvable

    try:
        error = next(iter(_validator(json.dumps(schema)).iter_errors(value)), None)
    except (SchemaError, Unresolvable, re.error, RecursionError) as wrong:
        message = str(wrong).partition("\n")[0][:300]
        raise ApiError(400, f"The response schema is not valid: {message}") from wrong
    return None if error is None else f"{error.json_path}: {error.message[:200]}"


@lru_cache(maxsize=128)
def _validator(schema_text: str) -> Validator:
    """The validator of a schema; checking the schema itself takes longer than a value."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    schema = json.loads(schema_text)
    Draft202012Validator.check_schema(schema)
    # A registry of its own, as the default one fetches references from the network.
    return Draft202012Validator(schema, registry=Registry())


class Filler:
    """Fills one schema.

    Args:
        schema: JSON Schema, as `plain_schema` gives it.
        text: Words that strings and numbers are taken from.
        choose: Picks one of several strings, as the model would.
        dice: Decides what the text does not.
        only_required: Whether optional properties are left out.
        shorten: Whether strings are a name or a quoted phrase of the text rather than all of it.
    """

    def __init__(
        self,
        schema: Any,
        *,
        text: str,
        choose: Choose,
        dice: Random,
        only_required: bool = False,
        shorten: bool = False,
    ) -> None:
        self._root = schema
        self._text = text.strip() or "emulated"
        self._choose = choose
        self._dice = dice
        self._only_required = only_required
        self._phrases = phrases(text) if shorten else []
        self._words = list(dict.fromkeys(content_words(text)[:1000]))[::-1]
        self._listed = False
        self._left = _MOST_VALUES
        self._numbers = [float(number) for number in _NUMBER.findall(text)[:50]]

    def value(self) -> Any:
        """A value that satisfies the schema.

        Raises:
            ApiError: 400 when the schema is invalid, 501 when the emulator finds no such value.
        """
        problem(None, self._root)
        try:
            value = self._fill(self._root, 0)
        except (OverflowError, ValueError, RecursionError) as error:
            raise not_served(f"a response schema with such numbers ({error})") from error
        wrong = problem(value, self._root)
        if wrong:
            raise not_served(f"a response schema that it finds no value for ({wrong})")
        return value

    def _fill(self, schema: Any, depth: int) -> Any:
        if schema is True or schema == {}:
            return self._text
        self._left -= 1
        if not isinstance(schema, dict) or depth > _MOST_DEPTH or self._left < 0:
            raise not_served("a response schema of that size, or that has no finite value")
        if "$ref" in schema:
            return self._fill(self._resolve(schema["$ref"]), depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._enum(schema["enum"])
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                rest = {name: item for name, item in schema.items() if name != key}
                return self._fill({**rest, **_first_concrete(schema[key])}, depth + 1)
        if schema.get("allOf"):
            return self._fill(self._merged(schema), depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else ""
        return self._typed(kind, schema, depth)

    def _typed(self, kind: str, schema: Document, depth: int) -> Any:
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind in ("integer", "number"):
            return self._number(schema, whole=kind == "integer")
        if kind == "boolean":
            return self._dice.random() < 0.5
        return None if kind == "null" else self._string(schema)

    def _object(self, schema: Document, depth: int) -> Document:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        names = list(dict.fromkeys([*properties, *required]))
        if (self._only_required and required) or depth >= 4:
            names = [name for name in names if name in required]
        return {name: self._fill(properties.get(name, True), depth + 1) for name in names}

    def _array(self, schema: Document, depth: int) -> list[Any]:
        least = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", max(least, 2)))
        first = schema.get("prefixItems", [])
        count = max(least, min(most, 2)) if depth < 4 else least
        if not 0 <= count <= 1000:
            raise not_served(f"arrays of {count} items")
        items = [self._fill(item, depth + 1) for item in first[:most]]
        rest = schema.get("items", True)
        self._listed, outer = True, self._listed
        while len(items) < count and rest is not False:
            items.append(self._fill(rest, depth + 1))
        self._listed = outer
        if schema.get("uniqueItems"):
            items = [item for index, item in enumerate(items) if item not in items[:index]]
        return items

    def _number(self, schema: Document, *, whole: bool) -> float | int:
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        step = schema.get("multipleOf") or (1 if whole else 0)
        for number in self._numbers:
            if (low is None or number >= low) and (high is None or number <= high):
                self._numbers.remove(number)
                break
        else:
            start = low if low is not None else min(0, high or 0)
            end = high if high is not None else start + 10
            number = start + (end - start) * self._dice.random()
        if step:
            number = round(number / step) * step
            number = max(number, low) if low is not None else number
        return int(number) if whole or float(number).is_integer() else round(number, 4)

    def _string(self, schema: Document) -> str:
        if "pattern" in schema:
            default = schema.get("default")
            if isinstance(default, str):
                return default
            raise not_served("a response schema with pattern and no default")
        text = _FORMATS.get(str(schema.get("format")), self._text)
        if text is self._text and self._listed and self._words:
            text = self._words.pop()
        elif text is self._text and self._phrases:
            text = self._phrases.pop(0) if len(self._phrases) > 1 else self._phrases[0]
        least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 1_000_000))
        if least > 100_000:
            raise not_served(f"strings of {least} characters")
        return text.ljust(least, ".")[:most]

    def _enum(self, options: list[Any]) -> Any:
        words = [option for option in options if isinstance(option, str) and option]
        if len(words) > 1 and len(words) == sum(option is not None for option in options):
            return self._choose(words)
        return options[self._dice.randrange(len(options))] if options else None

    def _resolve(self, reference: str) -> Any:
        found: Any = self._root
        for key in reference.removeprefix("#").strip("/").split("/"):
            name = key.replace("~1", "/").replace("~0", "~")
            if name == "defs":
                name = "$defs"
            if name:
                found = found.get(name) if isinstance(found, dict) else None
        return found

    def _merged(self, schema: Document) -> Document:
        merged = {name: item for name, item in schema.items() if name != "allOf"}
        for part in schema["allOf"]:
            part = (
                self._resolve(part["$ref"]) if isinstance(part, dict) and "$ref" in part else part
            )
            if isinstance(part, dict):
                properties = {**merged.get("properties", {}), **part.get("properties", {})}
                required = [*merged.get("required", []), *part.get("required", [])]
                merged = {**merged, **part}
                if properties:
                    merged |= {"properties": properties, "required": required}
        return merged


def _first_concrete(options: list[Any]) -> Document:
    """The first of several alternatives that is not `null`."""
    objects = [option for option in options if isinstance(option, dict)]
    concrete = [option for option in objects if option.get("type") != "null"]
    return (concrete or objects or [{}])[0]


def phrases(text: str) -> list[str]:
    """What a caller most likely means by `text`: quoted phrases, then names, then all of it."""
    quoted = re.findall(r"[\"'“]([^\"'”]{1,80})[\"'”]", text)
    names = re.findall(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w-]*(?:\s+[A-Z][\w-]*)*", text)
    return [*quoted, *names] or [text.strip() or "emulated"]
