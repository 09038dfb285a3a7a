"""SQL text to syntax trees, with every function call left under the name it was written with.

sqlglot parses BigQuery's grammar well, but turns functions into its own, whose translation to
DuckDB is silently wrong here and there. So its function table is emptied here: what a
function means is decided in `functions`, and what has no meaning there is refused by name.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, ClassVar

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError
from sqlglot.parsers.bigquery import BigQueryParser
from sqlglot.tokenizer_core import Token, TokenType

from vertex_emulator.errors import ApiError

# sqlglot warns on the log of statements that it keeps as text; those are refused here instead.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

# Forms with a grammar of their own, which plain function syntax would not parse.
_GRAMMAR = ("ARRAY", "CAST", "EXTRACT", "SAFE_CAST")
_REFUSED_GRAMMAR = re.compile(
    r"\b(ML\.\w+|AI\.\w+|VECTOR_SEARCH|SEARCH|FEATURES_AT_TIME|GAP_FILL|FORECAST|MATCH_RECOGNIZE"
    r"|GRAPH_TABLE|EXTERNAL_QUERY|LANGUAGE\s+(?:js|python)|EXECUTE\s+IMMEDIATE)\b",
    re.IGNORECASE,
)
# Functions that may be written without parentheses; with them they parse like any other.
PARENLESS: dict[type[exp.Expr], str] = {
    exp.CurrentDate: "CURRENT_DATE",
    exp.CurrentDatetime: "CURRENT_DATETIME",
    exp.CurrentTime: "CURRENT_TIME",
    exp.CurrentTimestamp: "CURRENT_TIMESTAMP",
}
_QUERY_TEXT = "query_text"
_MAXIMUM_LENGTH = 1024 * 1024  # https://cloud.google.com/bigquery/quotas#query_jobs
_MAXIMUM_DEPTH = 150


class _Parser(BigQueryParser):
    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
        name: parser for name, parser in BigQueryParser.FUNCTION_PARSERS.items() if name in _GRAMMAR
    }


class _Dialect(BigQuery):
    Parser = _Parser


_DIALECT = _Dialect()


def invalid_query(message: str, node: exp.Expr | None = None) -> ApiError:
    """The error of a query that is wrong or beyond what the emulator serves."""
    if node is not None and (place := _place(node)):
        message = f"{message} at {place}"
    return ApiError(400, message, reason="invalidQuery")


def refused(what: str, node: exp.Expr | None = None) -> ApiError:
    """The refusal of a construct or function that is not on the emulator's list."""
    return invalid_query(f"The emulator does not serve {what}", node)


def _place(node: exp.Expr) -> str:
    for part in node.walk():
        if "line" in part.meta:
            column = part.meta["col"] - (part.meta["end"] - part.meta["start"])
            return f"[{part.meta['line']}:{column}]"
    return ""


@lru_cache(maxsize=256)
def _parsed(sql: str) -> tuple[exp.Expr, ...]:
    parser = _Parser(dialect=_DIALECT, error_level=ErrorLevel.IMMEDIATE)
    statements = []
    for tokens in _chunks(_numbered(_DIALECT.tokenize(sql))):
        trees = parser.parse(tokens, sql)
        if len(trees) != 1:  # a statement of words that only occur inside others
            raise invalid_query(f"Syntax error: Unexpected keyword {tokens[0].text.upper()}")
        tree = trees[0]
        if tree is None:
            continue
        if _depth_exceeds(tree, _MAXIMUM_DEPTH):
            raise invalid_query("Syntax error: the query is nested too deeply")
        if isinstance(tree, exp.Create):
            tree.meta[_QUERY_TEXT] = _after_as(sql, tokens)
        statements.append(tree)
    return tuple(statements)


def _chunks(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    """The tokens of each statement."""
    chunk: list[Token] = []
    for token in tokens:
        if token.token_type != TokenType.SEMICOLON:
            chunk.append(token)
        elif chunk:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _after_as(sql: str, tokens: list[Token]) -> str:
    """What follows the first AS of a statement that is not in parentheses."""
    depth = 0
    for token in tokens:
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        if token.token_type == TokenType.ALIAS and depth == 0:
            return sql[token.end + 1 : tokens[-1].end + 1].strip()
    return ""


def _numbered(tokens: Iterable[Token]) -> Iterator[Token]:
    """Positional parameters as named ones: `?` becomes `@?0`, `@?1`, ... in order of the text.

    A tree no longer has the order in which they were written.
    """
    number = 0
    for token in tokens:
        # Neither names of tables nor of columns may have braces.
        if token.token_type == TokenType.IDENTIFIER and set(token.text) & set("{}"):
            raise invalid_query(f"Invalid name `{token.text}`")
        if token.token_type != TokenType.PLACEHOLDER:
            yield token
            continue
        place = (token.line, token.col, token.start, token.end)
        yield Token(TokenType.PARAMETER, "@", *place)
        yield Token(TokenType.VAR, f"?{number}", *place)
        number += 1


def _depth_exceeds(tree: exp.Expr, limit: int) -> bool:
    level: list[exp.Expr] = [tree]
    for _ in range(limit):
        level = [child for node in level for child in node.iter_expressions()]
        if not level:
            return False
    return True


def parse(sql: str) -> tuple[exp.Expr, ...]:
    """The statements of a query text. The trees are shared: they must not be changed.

    Raises:
        ApiError: 400 `invalidQuery` if the text is not BigQuery's SQL as far as sqlglot knows it,
            or uses a grammar that the emulator does not serve.
    """
    if len(sql) > _MAXIMUM_LENGTH:
        raise invalid_query(f"Query is too large: {len(sql)} characters, 1,048,576 are allowed")
    try:
        statements = _parsed(sql)
    except SqlglotError as error:
        if found := _REFUSED_GRAMMAR.search(sql):
            raise refused(found[0].upper()) from error
        raise invalid_query(f"Syntax error: {_plain(str(error))}") from error
    except RecursionError as error:
        raise invalid_query("Syntax error: the query is nested too deeply") from error
    if not statements:
        raise invalid_query("Syntax error: Unexpected end of statement")
    return statements


def _plain(message: str) -> str:
    without_colors = re.sub(r"\x1b\[\d+m", "", message)
    return " ".join(without_colors.split())[:500]


def query_text(node: exp.Create) -> str:
    """The query of a CREATE statement, as it is written."""
    return str(node.meta[_QUERY_TEXT])


def check_only(node: exp.Expr, *served: str) -> None:
    """Refuse a node that carries a clause other than the `served` ones.

    Every handler of a construct names the parts it honours, so that none is dropped silently.

    Raises:
        ApiError: 400 `invalidQuery`.
    """
    for key, value in node.args.items():
        if key not in served and value not in (None, False, []):
            label = f"{type(node).__name__} with {key.rstrip('_').upper().replace('_', ' ')}"
            raise refused(f"{label}: {shown(node)}", node)


def shown(node: exp.Expr) -> str:
    """A node as SQL text, shortened, for messages."""
    text = node.sql(dialect=BigQuery)
    return text if len(text) <= 80 else f"{text[:77]}..."
