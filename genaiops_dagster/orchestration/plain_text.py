"""Texts of others, where markup or control codes in them would be obeyed: terminals and Markdown.

A reason, a name, a row, a file name or what a model said is a text. It is shown as it is, and
can neither steer a terminal nor become a link, an image or HTML in Dagster's pages.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
"""Control characters but tab and line feed, line separators, and halves of characters, which stand
for bytes of a file name that are not text; what reorders a line, and what is an invisible text: the
mark at the beginning of a file, and tags."""

_MARKUP = re.compile(r"[\\`*\[\]<|~&]|(?<![^\W_])_|_(?![^\W_])")
"""What may begin or end something inside a line; an underscore within a word does not."""
_BLOCK = re.compile(r"^(\d{1,9}(?=[.)](?:\s|$))|(?=[=#>:]|[-+](?![\w.])))")
"""Before what makes a line a heading, a list item, a quotation or a table's second row."""
_ADDRESS = re.compile(
    r"(?<=http:)(?=//)|(?<=https:)(?=//)|(?<=www)(?=\.)|(?<=@)(?=[^\s@]*\.)", re.IGNORECASE
)
"""Inside of what GitHub's Markdown makes a link of by itself, even where it is escaped.

Underscores of an e-mail address are escaped by now."""

_BREAK = "\u200b"  # invisible
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


def visible(text: str) -> str:
    r"""`text` with its control characters spelled out, as in `\x1b`; tabs and new lines stay."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r\n", "\n"))


def escape_markdown(text: str) -> str:
    """Markdown that shows `text`; for everything that Dagster renders, such as descriptions.

    Lines stay lines. Addresses in it do not become links: an invisible character breaks them.
    """
    return "\n".join(_escape_line(line.strip()) for line in visible(text).split("\n"))


def unescape_markdown(markdown: str) -> str:
    """The text again, for a terminal or a message, of what `escape_markdown` made."""
    return _ESCAPE.sub(r"\1", markdown).replace(_BREAK, "")


def code_block(text: str, language: str) -> str:
    """Markdown that shows `text` as code; no backticks in it end the block."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{visible(text)}\n{fence}"


def _escape_line(line: str) -> str:
    escaped = _MARKUP.sub(r"\\\g<0>", line)
    return _ADDRESS.sub(_BREAK, _BLOCK.sub(r"\1\\", escaped, count=1))
