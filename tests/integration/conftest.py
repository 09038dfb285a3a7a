"""Fixtures of the tests over the emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from genaiops_dagster.records.tuning import TunedModel
from tests.integration.promotion_bench import Bench, tune
from vertex_emulator.testing import RunningEmulator


@pytest.fixture(scope="session")
def _tuned_models() -> dict[str, list[TunedModel]]:
    return {}


@pytest.fixture
def models(
    emulator: RunningEmulator, _tuned_models: dict[str, list[TunedModel]]
) -> list[TunedModel]:
    """Two models that the emulator really tuned, the older one first; the same for all tests."""
    if emulator.url not in _tuned_models:
        _tuned_models[emulator.url] = tune(2)
    return _tuned_models[emulator.url]


@pytest.fixture
def bench(models: list[TunedModel]) -> Bench:
    """A use case with reports and no champion yet."""
    return Bench(models)


@pytest.fixture
def folder(emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for use cases and Dagster's history, of commands that print 200 plain columns."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("GENAIOPS_USE_CASES", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    return tmp_path
