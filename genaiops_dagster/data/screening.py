"""Rows with personal data or secrets, and rows too long for the model, by policy."""

# ruff: noqa: S608 - the only text put into SQL is a constant

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from genaiops_dagster.data.sensitive import HINT, Category, Sensitive, find_sensitive, redact
from genaiops_dagster.use_case.data import Curation

if TYPE_CHECKING:
    import duckdb

MAXIMUM_EXAMPLE_TOKENS = 131_072
"""Longest example that can be tuned on, in tokens.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning
"""

CountExample = Callable[[dict[str, Any], str], int]
"""Tokens of one example, asked with its variables and answered with its output."""

_BATCH_ROWS = 200


class Screened(NamedTuple):
    """A row in which something sensitive was found.

    Attributes:
        row: Its number, or whatever identifies it in the query.
        reason: Why it is rejected; None when it was redacted and stays.
        detail: What was found, by kind, never the find itself.
        variables: Redacted variables, as JSON.
        output: Redacted output.
    """

    row: Any
    reason: Category | None
    detail: str
    variables: str
    output: str


def screen(
    connection: duckdb.DuckDBPyConnection, query: str, policy: Curation
) -> Iterator[Screened]:
    """Rows of a query (`row`, `texts`: variables and output) that hold something sensitive."""
    actions: dict[Category, str] = {"personal_data": policy.personal_data, "secret": policy.secrets}
    if set(actions.values()) == {"allow"}:
        return
    suspects = connection.execute(
        f"SELECT row, texts[1], texts[2] FROM ({query}) "
        "WHERE regexp_matches(texts[1], $hint) OR regexp_matches(texts[2], $hint)",
        {"hint": HINT},
    )
    while batch := suspects.fetchmany(_BATCH_ROWS):
        for row, variables, output in batch:
            clean = _Redaction({category for category, do in actions.items() if do != "allow"})
            redacted = clean.value(json.loads(variables)), clean.value(output)
            if clean.kinds:
                reasons = [c for c in clean.categories if actions[c] == "reject"]
                yield Screened(
                    row,
                    max(reasons, default=None),
                    ", ".join(f"{count} {kind}" for kind, count in sorted(clean.kinds.items())),
                    json.dumps(redacted[0], ensure_ascii=False, separators=(",", ":")),
                    redacted[1],
                )


class _Redaction:
    """Redacts the texts in a JSON value, and counts what it found."""

    def __init__(self, categories: set[Category]) -> None:
        self._wanted = categories
        self.kinds: Counter[str] = Counter()
        self.categories: set[Category] = set()

    def value(self, value: Any) -> Any:
        """The value without what is sensitive; a number that has to go becomes a text."""
        match value:
            case dict():
                return {key: self.value(item) for key, item in value.items()}
            case list():
                return [self.value(item) for item in value]
            case bool() | None:
                return value
            case str():
                return redact(value, self._wanted_in(value))
        found = self._wanted_in(str(value))
        return redact(str(value), found) if found else value

    def _wanted_in(self, text: str) -> list[Sensitive]:
        found = [match for match in find_sensitive(text) if match.category in self._wanted]
        self.kinds.update(match.kind for match in found)
        self.categories.update(match.category for match in found)
        return found


def too_long(
    connection: duckdb.DuckDBPyConnection, query: str, overhead: int, count: CountExample
) -> Iterator[tuple[Any, int]]:
    """Rows of a query (`row`, `texts`) that exceed the limit, with their tokens.

    A token is at least one byte, so that only rows of more bytes than tokens allowed are counted.

    Args:
        connection: Runs the query.
        query: Gives the rows, each with its variables as JSON and its output as `texts`.
        overhead: Bytes that the prompt adds to every row.
        count: Asks the service.
    """
    rows = connection.execute(
        f"SELECT row, texts[1], texts[2] FROM ({query}) "
        "WHERE strlen(texts[1]) + strlen(texts[2]) + $overhead > $limit",
        {"overhead": overhead, "limit": MAXIMUM_EXAMPLE_TOKENS},
    )
    while batch := rows.fetchmany(_BATCH_ROWS):
        for row, variables, output in batch:
            tokens = count(json.loads(variables), output)
            if tokens > MAXIMUM_EXAMPLE_TOKENS:
                yield row, tokens
