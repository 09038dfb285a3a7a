"""A run that is too expensive does with less, says so everywhere, and the gate knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.budget.degrade import read_scope
from genaiops_dagster.comparison.assets import build_assets as comparison_assets
from genaiops_dagster.evaluation.assets import build_assets as evaluation_assets
from genaiops_dagster.evaluation.evaluation_set import read_examples
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.planning.assets import build_assets as budget_assets
from genaiops_dagster.promotion.assets import build_assets as promotion_assets
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.record import read_record
from genaiops_dagster.tuning.assets import build_assets as tuning_assets
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import (
    colours_use_case,
    error_text,
    materialize,
    open_store,
    record_of,
    store_data,
)
from tests.values import present
from vertex_emulator.testing import RunningEmulator

ROWS = 30
JUDGE = {
    "model": "gemini-3.8-flash",
    "metrics": {"kind": {"criteria": "The answer is kind."}},
}
REPORTS = ("evaluation_report/flash", "evaluation_report/tuned")
LESS = "evaluated with less, for the budget"


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


def with_budget(use_case: UseCase, **budget: Any) -> UseCase:
    """The same use case with another budget section."""
    content = use_case.model_dump(mode="json", exclude_unset=True)
    return UseCase.model_validate({**content, "budget": budget})


def gate(minimum_rows: int) -> dict[str, Any]:
    rules = [{"rule": "threshold", "metric": "exact_match", "at_least": 0.1}]
    return {"minimum_rows": minimum_rows, "rules": rules}


def estimate(store: ObjectStore, use_case: UseCase) -> dict[str, Any]:
    materialize(use_case, budget_assets(use_case))
    found = record_of(store, use_case, "cost_estimate")
    assert found is not None
    return found


def limit_for(whole: dict[str, Any], rows: int) -> float:
    """The most that a run with this number of rows may cost."""
    of_rows = {"evaluation", "judging"}
    return sum(
        stage["maximum_usd"] * (rows / ROWS if stage["stage"] in of_rows else 1)
        for stage in whole["stages"]
    )


def run(use_case: UseCase, only: Iterable[str] | None = None) -> dg.ExecuteInProcessResult:
    rooms = (budget_assets, tuning_assets, evaluation_assets, comparison_assets, promotion_assets)
    return materialize(use_case, [asset for room in rooms for asset in room(use_case)], only)


def asked(emulator: RunningEmulator, *methods: str) -> int:
    vertex = emulator.stats()["requests"].get("vertex", {})
    return sum(vertex.get(method, 0) for method in methods)


def rules_of(decision: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["rule"]: rule for rule in decision["verdict"]["rules"]}


def test_too_expensive_a_run_evaluates_the_largest_sample_that_fits(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    plain = colours_use_case(gate=gate(minimum_rows=5))
    store_data(store, plain, rows=2 * ROWS)
    whole = estimate(store, plain)
    limit = limit_for(whole, rows=13)
    use_case = with_budget(plain, per_run_usd=limit, degrade={"evaluation_rows": [9, 20, 12]})
    before = asked(emulator, "generateContent")
    result = run(use_case)
    assert result.success, error_text(result)
    smoke_tests = len(use_case.serving.samples)
    assert asked(emulator, "generateContent") - before == 2 * 12 + smoke_tests

    reduced = record_of(store, use_case, "cost_estimate")
    assert reduced is not None
    assert reduced["maximum_usd"] < limit < whole["maximum_usd"]
    (event,) = (
        e
        for e in result.get_asset_materialization_events()
        if e.asset_key and e.asset_key.path[-1] == "cost_estimate"
    )
    said = event.materialization.metadata["done_with_less"].value
    assert "12 of 30 evaluation rows are asked, by slices in proportion" in str(said)
    assert "budget.per_run_usd" in str(said)

    flash, tuned = (record_of(store, use_case, name) for name in REPORTS)
    assert flash is not None
    assert tuned is not None
    for report in (flash, tuned):
        assert (report["rows"], report["rows_in_whole"]) == (12, ROWS)
        assert report["done_with_less"] == reduced["degradation"]["done"]
        assert report["evaluation_digest"] == reduced["evaluation_digest"]
    assert flash["evaluation_digest"] != whole["evaluation_digest"]
    split = read_record(store, DatasetSplit, use_case.name, "evaluation_set")
    sample = read_examples(store, read_scope(store, use_case, split).evaluation_set)
    assert Counter(example.slices["colour"] for example in sample) == {
        "red": 4,
        "green": 4,
        "blue": 4,
    }
    decision = record_of(store, use_case, "promotion_decision")
    assert decision is not None
    assert decision["verdict"]["outcome"] == "PROMOTE"
    assert rules_of(decision)[LESS]["reason"] == "; ".join(reduced["degradation"]["done"])
    assert record_of(store, use_case, "champion") is not None

    generous = with_budget(
        plain, per_run_usd=10 * whole["maximum_usd"], degrade={"evaluation_rows": [12]}
    )
    again = run(generous)
    assert again.success, error_text(again)
    report = present(record_of(store, generous, "evaluation_report/flash"))
    assert (report["rows"], report["rows_in_whole"]) == (ROWS, None)


def test_a_sample_below_the_gates_minimum_is_insufficient_and_promotes_nothing(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    plain = colours_use_case(gate=gate(minimum_rows=20))
    store_data(store, plain, rows=2 * ROWS)
    limit = limit_for(estimate(store, plain), rows=13)
    use_case = with_budget(plain, per_run_usd=limit, degrade={"evaluation_rows": [12]})
    result = run(use_case)
    assert not result.success
    decision = record_of(store, use_case, "promotion_decision")
    assert decision is not None
    assert decision["verdict"]["outcome"] == "INSUFFICIENT"
    rules = rules_of(decision)
    assert rules["at least 20 rows answered"]["outcome"] == "INSUFFICIENT"
    assert "the gate asks for 20 and will not decide" in rules[LESS]["reason"]
    assert record_of(store, use_case, "champion") is None


def test_a_cheaper_judge_judges_every_candidate_and_the_gate_accepts_its_reports(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    plain = colours_use_case(gate=gate(minimum_rows=5), evaluation={"judge": JUDGE})
    store_data(store, plain, rows=2 * ROWS)
    whole = estimate(store, plain)
    use_case = with_budget(
        plain,
        per_run_usd=whole["maximum_usd"] * 0.7,
        degrade={"judge": "gemini-3.1-flash-lite"},
    )
    result = run(use_case)
    assert result.success, error_text(result)
    reduced = record_of(store, use_case, "cost_estimate")
    assert reduced is not None
    assert {s["model"] for s in reduced["stages"] if s["stage"] == "judging"} == {
        "gemini-3.1-flash-lite"
    }
    flash, tuned = (record_of(store, use_case, name) for name in REPORTS)
    assert flash is not None
    assert tuned is not None
    assert flash["judge_digest"] == tuned["judge_digest"]
    assert flash["rows"] == tuned["rows"] == ROWS
    assert "gemini-3.1-flash-lite judges in place of gemini-3.8-flash" in flash["done_with_less"]
    decision = record_of(store, use_case, "promotion_decision")
    assert decision is not None
    assert decision["verdict"]["outcome"] == "PROMOTE"
    assert "gemini-3.1-flash-lite" in rules_of(decision)[LESS]["reason"]


def test_a_run_that_no_allowed_sample_makes_affordable_pays_nothing(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    plain = colours_use_case(gate=gate(minimum_rows=5))
    store_data(store, plain, rows=2 * ROWS)
    use_case = with_budget(plain, per_run_usd=1e-9, degrade={"evaluation_rows": [5]})
    paid = ("generateContent", "tuningJobs.create")
    before = asked(emulator, *paid)
    result = run(use_case)
    assert not result.success
    assert asked(emulator, *paid) == before
    found = record_of(store, use_case, "cost_estimate")
    assert found is not None
    assert found["degradation"] is None
