"""How a picture is compared with its file, or written there."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.surface.layout import layout
from tests.surface.story import Story

HERE = Path(__file__).parent
UPDATE = "--update-surface"
COMMAND = f'pytest tests/surface -m "slow or not slow" {UPDATE}'

Compare = Callable[[str, Any], None]
"""Holds the picture of a subject against its file."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(UPDATE, action="store_true", help="Write the pictures of tests/surface again.")


@pytest.fixture(scope="session")
def compare(request: pytest.FixtureRequest) -> Compare:
    # The option is unknown where pytest was started for other folders, too.
    is_update = request.config.getoption(UPDATE, default=False)

    def compare(subject: str, picture: Any) -> None:
        path = HERE / f"{subject}.json"
        found = layout(picture)
        if is_update:
            path.write_text(found, encoding="utf-8")
            return
        kept = path.read_text(encoding="utf-8") if path.exists() else ""
        if found != kept:
            lines = difflib.unified_diff(
                kept.splitlines(), found.splitlines(), f"{path.name}, as kept", "now", "", "", 2, ""
            )
            pytest.fail(
                f"What users have changed. If that is meant, run\n  {COMMAND}\n" + "\n".join(lines),
                pytrace=False,
            )

    return compare


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The story before its first step, on an emulator of its own."""
    told = Story(tmp_path_factory.mktemp("story"))
    with told.emulator():
        yield told
