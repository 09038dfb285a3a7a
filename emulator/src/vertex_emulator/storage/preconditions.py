"""Conditions of a request on the state that it finds.

https://docs.cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vertex_emulator.errors import ApiError

_MAX_DIGITS = 18


def parse_integer(name: str, value: Any) -> int:
    """Read a whole number that fits in 64 bits.

    Raises:
        ApiError: 400 if it is not one.
    """
    text = str(value)
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
        raise ApiError(400, f"Invalid value for {name}: {text[:40]!r} is not a whole number.")
    return int(text)


def entity_tag(generation: int, metageneration: int) -> str:
    """The ETag of a version: both numbers as varints of a protocol buffer message, in base64."""
    message = b"\x08" + _varint(generation) if generation else b""
    return base64.b64encode(message + b"\x10" + _varint(metageneration)).decode()


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


@dataclass(frozen=True)
class Preconditions:
    """The conditions of the API; None or empty where the request sets none."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None
    etags: tuple[str, ...] = ()
    unwanted_etags: tuple[str, ...] = ()

    @classmethod
    def parse(
        cls,
        values: Mapping[str, Any],
        prefix: str = "if",
        headers: Mapping[str, str] | None = None,
    ) -> Preconditions:
        """Read the conditions from query parameters or a JSON object, and from headers.

        Args:
            values: Holds `<prefix>GenerationMatch` and its three companions, or some of them.
            prefix: `if`, or `ifSource` for the source of a copy.
            headers: Request headers: `If-Match` and `If-None-Match` count.

        Raises:
            ApiError: 400 if a value is not a number.
        """

        def number(name: str) -> int | None:
            value = values.get(prefix + name)
            return None if value is None else parse_integer(prefix + name, value)

        def tags(name: str) -> tuple[str, ...]:
            listed = headers.get(name, "") if headers else ""
            return tuple(tag.strip().strip('"') for tag in listed.split(",") if tag.strip())

        return cls(
            number("GenerationMatch"),
            number("GenerationNotMatch"),
            number("MetagenerationMatch"),
            number("MetagenerationNotMatch"),
            tags("if-match"),
            tags("if-none-match"),
        )

    def check(self, generation: int, metageneration: int) -> None:
        """Compare with the object of the request.

        Args:
            generation: Its generation; 0 where there is no object, and for a bucket.
            metageneration: Its metageneration; 0 where there is no object.

        Raises:
            ApiError: 412 when a match fails, 304 when a not-match does.
        """
        if self.generation_match is not None and self.generation_match != generation:
            raise _unmet(412, "ifGenerationMatch", self.generation_match, generation)
        if self.metageneration_match is not None and self.metageneration_match != metageneration:
            raise _unmet(412, "ifMetagenerationMatch", self.metageneration_match, metageneration)
        # "If no live object exists, the precondition fails": so generation 0 never passes.
        if self.generation_not_match is not None and generation in {0, self.generation_not_match}:
            raise _unmet(304, "ifGenerationNotMatch", self.generation_not_match, generation)
        if self.metageneration_not_match == metageneration:
            raise _unmet(304, "ifMetagenerationNotMatch", metageneration, metageneration)
        if not (self.etags or self.unwanted_etags):
            return
        found = {"*", entity_tag(generation, metageneration)} if metageneration else set()
        if self.etags and not found.intersection(self.etags):
            raise _unmet(412, "If-Match", ", ".join(self.etags), "another ETag")
        if found.intersection(self.unwanted_etags):
            raise _unmet(304, "If-None-Match", ", ".join(self.unwanted_etags), "the same ETag")


NO_CONDITIONS = Preconditions()


def _unmet(code: int, name: str, wanted: object, found: object) -> ApiError:
    return ApiError(
        code,
        "At least one of the pre-conditions you specified did not hold:"
        f" {name} is {wanted}, found {found}.",
        reason="conditionNotMet" if code == 412 else "notModified",
    )
