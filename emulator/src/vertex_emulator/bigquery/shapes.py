"""The kinds of the fields of request bodies, checked before anything else looks at them.

https://cloud.google.com/bigquery/docs/reference/rest
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vertex_emulator.errors import ApiError

_KINDS: dict[str, tuple[str, str]] = {
    "an object": (
        "object",
        "clustering configuration copy csvOptions datasetReference defaultDataset"
        " destinationTable destinationTableProperties extract formatOptions jobReference labels"
        " load parameterType parameterValue parquetOptions range rangePartitioning"
        " schema sourceTable structValues tableReference timePartitioning view arrayType",
    ),
    "a list": (
        "list",
        "arrayValues destinationUris fields queryParameters rows schemaUpdateOptions"
        " sourceTables sourceUris structTypes access connectionProperties",
    ),
    "a string": (
        "text",
        "createDisposition datasetId description encoding field fieldDelimiter friendlyName jobId"
        " location mode name nullMarker parameterMode projectId quote sourceFormat tableId"
        " writeDisposition destinationUri destinationFormat compression",
    ),
    "a whole number": (
        "number",
        "defaultTableExpirationMs end expirationMs expirationTime interval maxBadRecords maxResults"
        " maximumBytesBilled skipLeadingRows start timeoutMs",
    ),
}
_KIND_OF = {name: kind for _, (kind, names) in _KINDS.items() for name in names.split()}
_WORDS = {kind: words for words, (kind, _) in _KINDS.items()}
# Below these come names that users choose: rows, label keys, parameter values.
_FREE = frozenset(("json", "labels", "structValues", "value", "params"))


def check_shapes(body: Mapping[str, Any], path: str = "") -> None:
    """Refuse a body in which a known field is of another kind than the API's.

    Raises:
        ApiError: 400 that names the field and says what it should be.
    """
    for name, value in body.items():
        place = f"{path}.{name}" if path else name
        kind = _KIND_OF.get(name)
        if value is not None and kind is not None and not _is(kind, value):
            raise ApiError(400, f"Invalid value at '{place}': {_WORDS[kind]} is needed.")
        if name in _FREE:
            continue
        if isinstance(value, Mapping):
            check_shapes(value, place)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Mapping):
                    check_shapes(item, f"{place}[{index}]")


def _is(kind: str, value: Any) -> bool:
    if kind == "object":
        return isinstance(value, Mapping)
    if kind == "list":
        return isinstance(value, list)
    if kind == "text":
        return isinstance(value, str)
    return is_number(value)


def is_number(value: Any) -> bool:
    """Whether a value is a whole number, or its digits as the API's 64-bit fields are given."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) < 2**63
    digits = value.removeprefix("-") if isinstance(value, str) else ""
    return digits.isascii() and digits.isdigit() and len(digits) < 19
