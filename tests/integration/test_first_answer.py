"""Every candidate answers one row before what comes next is paid for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.evaluation.assets import build_assets as evaluation_assets
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.planning.assets import build_assets as budget_assets
from genaiops_dagster.tuning.assets import build_assets as tuning_assets
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import colours_use_case, materialize, open_store, store_data
from tests.values import present
from vertex_emulator.testing import RunningEmulator, faults

FLASH = "gemini-3.5-flash"
THOUGHTS = {"kind": "malformed", "form": "thoughts"}


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


@pytest.fixture
def use_case(store: ObjectStore) -> UseCase:
    found = colours_use_case()
    store_data(store, found)
    return found


def run(use_case: UseCase, *only: str) -> dg.ExecuteInProcessResult:
    rooms = (budget_assets, tuning_assets, evaluation_assets)
    return materialize(use_case, [asset for room in rooms for asset in room(use_case)], only)


def calls(emulator: RunningEmulator) -> Counter[str]:
    return Counter(emulator.stats()["requests"].get("vertex", {}))


def outcome(result: dg.ExecuteInProcessResult, asset: str) -> Any:
    [found] = [
        check
        for check in result.get_asset_check_evaluations()
        if check.check_name == "candidates_answer" and check.asset_key.path[-1] == asset
    ]
    return found


def test_the_first_answer_is_kept_and_paid_once(
    emulator: RunningEmulator, store: ObjectStore, use_case: UseCase
) -> None:
    before = calls(emulator)
    result = run(use_case)
    assert result.success
    asked = (calls(emulator) - before)["generateContent"]
    assert asked == 2 * 30, "each of two candidates is asked each of 30 rows once"
    for asset in ("cost_estimate", "tuned_model"):
        assert outcome(result, asset).passed
    assert outcome(result, "cost_estimate").metadata["flash"].value == "answered"


def test_a_model_that_only_thinks_stops_the_run_before_it_is_tuned(
    emulator: RunningEmulator, use_case: UseCase
) -> None:
    before = calls(emulator)
    with faults(emulator, {**THOUGHTS, "model": FLASH}):
        result = run(use_case)
    assert not result.success
    found = outcome(result, "cost_estimate")
    assert not found.passed
    assert "candidates.flash (gemini-3.5-flash) gave no text" in present(found.description)
    assert "thinking_level lower (MINIMAL, LOW, MEDIUM, HIGH)" in found.description
    made = calls(emulator) - before
    assert made["generateContent"] == 1
    assert made["tuningJobs.create"] == 0


def test_a_tuned_model_that_only_thinks_stops_before_it_is_evaluated(
    emulator: RunningEmulator, use_case: UseCase
) -> None:
    run(use_case, "cost_estimate", "evaluation_report/flash")
    with faults(emulator, THOUGHTS):
        result = run(use_case)
    assert not outcome(result, "tuned_model").passed
    assert "candidates.tuned" in present(outcome(result, "tuned_model").description)
    assert not result.asset_materializations_for_node(f"{use_case.name}__evaluation_report__tuned")


def test_a_model_that_is_not_there_is_named(store: ObjectStore) -> None:
    use_case = colours_use_case(
        candidates={"typo": {"model": "gemini-99-flsh"}, "tuned": {"model": "tuned"}},
        budget={"prices": {"gemini-99-flsh": {"input": 1.0, "output": 1.0}}},
    )
    store_data(store, use_case)
    found = outcome(run(use_case), "cost_estimate")
    assert not found.passed
    assert "candidates.typo (gemini-99-flsh) cannot be asked" in present(found.description)
