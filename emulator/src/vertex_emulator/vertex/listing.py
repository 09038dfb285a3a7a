"""List methods: filters as AIP-160 writes them, and pages with tokens.

Served of https://google.aip.dev/160: `=`, `!=`, `<`, `>`, `<=`, `>=`, `:` (has) on dotted fields,
`AND`, `OR`, `NOT` and parentheses, `*` at either end of a quoted value, and the functions that the
metadata store adds. `OR` binds tighter than `AND`, as the AIP says.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import re
from collections.abc import Callable, Mapping
from typing import Any

from vertex_emulator.errors import ApiError

Document = dict[str, Any]
Predicate = Callable[[Document], bool]
Function = Callable[[list[str]], Predicate]

_TOKEN = re.compile(
    r"\s*(?:(?P<quoted>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    r"|(?P<operator><=|>=|!=|[=<>:(),])|(?P<bare>[^\s=<>!:(),\"']+))"
)


def select(
    documents: list[Document], filter_text: str, functions: Mapping[str, Function] | None = None
) -> list[Document]:
    """The documents that `filter_text` admits; all for an empty filter.

    Args:
        documents: JSON objects with lowerCamelCase keys.
        filter_text: The request's `filter`; fields may be spelled in snake_case.
        functions: What `name("argument", ...)` means, by name.

    Raises:
        ApiError: 400 for a filter that cannot be read.
    """
    if not filter_text.strip():
        return documents
    parser = _Parser(filter_text, functions or {})
    admits = parser.conjunction()
    parser.end()
    return [document for document in documents if admits(document)]


def refuse_labels(filter_text: str) -> None:
    """Refuse a filter of labels, for a method of which nobody has written that it takes one.

    Raises:
        ApiError: 400 for a filter that names a label.
    """
    if re.search(r"(?<![\w.\"'])labels\s*[.:=]", filter_text):
        raise ApiError(
            400,
            f"Invalid filter {filter_text!r}: filters of labels are not documented for this "
            "method. List all, and compare labels in the client.",
        )


def page(
    documents: list[Document], query: Mapping[str, str], *, default: int = 100, most: int = 1000
) -> tuple[list[Document], str]:
    """The page of `documents` that `pageSize` and `pageToken` ask for, and the next page's token.

    Raises:
        ApiError: 400 for a size or token that is not one.
    """
    size_text = query.get("pageSize") or query.get("page_size") or "0"
    if not re.fullmatch(r"\d{1,9}", size_text):
        raise ApiError(400, f"page_size must be a non-negative integer, not {size_text!r}.")
    size = min(int(size_text) or default, most)
    start = _read_token(query.get("pageToken") or query.get("page_token") or "")
    end = start + size
    return documents[start:end], _write_token(end) if end < len(documents) else ""


def page_answer(
    key: str, documents: list[Document], query: Mapping[str, str], **sizes: int
) -> Document:
    """The answer of a list method: one page of `documents` under `key`; see `page`."""
    found, token = page(documents, query, **sizes)
    return {key: found, **({"nextPageToken": token} if token else {})}


def _write_token(start: int) -> str:
    return base64.urlsafe_b64encode(f"from:{start}".encode()).decode()


def _read_token(token: str) -> int:
    if not token:
        return 0
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, "page_token is not one that this service returned.") from error
    match = re.fullmatch(r"from:(\d{1,12})", text)
    if match is None:
        raise ApiError(400, "page_token is not one that this service returned.")
    return int(match[1])


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str, functions: Mapping[str, Function]) -> None:
        self._text = text
        self._functions = functions
        self._tokens: list[tuple[str, str]] = []
        place = 0
        text = text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise self._error(f"unexpected {text[place : place + 20]!r}")
            self._tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            place = match.end()
        self._place = 0
        self._depth = 0

    def conjunction(self) -> Predicate:
        parts = [self._disjunction()]
        while self._peek() not in (None, ")"):
            if self._peek() == "AND":
                self._next()
            parts.append(self._disjunction())
        return lambda document: all(part(document) for part in parts)

    def end(self) -> None:
        if self._peek() is not None:
            raise self._error(f"unexpected {self._peek()!r}")

    def _disjunction(self) -> Predicate:
        parts = [self._term()]
        while self._peek() == "OR":
            self._next()
            parts.append(self._term())
        return lambda document: any(part(document) for part in parts)

    def _term(self) -> Predicate:
        if self._peek() in ("NOT", "-"):
            self._next()
            inner = self._term()
            return lambda document: not inner(document)
        if self._peek() == "(":
            self._next()
            self._depth += 1
            if self._depth > 50:
                raise self._error("too deeply nested")
            inner = self.conjunction()
            self._expect(")")
            self._depth -= 1
            return inner
        return self._restriction()

    def _restriction(self) -> Predicate:
        kind, name = self._next()
        if kind == "operator":
            raise self._error(f"a field was expected before {name!r}")
        if self._peek() == "(":
            return self._call(name)
        if self._peek() not in ("=", "!=", "<", ">", "<=", ">=", ":"):
            raise self._error(f"an operator was expected after {name!r}")
        operator = self._next()[1]
        kind, value = self._next()
        if kind == "operator":
            raise self._error(f"a value was expected after {operator!r}")
        return _comparison(name, operator, _unquoted(value))

    def _call(self, name: str) -> Predicate:
        if name not in self._functions:
            raise self._error(f"the function {name!r} is not known")
        self._next()
        arguments = []
        while self._peek() != ")":
            kind, value = self._next()
            if kind != "operator":
                arguments.append(_unquoted(value))
        self._expect(")")
        return self._functions[name](arguments)

    def _peek(self) -> str | None:
        return self._tokens[self._place][1] if self._place < len(self._tokens) else None

    def _next(self) -> tuple[str, str]:
        if self._place >= len(self._tokens):
            raise self._error("it ends too early")
        self._place += 1
        return self._tokens[self._place - 1]

    def _expect(self, wanted: str) -> None:
        found = self._next()[1]
        if found != wanted:
            raise self._error(f"{wanted!r} was expected, not {found!r}")

    def _error(self, why: str) -> ApiError:
        return ApiError(400, f"Invalid filter {self._text!r}: {why}.")


def _unquoted(text: str) -> str:
    if text[:1] in "\"'" and len(text) > 1:
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def _comparison(path: str, operator: str, wanted: str) -> Predicate:
    keys = [camel(key) for key in path.split(".")]
    raw = path.split(".")

    def admits(document: Document) -> bool:
        found = _values(document, keys, raw)
        if operator == "!=":
            return not any(_compare(value, "=", wanted) for value in found)
        if operator == ":" and wanted == "*":
            return bool(found)
        return any(_compare(value, operator, wanted) for value in found)

    return admits


def _values(document: Any, keys: list[str], raw: list[str]) -> list[Any]:
    """Every value under a dotted path; lists and, at its end, keys of a map count as values."""
    if not keys:
        if isinstance(document, list):
            return document
        return list(document) if isinstance(document, dict) else [document]
    if isinstance(document, list):
        return [value for item in document for value in _values(item, keys, raw)]
    if not isinstance(document, dict):
        return []
    for key in (raw[0], keys[0]):
        if key in document:
            return _values(document[key], keys[1:], raw[1:])
    return []


def _compare(value: Any, operator: str, wanted: str) -> bool:
    if isinstance(value, dict):
        value = value.get("stringValue", value.get("numberValue", ""))
    if isinstance(value, bool):
        value = str(value).lower()
        wanted = wanted.lower()
    if isinstance(value, int | float) or _is_number(value, wanted):
        try:
            left, right = float(value), float(wanted)
        except ValueError:
            return False
        return bool(_ORDER[operator](left, right))
    text = str(value)
    if operator == ":":
        return wanted.lower() in text.lower() if "*" not in wanted else _matches(text, wanted)
    if operator == "=":
        return _matches(text, wanted)
    return bool(_ORDER[operator](text, wanted))


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    ":": lambda left, right: left == right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


def _is_number(value: Any, wanted: str) -> bool:
    number = re.compile(r"-?\d+(\.\d+)?")
    return isinstance(value, str) and bool(number.fullmatch(value) and number.fullmatch(wanted))


def _matches(text: str, wanted: str) -> bool:
    if "*" not in wanted:
        return text == wanted
    escaped = re.sub(r"([\[?])", r"[\1]", wanted)
    return fnmatch.fnmatchcase(text, escaped)


def camel(name: str) -> str:
    """A field's name in lowerCamelCase."""
    first, *rest = name.strip().split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
