"""The assets of budget and tuning over the emulator: what is paid, and what is refused."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.budget.ledger import Ledger
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.planning.assets import build_assets as budget_assets
from genaiops_dagster.promotion.registry import list_models
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.record import from_row
from genaiops_dagster.records.tuning import TunedModel
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

PAID = ("tuningJobs.create", "generateContent", "evaluateInstances", "batchPredictionJobs.create")


WORKER = """
import pathlib, sys
from genaiops_dagster.use_case import UseCase
from tests.integration.test_tuning import run
from tests.tuning.worker import die_at
use_case = UseCase.model_validate_json(pathlib.Path(sys.argv[1]).read_text())
if sys.argv[2]:
    die_at(sys.argv[2])
run(use_case, only=["tuned_model"])
"""
"""Materializes the tuned model of a use case file, and dies at a given place."""


def jobs_of(emulator: RunningEmulator, use_case: UseCase) -> list[Any]:
    client = VertexAI(GoogleCloudSettings.from_environment(emulator.variables)).genai
    return [
        job
        for job in client.tunings.list()
        if (job.labels or {}).get("genaiops_use_case") == use_case.name
    ]


def paid_calls(emulator: RunningEmulator) -> int:
    vertex = emulator.stats()["requests"].get("vertex", {})
    return sum(vertex.get(method, 0) for method in PAID)


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


def run(use_case: UseCase, **options: Any) -> dg.ExecuteInProcessResult:
    return materialize(use_case, [*budget_assets(use_case), *tuning_assets(use_case)], **options)


def test_a_model_is_tuned_once_and_its_price_recorded(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    store_data(store, use_case, validation=6)
    before = paid_calls(emulator)
    first = run(use_case)
    assert first.success, error_text(first)
    assert paid_calls(emulator) == before + 1
    model = from_row(TunedModel, present(record_of(store, use_case, "tuned_model")))
    assert model.emulated
    assert model.endpoint.startswith("projects/")
    assert len(model.checkpoints) == 2
    (made,) = (
        event.materialization.metadata
        for event in first.get_asset_materialization_events()
        if event.asset_key and event.asset_key.path[-1] == "tuned_model"
    )
    table = str(made["loss_by_step"].value)
    losses = [line.split("|")[1:3] for line in table.splitlines()[2:]]
    assert [[cell.strip() for cell in cells] for cells in losses] == [
        [f"{part}_total_loss", epoch] for part in ("eval", "train") for epoch in ("1", "2")
    ]
    assert str(made["losses"].value).startswith("![Loss by step](data:image/png;base64,")
    second = run(use_case)
    assert second.success
    assert paid_calls(emulator) == before + 1
    from google.cloud import bigquery

    rows = list(
        bigquery.Client().query_and_wait(
            "SELECT id, stage, input_tokens, cost_usd FROM genaiops.spend WHERE use_case = @u",
            job_config=bigquery.QueryJobConfig(
                query_parameters=[bigquery.ScalarQueryParameter("u", "STRING", use_case.name)]
            ),
        )
    )
    assert [dict(row) for row in rows] == [
        {
            "id": model.job,
            "stage": "tuning",
            "input_tokens": model.billable_tokens,
            "cost_usd": pytest.approx(model.cost_usd),
        }
    ]


def test_the_estimate_is_what_is_billed(emulator: RunningEmulator, store: ObjectStore) -> None:
    """Exact counting is within 5 % of the bill, sampling within its stated error."""
    for sample, tolerance in ((None, 0.05), (10, None)):
        use_case = colours_use_case(budget={"token_sample_rows": sample})
        store_data(store, use_case, rows=120)
        result = run(use_case)
        assert result.success, error_text(result)
        estimate = from_row(CostEstimate, present(record_of(store, use_case, "cost_estimate")))
        model = from_row(TunedModel, present(record_of(store, use_case, "tuned_model")))
        tuning = estimate.of_stages("tuning")
        assert model.billable_tokens
        allowed = estimate.error_share if tolerance is None else tolerance
        assert tuning.tokens == pytest.approx(model.billable_tokens, rel=allowed)
        assert (estimate.error_share == 0) == (sample is None)


def test_a_use_case_is_tuned_in_a_region_of_its_own(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(
        tuning={"base_model": "gemini-3.5-flash", "epochs": 1, "location": "europe-west4"}
    )
    store_data(store, use_case)
    result = run(use_case)
    assert result.success, error_text(result)
    model = present(record_of(store, use_case, "tuned_model"))
    for resource in (model["job"], model["model"], model["endpoint"]):
        assert "/locations/europe-west4/" in resource


def test_one_cent_too_little_pays_nothing(emulator: RunningEmulator, store: ObjectStore) -> None:
    generous = colours_use_case(
        tuning={"base_model": "gemini-3.5-flash", "epochs": 100}, budget={"per_run_usd": 50.0}
    )
    store_data(store, generous, rows=600)
    assert run(generous, only=["cost_estimate"]).success
    estimate = from_row(CostEstimate, present(record_of(store, generous, "cost_estimate")))
    assert estimate.maximum_usd > 0.02
    tight = generous.model_copy(
        update={
            "budget": generous.budget.model_copy(
                update={"per_run_usd": estimate.maximum_usd - 0.01}
            )
        }
    )
    before = paid_calls(emulator)
    result = run(tight)
    checks = {
        e.asset_check_evaluation_data.check_name: e.asset_check_evaluation_data
        for e in result.all_events
        if e.event_type_value == "ASSET_CHECK_EVALUATION"
    }
    assert not checks["within_budget"].passed
    assert "budget.per_run_usd" in (checks["within_budget"].description or "")
    assert not result.success
    assert paid_calls(emulator) == before


def test_materializing_the_tuned_model_alone_does_not_walk_around_the_budget(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    store_data(store, use_case)
    assert run(use_case, only=["cost_estimate"]).success
    estimate = from_row(CostEstimate, present(record_of(store, use_case, "cost_estimate")))
    a_little_less = use_case.budget.model_copy(
        update={"per_run_usd": estimate.maximum_usd - 0.000_001}
    )
    assert estimate.of_stages("tuning").maximum_usd < a_little_less.per_run_usd
    tight = use_case.model_copy(update={"budget": a_little_less})
    before = paid_calls(emulator)
    result = run(tight, only=["tuned_model"])
    assert not result.success
    assert "budget.per_run_usd" in error_text(result)
    assert paid_calls(emulator) == before
    assert record_of(store, use_case, "tuned_model") is None


def test_an_estimate_of_other_data_allows_nothing(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    store_data(store, use_case, rows=60)
    assert run(use_case, only=["cost_estimate"]).success
    store_data(store, use_case, rows=90)
    before = paid_calls(emulator)
    result = run(use_case, only=["tuned_model"])
    assert "materialize" in error_text(result)
    assert "training_digest" in error_text(result)
    assert paid_calls(emulator) == before


def test_a_failed_job_fails_the_asset_with_the_words_of_the_service(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    store_data(store, use_case, rows=20)
    result = run(use_case)
    assert not result.success
    assert "JOB_STATE_FAILED" in error_text(result)
    assert "valid examples" in error_text(result)
    assert record_of(store, use_case, "tuned_model") is None
    before = paid_calls(emulator)
    assert not run(use_case).success
    assert paid_calls(emulator) == before
    config = {"ops": {f"{use_case.name}__tuned_model": {"config": {"retry_failed": True}}}}
    assert not run(use_case, run_config=config).success
    assert paid_calls(emulator) == before + 1


def test_a_retired_model_is_refused_with_its_successor(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(tuning={"base_model": "gemini-2.0-flash-001", "epochs": 2})
    store_data(store, use_case)
    before = paid_calls(emulator)
    for only in (None, ["tuned_model"]):
        result = run(use_case, only=only)
        assert not result.success
    assert "; move to gemini-3.5-flash-lite" in error_text(run(use_case))
    assert paid_calls(emulator) == before


@pytest.mark.parametrize("cancel", [False, True])
def test_cancelling_the_run_leaves_the_job_alone_unless_told_otherwise(
    emulator: RunningEmulator, store: ObjectStore, tmp_path: Path, cancel: bool
) -> None:
    use_case = colours_use_case(
        tuning={"base_model": "gemini-3.5-flash", "epochs": 2, "cancel_with_run": cancel}
    )
    store_data(store, use_case)
    assert run(use_case, only=["cost_estimate"]).success
    file = tmp_path / "use_case.json"
    file.write_text(use_case.model_dump_json())
    emulator.add_fault(kind="job", method="tuningJobs.run", outcome="pending")
    process = subprocess.Popen([sys.executable, "-c", WORKER, str(file), ""])
    try:
        deadline = time.monotonic() + 120
        while not (jobs := jobs_of(emulator, use_case)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(1)  # it waits by now
        process.send_signal(signal.SIGINT)
        process.wait(60)
        time.sleep(1)
        (job,) = jobs_of(emulator, use_case)
        assert job.name == jobs[0].name
        assert ("CANCELLED" in str(job.state)) == cancel
    finally:
        process.kill()
        emulator.clear_faults()
    again = run(use_case, only=["tuned_model"])
    assert again.success == (not cancel), error_text(again)
    if cancel:
        assert "the run was cancelled" in error_text(again)
    assert len(jobs_of(emulator, use_case)) == 1


@pytest.mark.parametrize(
    "point",
    [
        "after:1:^POST .*/tuningJobs$",
        *(
            pytest.param(
                f"{'before' if number % 2 else 'after'}:{number}:tuning|/upload/",
                marks=pytest.mark.slow,
            )
            for number in range(1, 13)
        ),
        pytest.param("after:1:^GET .*/\\d+$", marks=pytest.mark.slow),
    ],
)
def test_a_killed_step_is_repeated_without_a_second_job(
    emulator: RunningEmulator, store: ObjectStore, tmp_path: Path, point: str
) -> None:
    """Killed at any of its requests around the job: record, ledger, claim, creation, waiting."""
    use_case = colours_use_case(
        tuning={"base_model": "gemini-3.5-flash", "epochs": 2, "claim_seconds": 2}
    )
    store_data(store, use_case)
    assert run(use_case, only=["cost_estimate"]).success
    file = tmp_path / "use_case.json"
    file.write_text(use_case.model_dump_json())
    killed = subprocess.run(
        [sys.executable, "-c", WORKER, str(file), point], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    again = run(use_case, only=["tuned_model"])
    assert again.success, error_text(again)
    (job,) = jobs_of(emulator, use_case)
    model = from_row(TunedModel, present(record_of(store, use_case, "tuned_model")))
    assert job.tuned_model is not None
    assert (model.job, model.endpoint) == (job.name, job.tuned_model.endpoint)
    taken = Ledger(store, use_case.name, use_case.budget, SYSTEM_CLOCK).read().taken()
    assert taken.usd == pytest.approx(model.cost_usd)


def test_two_environments_of_a_project_keep_their_models_apart(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    """A use case of the same name over another bucket does not see, prune or delete them."""
    use_case = colours_use_case(tuning={"base_model": "gemini-3.5-flash", "epochs": 1})
    store_data(store, use_case)
    assert run(use_case).success
    mine = VertexAI(GoogleCloudSettings.from_environment(emulator.variables))
    theirs = VertexAI(dataclasses.replace(mine.settings, bucket="other.bucket"))
    assert len(list(list_models(mine, use_case.name))) == 1
    assert list(list_models(theirs, use_case.name)) == []
