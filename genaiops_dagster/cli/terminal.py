"""The only place from which commands write to a terminal: a text on it is a text.

What people, data, models, files and Google say is shown as it stands. It is never read as Rich's
markup, and its control characters do not reach the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr
from typing import Any, BinaryIO

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
        """What is printed; only Rich itself moves the cursor."""
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


def ask(question: str, default: str) -> str:
    """What a person answers, or `default`."""
    shown = f"{visible(question)} [{visible(default)}]"
    return str(typer.prompt(shown, default=default, show_default=False))


def write(text: str) -> None:
    """Write an answer or a document: as it is to a file or a pipe, visibly to a terminal."""
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()
