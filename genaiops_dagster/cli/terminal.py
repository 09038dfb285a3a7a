"""The only place from which commands write to a terminal: a text on it is a text.

What people, data, models, files and Google say is shown as it is. It is never read as Rich's
markup, and its control characters do not reach the terminal.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    nullcontext,
    redirect_stderr,
    suppress,
)
from typing import Any, BinaryIO, TextIO

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.file_proxy import FileProxy
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from genaiops_dagster.orchestration.plain_text import visible

_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_LONGEST_LINE = 1 << 16  # bytes
_LAST_LINES_SECONDS = 5


class Terminal(Console):
    """A console whose strings are texts; only `styled` gives them a style.

    Args:
        options: Those of Rich's console, such as `stderr` and `width`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The string as what is measured and printed."""
        return super().render_str(visible(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The printed text; only Rich itself moves the cursor."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                style = segment.style.update_link(None) if segment.style else None
                yield Segment(visible(segment.text), style)


def styled(text: str, style: str) -> Text:
    """The text with a style of Rich's, such as `bold red`."""
    return Text(visible(text), style)


def joined(*parts: str | Text) -> Text:
    """Texts after each other, some of them styled, without the spaces that `print` puts between."""
    return Text.assemble(*(visible(part) if isinstance(part, str) else part for part in parts))


def panel(content: RenderableType, title: str, style: str) -> Panel:
    """A frame around `content`, with its title on the upper left."""
    return Panel(content, title=joined(title), border_style=style, title_align="left")


@contextmanager
def progress(file: BinaryIO, size: int, name: str, terminal: Terminal) -> Iterator[BinaryIO]:
    """The file, with a bar as long as it is read; `size` is in bytes."""
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bars = Progress(
        TextColumn("{task.description}", markup=False), *columns, console=terminal, transient=True
    )
    with bars, bars.wrap_file(file, size, description=visible(name)) as content:
        yield content


def visible_log_lines() -> AbstractContextManager[object]:
    """Let what libraries log to a terminal meanwhile be text, too; a file gets it as it is."""
    if not sys.stderr.isatty():
        return nullcontext()
    return redirect_stderr(FileProxy(Terminal(stderr=True), sys.stderr))


@contextmanager
def visible_streams() -> Iterator[tuple[int | None, int | None]]:
    """Standard output and errors for programs, whose lines on a terminal are texts with colours.

    End the programs inside the context. Each stream is a file descriptor, or None where it is
    not a terminal that this process writes to: the program then writes there itself.
    """
    with ExitStack() as stack:
        yield (
            stack.enter_context(_visible_stream(sys.stdout)),
            stack.enter_context(_visible_stream(sys.stderr)),
        )


@contextmanager
def _visible_stream(terminal: TextIO) -> Iterator[int | None]:
    if not terminal.isatty():
        yield None
        return
    ours, theirs = os.pipe()
    lines = threading.Thread(target=_copy_visibly, args=(ours, terminal), daemon=True)
    lines.start()
    try:
        yield theirs
    finally:
        os.close(theirs)
        lines.join(_LAST_LINES_SECONDS)  # a program that goes on keeps the other end open


def _copy_visibly(pipe: int, terminal: TextIO) -> None:
    with open(pipe, "rb") as source:
        while line := source.readline(_LONGEST_LINE):
            parts = _COLOUR.split(line.decode(errors="backslashreplace"))
            parts[::2] = map(visible, parts[::2])
            shown = "".join(parts).encode(terminal.encoding, "backslashreplace")
            with suppress(OSError, ValueError):  # without a terminal, programs still go on
                terminal.buffer.write(shown)
                terminal.flush()


def ask(question: str, default: str) -> str:
    """The person's answer, or `default`."""
    shown = f"{visible(question)} [{visible(default)}]"
    return str(typer.prompt(shown, default=default, show_default=False))


def confirm(question: str) -> bool:
    """Whether the person says yes; no is the default."""
    return typer.confirm(visible(question))


def write(text: str) -> None:
    """Write an answer or a document: as it is to a file or a pipe, visibly to a terminal."""
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()
