"""The address of the Dagster UI that serves a folder, for other commands to find."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

_FILE = "ui_address"


@contextlib.contextmanager
def published_ui_address(folder: Path, url: str) -> Iterator[None]:
    """Let other commands find the UI at `url` for as long as the context lasts."""
    file = folder / _FILE
    file.write_text(url + "\n", encoding="utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def read_ui_address(folder: Path) -> str | None:
    """Address of the UI that serves `folder`; None when none answers."""
    try:
        url = (folder / _FILE).read_text(encoding="utf-8").strip()
        with urllib.request.urlopen(f"{url}/server_info", timeout=5):  # noqa: S310
            return url
    except (OSError, ValueError, urllib.error.URLError):
        return None
