"""How long the machines run: a minute in continuous integration, longer when asked."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def histories() -> int:
    """Histories of each machine: `GENAIOPS_TEST_HISTORIES`, 150 by default."""
    return int(os.environ.get("GENAIOPS_TEST_HISTORIES", "150"))
