"""String, bytes, hash and regular expression functions.

https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions and
https://cloud.google.com/bigquery/docs/reference/standard-sql/hash_functions. BigQuery and DuckDB
share RE2 for regular expressions.
"""

from __future__ import annotations

from vertex_emulator.bigquery.sql.casts import cast
from vertex_emulator.bigquery.sql.operators import concatenate
from vertex_emulator.bigquery.sql.parsing import refused
from vertex_emulator.bigquery.sql.scope import Typed
from vertex_emulator.bigquery.sql.signatures import (
    Call,
    Functions,
    Signature,
    apply,
    signature,
)
from vertex_emulator.bigquery.types import INT64, STRING, text

# A start of 0 means 1, and one before the beginning the beginning itself.
_START = "CASE WHEN {1} = 0 THEN 1 WHEN {1} < -length({0}) THEN 1 ELSE {1} END"
_NEGATIVE = "{fail:Third argument in SUBSTR() cannot be negative}"

_SUBSTR = [
    signature("STRING INT64", "STRING", f"substr({{0}}, {_START})"),
    signature(
        "STRING INT64 INT64",
        "STRING",
        f"CASE WHEN {{2}} < 0 THEN {_NEGATIVE} ELSE substr({{0}}, {_START}, {{2}}) END",
    ),
]
_LENGTH = [
    signature("STRING", "INT64", "length({0})"),
    signature("BYTES", "INT64", "octet_length({0})"),
]
_CHARACTERS = [signature("STRING", "INT64", "length({0})")]
_BYTE_LENGTH = [
    signature("STRING", "INT64", "octet_length(encode({0}))"),
    signature("BYTES", "INT64", "octet_length({0})"),
]
_PADDED = "CASE WHEN {{1}} < 0 THEN {{fail:Second argument must be non-negative}} ELSE {0} END"


def _pad(name: str) -> list[Signature]:
    return [
        signature(
            "STRING INT64", "STRING", _PADDED.format(f"{name}({{0}}, CAST({{1}} AS INTEGER), ' ')")
        ),
        signature(
            "STRING INT64 STRING",
            "STRING",
            "CASE WHEN {1} < 0 OR {2} = '' THEN {fail:The pattern must be non-empty and the"
            f" length non-negative}} ELSE {name}({{0}}, CAST({{1}} AS INTEGER), {{2}}) END",
        ),
    ]


def _trim(name: str) -> list[Signature]:
    # Without a second argument, all whitespace goes, not blanks only.
    spaces = " || ".join(f"chr({code})" for code in (9, 10, 11, 12, 13, 32, 133, 160))
    return [
        signature("STRING", "STRING", f"{name}({{0}}, {spaces})"),
        signature("STRING STRING", "STRING", f"{name}({{0}}, {{1}})"),
    ]


def _concat(call: Call) -> Typed:
    call.check_count(1, 1000)
    # Whole numbers go in among texts as they are.
    values = [
        cast(value, STRING, call.node) if value.type == INT64 else value for value in call.arguments
    ]
    return concatenate(values, call.node, "CONCAT")


def _split(call: Call) -> Typed:
    call.check_count(1, 2)
    delimiter = "','" if len(call.nodes) == 1 else "{1}"
    return _of(call, ["STRING"] * len(call.nodes), "STRING[]", f"string_split({{0}}, {delimiter})")


def _of(call: Call, parameters: list[str], result: str, sql: str) -> Typed:
    return apply(call, [signature(" ".join(parameters), result, sql)])


def _regexp(result: str, function: str, *defaults: str) -> list[Signature]:
    """Signatures of a function of RE2, with optional numbers after value and pattern."""
    return [
        signature(
            "STRING STRING" + " INT64" * count,
            result,
            f"{function}({', '.join(['{0}', '{1}', *_holes(2, count), *defaults[count:]])})",
        )
        for count in range(len(defaults) + 1)
    ]


def _holes(first: int, count: int) -> list[str]:
    return [f"{{{index}}}" for index in range(first, first + count)]


def _regexp_replace(call: Call) -> Typed:
    call.check_count(3, 3)
    return _of(call, ["STRING", "STRING", "STRING"], "STRING", "regexp_replace({0}, {1}, {2}, 'g')")


def _normalize(call: Call) -> Typed:
    call.check_count(1, 2)
    form = call.nodes[1].name.upper() if len(call.nodes) == 2 else "NFC"
    if form not in ("NFC", "NFKC", "NFD", "NFKD"):
        raise refused(f"{call.name} with the form {form}", call.node)
    folded = "normalize_and_casefold" if call.name.endswith("CASEFOLD") else "normalize"
    value = call.argument(0)
    if value.type != STRING:
        raise call.no_signature()
    return Typed(f"{folded}({value.sql}, {text(form)})", STRING)


FUNCTIONS: Functions = {
    "ASCII": [signature("STRING", "INT64", "CASE WHEN {0} = '' THEN 0 ELSE ascii({0}) END")],
    "BYTE_LENGTH": _BYTE_LENGTH,
    "OCTET_LENGTH": _BYTE_LENGTH,
    "CHAR_LENGTH": _CHARACTERS,
    "CHARACTER_LENGTH": _CHARACTERS,
    "CHR": [
        signature("INT64", "STRING", "CASE WHEN {0} = 0 THEN '' ELSE chr(CAST({0} AS INTEGER)) END")
    ],
    "CODE_POINTS_TO_STRING": [
        signature(
            "INT64[]",
            "STRING",
            "CASE WHEN len(list_filter({0}, lambda c: c IS NULL)) > 0 THEN NULL ELSE"
            " array_to_string(list_transform({0}, lambda c: chr(CAST(c AS INTEGER))), '') END",
        )
    ],
    "CONCAT": _concat,
    "CONTAINS_SUBSTR": [
        signature(
            "STRING STRING",
            "BOOL",
            "contains(normalize_and_casefold({0}, 'NFKC'), normalize_and_casefold({1}, 'NFKC'))",
        )
    ],
    "EDIT_DISTANCE": [signature("STRING STRING", "INT64", "levenshtein({0}, {1})")],
    "ENDS_WITH": [signature("STRING STRING", "BOOL", "ends_with({0}, {1})")],
    "FARM_FINGERPRINT": [
        signature("STRING", "INT64", "farm_fingerprint(encode({0}))"),
        signature("BYTES", "INT64", "farm_fingerprint({0})"),
    ],
    "FROM_BASE64": [signature("STRING", "BYTES", "from_base64({0})")],
    "FROM_HEX": [signature("STRING", "BYTES", "from_hex({0})")],
    "INITCAP": [signature("STRING", "STRING", "initcap({0})")],
    "INSTR": [signature("STRING STRING", "INT64", "strpos({0}, {1})")],
    "LEFT": [
        signature(
            "STRING INT64",
            "STRING",
            "CASE WHEN {1} < 0 THEN {fail:Second argument in LEFT() cannot be negative}"
            " ELSE left({0}, {1}) END",
        )
    ],
    "LENGTH": _LENGTH,
    "LOWER": [signature("STRING", "STRING", "lower({0})")],
    "LPAD": _pad("lpad"),
    "LTRIM": _trim("ltrim"),
    "MD5": [
        signature("STRING", "BYTES", "from_hex(md5({0}))"),
        signature("BYTES", "BYTES", "from_hex(md5({0}))"),
    ],
    "NORMALIZE": _normalize,
    "NORMALIZE_AND_CASEFOLD": _normalize,
    "REGEXP_CONTAINS": [signature("STRING STRING", "BOOL", "regexp_matches({0}, {1})")],
    "REGEXP_EXTRACT": _regexp("STRING", "re2_extract", "1", "1"),
    "REGEXP_EXTRACT_ALL": _regexp("STRING[]", "re2_extract_all"),
    "REGEXP_INSTR": _regexp("INT64", "re2_position", "1", "1", "0"),
    "REGEXP_REPLACE": _regexp_replace,
    "REGEXP_SUBSTR": _regexp("STRING", "re2_extract", "1", "1"),
    "REPEAT": [
        signature(
            "STRING INT64",
            "STRING",
            "CASE WHEN {1} < 0 THEN {fail:Second argument in REPEAT() cannot be negative}"
            " ELSE repeat({0}, {1}) END",
        )
    ],
    "REPLACE": [
        signature(
            "STRING STRING STRING",
            "STRING",
            "CASE WHEN {1} = '' THEN {0} ELSE replace({0}, {1}, {2}) END",
        )
    ],
    "REVERSE": [
        signature(
            # By code points, where DuckDB's own reverse keeps grapheme clusters together.
            "STRING",
            "STRING",
            "CASE WHEN {0} IS NULL THEN NULL ELSE array_to_string(list_reverse(list_transform("
            "range(1, length({0}) + 1), lambda i: substr({0}, i, 1))), '') END",
        )
    ],
    "RIGHT": [
        signature(
            "STRING INT64",
            "STRING",
            "CASE WHEN {1} < 0 THEN {fail:Second argument in RIGHT() cannot be negative}"
            " WHEN {1} = 0 THEN '' ELSE right({0}, {1}) END",
        )
    ],
    "RPAD": _pad("rpad"),
    "RTRIM": _trim("rtrim"),
    "SHA1": [
        signature("STRING", "BYTES", "from_hex(sha1({0}))"),
        signature("BYTES", "BYTES", "from_hex(sha1({0}))"),
    ],
    "SHA256": [
        signature("STRING", "BYTES", "from_hex(sha256({0}))"),
        signature("BYTES", "BYTES", "from_hex(sha256({0}))"),
    ],
    "SHA512": [
        signature("STRING", "BYTES", "sha512(encode({0}))"),
        signature("BYTES", "BYTES", "sha512({0})"),
    ],
    "SPLIT": _split,
    "STARTS_WITH": [signature("STRING STRING", "BOOL", "starts_with({0}, {1})")],
    "STRPOS": [signature("STRING STRING", "INT64", "strpos({0}, {1})")],
    "SUBSTR": _SUBSTR,
    "SUBSTRING": _SUBSTR,
    "TO_BASE64": [signature("BYTES", "STRING", "to_base64({0})")],
    "TO_CODE_POINTS": [
        signature(
            "STRING",
            "INT64[]",
            "CASE WHEN {0} IS NULL THEN NULL ELSE list_transform(range(1, length({0}) + 1),"
            " lambda i: CAST(unicode(substr({0}, i, 1)) AS BIGINT)) END",
        )
    ],
    "TO_HEX": [signature("BYTES", "STRING", "lower(to_hex({0}))")],
    "TRANSLATE": [signature("STRING STRING STRING", "STRING", "translate({0}, {1}, {2})")],
    "TRIM": _trim("trim"),
    "UNICODE": [signature("STRING", "INT64", "CASE WHEN {0} = '' THEN 0 ELSE unicode({0}) END")],
    "UPPER": [signature("STRING", "STRING", "upper({0})")],
}
