"""The emulator's pages, which lie beside its code, as a part of this site.

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
FOLDERS = {ROOT / "docs": "", ROOT / "emulator" / "docs": "emulator/"}
"""Each folder of pages, and where its pages are on the site."""

_LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the emulator's pages to the site."""
    folder = ROOT / "emulator" / "docs"
    for path in sorted(folder.rglob("*.*")):
        place = FOLDERS[folder] + path.relative_to(folder).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Make links between the folders links of the site."""
    source = page.file.abs_src_path
    if source is None:  # a page that is made when the site is built
        return markdown
    to_the_top = "../" * page.file.src_uri.count("/")

    def link(match: re.Match[str]) -> str:
        target = (Path(source).parent / match[1]).resolve()
        for folder, place in FOLDERS.items():
            if target.is_relative_to(folder):
                return to_the_top + place + target.relative_to(folder).as_posix()
        return match[0]

    return _LINK.sub(link, markdown)
