"""What both test trees share: `tests` and `emulator/emulator_tests`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from absl import logging as absl_logging
from hypothesis import Phase, settings

if TYPE_CHECKING:
    from vertex_emulator.testing import RunningEmulator

# The same cases everywhere; `HYPOTHESIS_PROFILE=search` looks for new ones, and `once` is content
# with the first failing case, however large.
settings.register_profile("repeat", derandomize=True, print_blob=True)
settings.register_profile("search", print_blob=True)
settings.register_profile("once", derandomize=True, phases=[Phase.explicit, Phase.generate])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

# rouge-score brings absl, whose handler closes its stream when logging is configured again, as
# Dagster does. That must not be the file in which pytest captures all that tests print.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture
def emulator(
    vertex_emulator_process: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> RunningEmulator:
    """One emulator for the whole session, with only its variables set for this test."""
    from vertex_emulator.testing import GOOGLE_VARIABLES

    for name in list(os.environ):
        if name.startswith(GOOGLE_VARIABLES):
            monkeypatch.delenv(name)
    for name, value in vertex_emulator_process.variables.items():
        monkeypatch.setenv(name, value)
    return vertex_emulator_process
