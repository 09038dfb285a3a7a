"""What the pages of the documentation hold: fenced blocks, and what is said of running them."""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "AGENTS.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "emulator").rglob("*.md")),
]

_BLOCK = re.compile(
    r"(?:^[ \t]*<!-- (?P<directive>[^\n]+?) -->\n)?"
    r"^(?P<indent>[ \t]*)```(?P<language>\w+)"
    r"(?: title=\"(?P<title>[^\"]+)\")?(?: (?P<kind>\w+))?\n"
    r"(?P<body>.*?)^(?P=indent)```[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
_NOT_RUN = ("not run:", "command:")  # the latter are run by CI itself


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: Word after the fence.
        title: Name of the file that the block shows; empty for none.
        kind: A word after these, for tests of one page; empty for none.
        body: Its lines.
        directive: The comment directly above the fence; empty for none.
    """

    language: str
    title: str
    kind: str
    body: str
    directive: str

    @property
    def is_run(self) -> bool:
        """Whether a reader, and so the test, runs it."""
        return self.language == "sh" and not self.directive.startswith(_NOT_RUN)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """Fenced blocks of a page, in order."""
    return [
        Block(
            language=match["language"],
            title=match["title"] or "",
            kind=match["kind"] or "",
            body=re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE),
            directive=match["directive"] or "",
        )
        for match in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def text_of(page: Path) -> str:
    """A page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def commands_of(page: Path) -> list[list[str]]:
    """Arguments of every call of `genaiops` in a shell block, run or not."""
    lines = [
        line
        for block in blocks_of(page)
        if block.language == "sh"
        for line in block.body.replace("\\\n", " ").splitlines()
    ]
    calls = (re.search(r"(?:^|&& |/)genaiops(?: (.*))?$", line.strip()) for line in lines)
    return [_arguments(call[1] or "") for call in calls if call]


def _arguments(text: str) -> list[str]:
    """Words of a command line up to a comment, a redirection or another command."""
    words = shlex.shlex(text, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    ends = ("<", ">", "|", "&", ";")
    return list(itertools.takewhile(lambda word: not word.startswith(ends), words))
