"""Fixtures that give tests an emulator of their own.

pytest loads this module in every run of an environment that has it, so it imports little.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vertex_emulator.testing import RunningEmulator


@pytest.fixture(scope="session")
def vertex_emulator_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator on a free port; no variable points at it yet."""
    from vertex_emulator.testing import start_emulator

    running = start_emulator(tmp_path_factory.mktemp("vertex_emulator") / "state")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def vertex_emulator(vertex_emulator_process: RunningEmulator) -> Iterator[RunningEmulator]:
    """An emulator that Google's clients find until the end of the session.

    Variables that point them elsewhere are removed, and restored afterwards.
    """
    from vertex_emulator.testing import GOOGLE_VARIABLES

    before = dict(os.environ)
    for name in before:
        if name.startswith(GOOGLE_VARIABLES):
            del os.environ[name]
    os.environ.update(vertex_emulator_process.variables)
    yield vertex_emulator_process
    for name in {*os.environ, *before}:
        if name.startswith(GOOGLE_VARIABLES) or name in vertex_emulator_process.variables:
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


@pytest.fixture
def empty_vertex_emulator(vertex_emulator: RunningEmulator) -> RunningEmulator:
    """The emulator of the session, started again with an empty state for this test.

    Takes about a second. Clients have to be made in the test: the credentials are new.
    """
    vertex_emulator.reset()
    os.environ.update(vertex_emulator.variables)
    return vertex_emulator
