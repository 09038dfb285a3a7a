"""The emulator's pages, which are next to its code, as a part of this site.

Links between the two folders are written for files, as a reader of the repository follows them;
here they become links between pages of the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PLACES = {
    ROOT / "docs": "",
    ROOT / "emulator" / "docs": "emulator/",
    ROOT / "emulator" / "README.md": "emulator/install.md",
}
"""Folders of pages, and a page, with where they are on the site."""

_LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the emulator's pages to the site."""
    emulator = ROOT / "emulator"
    for path in [emulator / "README.md", *sorted((emulator / "docs").rglob("*.*"))]:
        if place := _place(path):
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def _place(path: Path) -> str | None:
    """Where a file is on the site; None when it is not."""
    for root, place in PLACES.items():
        if path.is_relative_to(root):
            return place + (path.relative_to(root).as_posix() if path != root else "")
    return None


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Make links between the folders links of the site."""
    source = page.file.abs_src_path
    if source is None:  # a page that is made when the site is built
        return markdown
    to_the_top = "../" * page.file.src_uri.count("/")

    def link(match: re.Match[str]) -> str:
        place = _place((Path(source).parent / match[1]).resolve())
        return match[0] if place is None else to_the_top + place

    return _LINK.sub(link, markdown)
