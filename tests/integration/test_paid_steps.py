"""Every paid step holds the budget itself, and records what it really paid."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from google.cloud import bigquery

from genaiops_dagster.budget.ledger import Ledger
from genaiops_dagster.evaluation.assets import build_assets
from genaiops_dagster.evaluation.report import read_rows
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.planning.assets import build_assets as budget_assets
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.evaluation import EvaluationReport
from genaiops_dagster.records.record import from_row
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

JUDGE = {
    "model": "gemini-3.5-flash-lite",
    "metrics": {"kind": {"criteria": "The answer is kind."}},
}


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


def evaluate(use_case: UseCase) -> dg.ExecuteInProcessResult:
    """Materialize the report of one base model, and nothing before it."""
    report = next(
        asset
        for asset in build_assets(use_case)
        if isinstance(asset, dg.AssetsDefinition) and asset.key.path[-1] == "flash"
    )
    return materialize(use_case, [report])


def asked(emulator: RunningEmulator) -> int:
    vertex = emulator.stats()["requests"].get("vertex", {})
    return sum(vertex.get(method, 0) for method in ("generateContent", "evaluateInstances"))


def spend_of(use_case: UseCase) -> list[dict[str, Any]]:
    parameter = bigquery.ScalarQueryParameter("u", "STRING", use_case.name)
    rows = bigquery.Client().query_and_wait(
        "SELECT stage, model, requests, input_tokens, output_tokens, cost_usd, emulated"
        " FROM genaiops.spend WHERE use_case = @u ORDER BY stage",
        job_config=bigquery.QueryJobConfig(query_parameters=[parameter]),
    )
    return [dict(row) for row in rows]


def test_a_report_alone_is_held_to_the_budget(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(budget={"per_run_usd": 0.0001})
    store_data(store, use_case)
    before = asked(emulator)
    result = evaluate(use_case)
    assert not result.success
    assert "budget.per_run_usd" in error_text(result)
    assert asked(emulator) == before
    assert Ledger(store, use_case.name, use_case.budget, SYSTEM_CLOCK).read().taken().usd == 0


def test_what_answers_cost_is_recorded_once(emulator: RunningEmulator, store: ObjectStore) -> None:
    use_case = colours_use_case()
    store_data(store, use_case)
    result = evaluate(use_case)
    assert result.success, error_text(result)
    report = record_of(store, use_case, "evaluation_report/flash")
    assert report is not None
    (paid,) = spend_of(use_case)
    assert paid["requests"] == 30
    assert paid["input_tokens"] == report["input_tokens"]
    assert paid["output_tokens"] == report["output_tokens"]
    assert paid["cost_usd"] == pytest.approx(report["cost_usd"])
    assert paid["emulated"]
    taken = Ledger(store, use_case.name, use_case.budget, SYSTEM_CLOCK).read().taken()
    assert taken.usd == pytest.approx(report["cost_usd"])
    assert evaluate(use_case).success
    assert spend_of(use_case) == [paid]


def test_judging_is_held_to_the_budget_and_recorded_too(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(evaluation={"judge": JUDGE})
    store_data(store, use_case)
    result = evaluate(use_case)
    assert result.success, error_text(result)
    answers, judgements = spend_of(use_case)
    assert (answers["stage"], answers["requests"]) == ("evaluation", 30)
    assert (judgements["stage"], judgements["requests"]) == ("judging", 30)
    assert judgements["model"] == "gemini-3.5-flash-lite"
    assert judgements["cost_usd"] > answers["cost_usd"]
    enough_for_answers = colours_use_case(
        evaluation={"judge": JUDGE}, budget={"per_run_usd": answers["cost_usd"] * 10}
    )
    store_data(store, enough_for_answers)
    before = asked(emulator)
    assert "budget.per_run_usd" in error_text(evaluate(enough_for_answers))
    assert asked(emulator) == before


def test_judging_costs_what_was_estimated(emulator: RunningEmulator, store: ObjectStore) -> None:
    use_case = colours_use_case(evaluation={"judge": JUDGE}, budget={"token_sample_rows": None})
    store_data(store, use_case)
    assert materialize(use_case, budget_assets(use_case)).success
    estimate = from_row(CostEstimate, present(record_of(store, use_case, "cost_estimate")))
    result = evaluate(use_case)
    assert result.success, error_text(result)
    for paid in spend_of(use_case):
        (stage,) = estimate.of_stages(paid["stage"], candidate="flash").stages
        assert paid["cost_usd"] == pytest.approx(stage.cost_usd, rel=0.05), paid["stage"]


def test_suites_are_held_to_the_budget_and_recorded_too(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(
        evaluation={"golden": [{"id": "leaf", "variables": {"thing": "grass"}, "equals": "green"}]}
    )
    store_data(store, use_case)
    before = asked(emulator)
    result = evaluate(use_case)
    assert result.success or "golden" in error_text(result), error_text(result)
    assert sum(paid["requests"] for paid in spend_of(use_case)) == asked(emulator) - before == 31


def test_metrics_of_the_service_are_held_to_the_budget_and_recorded_too(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(
        evaluation={"metrics": ["exact_match", "bleu"], "computed_by": "service"}
    )
    store_data(store, use_case)
    assert materialize(use_case, budget_assets(use_case)).success
    estimate = from_row(CostEstimate, present(record_of(store, use_case, "cost_estimate")))
    result = evaluate(use_case)
    assert result.success, error_text(result)
    report = from_row(
        EvaluationReport, present(record_of(store, use_case, "evaluation_report/flash"))
    )
    sent = {(row.answer or "", row.reference) for row in read_rows(store, report)}
    characters = sum(len(answer.strip()) + len(reference) for answer, reference in sent)
    (paid,) = (row for row in spend_of(use_case) if row["stage"] == "metrics")
    assert (paid["model"], paid["requests"]) == ("evaluation_service", 2)
    assert paid["cost_usd"] == pytest.approx(
        (2 * characters * 0.03 + 2 * len(sent) * 20 * 0.09) / 1e6
    )
    assert paid["cost_usd"] <= estimate.of_stages("metrics", candidate="flash").maximum_usd
    taken = Ledger(store, use_case.name, use_case.budget, SYSTEM_CLOCK).read().taken()
    assert taken.usd == pytest.approx(sum(row["cost_usd"] for row in spend_of(use_case)))


def test_what_a_tuned_model_costs_is_recorded_as_its_endpoint_is_priced(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(
        tuning={"base_model": "gemini-3.5-flash", "epochs": 2, "claim_seconds": 4},
        budget={"token_sample_rows": None},
    )
    store_data(store, use_case)
    wanted = {"cost_estimate", "tuned_model", "tuned"}
    assets = [
        asset
        for room in (budget_assets, tuning_assets, build_assets)
        for asset in room(use_case)
        if isinstance(asset, dg.AssetsDefinition) and {key.path[-1] for key in asset.keys} & wanted
    ]
    result = materialize(use_case, assets)
    assert result.success, error_text(result)
    estimate = from_row(CostEstimate, present(record_of(store, use_case, "cost_estimate")))
    report = record_of(store, use_case, "evaluation_report/tuned")
    assert report is not None
    (paid,) = (row for row in spend_of(use_case) if row["stage"] == "evaluation")
    listed = (paid["input_tokens"] * 1.50 + paid["output_tokens"] * 9.00) / 1e6
    assert paid["cost_usd"] == pytest.approx(1.5 * 1.1 * listed)
    assert report["cost_usd"] == pytest.approx(paid["cost_usd"])
    expected = estimate.of_stages("evaluation", candidate="tuned").cost_usd
    assert paid["cost_usd"] == pytest.approx(expected, rel=0.05)


KILLED = """
import pathlib, sys
from genaiops_dagster.use_case import UseCase
from tests.integration.test_paid_steps import evaluate
use_case = UseCase.model_validate_json(pathlib.Path(sys.argv[1]).read_text())
evaluate(use_case)
"""


def test_what_a_killed_attempt_spent_is_recorded_by_the_next(
    emulator: RunningEmulator, store: ObjectStore, tmp_path: Path
) -> None:
    """It had told the ledger nothing yet; its answers are kept with how they were paid for."""
    use_case = colours_use_case(evaluation={"concurrency": 1})
    store_data(store, use_case)
    file = tmp_path / "use_case.json"
    file.write_text(use_case.model_dump_json())
    emulator.add_fault(kind="latency", method="generateContent", seconds=0.2)
    before = asked(emulator)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(file)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while asked(emulator) - before < 10 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    emulator.clear_faults()
    ledger = Ledger(store, use_case.name, use_case.budget, SYSTEM_CLOCK)
    assert sum(entry.spent_usd for entry in ledger.read().entries) == 0

    result = evaluate(use_case)

    assert result.success, error_text(result)
    report = record_of(store, use_case, "evaluation_report/flash")
    killed, last = sorted(spend_of(use_case), key=lambda row: row["requests"])
    assert killed["requests"] + last["requests"] == 30
    assert killed["requests"] >= 8
    total = killed["cost_usd"] + last["cost_usd"]
    assert total == pytest.approx(present(report)["cost_usd"])
    assert sum(entry.spent_usd for entry in ledger.read().entries) == pytest.approx(total)


def test_an_answer_that_was_lost_on_the_way_is_counted_as_paid(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    store_data(store, use_case)
    emulator.add_fault(kind="drop", method="generateContent", when="after", times=3)
    result = evaluate(use_case)
    emulator.clear_faults()
    assert result.success, error_text(result)
    (paid,) = spend_of(use_case)
    assert paid["requests"] == 33


def test_reservations_for_work_that_is_done_are_released(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    """A run was killed after its report was stored and before it gave back what was left."""
    use_case = colours_use_case()
    store_data(store, use_case)
    assert evaluate(use_case).success
    ledger = Ledger(store, use_case.name, use_case.budget, SYSTEM_CLOCK)
    spent = ledger.read().taken()
    [entry] = ledger.read().entries
    estimate = CostEstimate(
        use_case=use_case.name,
        training_digest="",
        evaluation_digest="",
        prompt_digest="",
        stages=[],
        cost_usd=1.0,
        maximum_usd=2.0,
        tokens=10,
        maximum_tokens=20,
        error_share=0.0,
        unknown_prices=[],
        emulated=True,
    )
    ledger.reserve(entry.work, "killed", estimate)
    assert ledger.read().taken().usd == pytest.approx(spent.usd + 2.0)
    assert evaluate(use_case).success
    assert ledger.read().taken() == spent
