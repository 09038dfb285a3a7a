"""Texts that markup, a terminal or a browser would obey, and how Markdown shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg
from markdown_it import MarkdownIt
from markdown_it.token import Token

TEXTS = [
    "[/x]",
    "[bold]loud[/bold] [[nested]",
    "[link=https://evil.example]x[/link]",
    ":smile:",
    "\x1b[2J\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x9b2J over\rwritten \b and \x00",
    "abc \u202egnp.exe \u2066",
    "a\u061cb \u200eleft \u200fright \ufeffstart \U000e0000\U000e0001\U000e0041\U000e007f",
    "a name of bytes \udcff",
    "<img src=x onerror=alert(1)>",
    "<!-- <b>no</b> -->",
    "![x](https://evil.example/p.png)",
    "[a](javascript:alert(1)) [b]: https://evil.example [^1]",
    "<https://evil.example/> &lt;b&gt; &#60;b&#62;",
    "https://evil.example/ HTTP://EVIL.example www.evil.example me@evil.example you@.evil",
    "a@b_.c_d.com a+x@evil-_x.example.com a@_evil.example.com a_@_._b_.c x@y@z_.example.com",
    "```\n[a](https://evil.example)\n```\n~~~~~",
    "`` ` ``` ````",
    "</script><script>alert(1)</script>",
    "a | b\n|---|---|\n| c | d |",
    "a\n:-:",
    "# a\n- b\n1. c\n2) d\n> e\n+ f\n* g\n===\n---\n\n    h",
    "*a* **b** _c_ __d__ ~~e~~ ~f~ snake_case _ends a\\_b\\",
    "{{ 7 * 7 }} {% raw %} {# x #}",
]

_MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_ADDRESS = re.compile(  # what remark-gfm turns into links, in the text that it has already read
    r"(?:https?://|www(?=\.))[-.\w]+|[-.\w+]+@[-\w.]*\.[-\w]+", re.IGNORECASE
)
_SHOWN = re.compile(r"(paragraph|table|thead|tbody|tr|th|td|bullet_list|list_item)_(open|close)")


def markup_in(markdown: str) -> list[str]:
    """What the page shows of `markdown` besides its text, tables, lists, code and own images."""
    return list(_markup(_MARKDOWN.parse(markdown)))


def _markup(tokens: Iterable[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "image" and str(token.attrs["src"]).startswith("data:image/png;base64,"):
            continue
        if token.type == "inline":
            yield from _markup(token.children or [])
        elif token.type == "text":
            yield from _ADDRESS.findall(token.content)
        elif token.type not in ("fence", "softbreak") and not _SHOWN.fullmatch(token.type):
            yield f"{token.type}: {token.content}"


def text_of(markdown: str) -> str:
    """The text that the page shows of `markdown`, on one line."""
    tokens = [t for block in _MARKDOWN.parse(markdown) for t in (block.children or [block])]
    return " ".join("".join(t.content or " " for t in tokens).replace("\u200b", "").split())


def markdown_of(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """All Markdown that Dagster shows of a run, by where it stands."""
    found: dict[str, str] = {}
    for event in result.all_events:
        data: Any = event.event_specific_data
        shown = getattr(data, "materialization", None) or data
        if event.event_type_value not in ("ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION"):
            continue
        place = f"{event.event_type_value} of {event.step_key}"
        found[f"{place}: description"] = shown.description or ""
        for name, value in shown.metadata.items():
            if isinstance(value, dg.MarkdownMetadataValue):
                found[f"{place}: {name}"] = value.md_str or ""
    return found
