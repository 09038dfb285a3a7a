"""The assets of budget and tuning over the emulator: what is paid, and what is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.budget.assets import build_assets as budget_assets
from genaiops_dagster.budget.ledger import Ledger
from genaiops_dagster.budget.records import CostEstimate
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.tuning.assets import build_assets as tuning_assets
from genaiops_dagster.tuning.records import TunedModel
from genaiops_dagster.use_case import UseCase
from tests.conftest import RunningEmulator
from tests.integration.lifecycle import (
    colours_use_case,
    error_text,
    materialize,
    open_store,
    record_of,
    store_data,
)

PAID = ("tuningJobs.create", "generateContent", "evaluateInstances", "batchPredictionJobs.create")


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
    store_data(store, use_case)
    before = paid_calls(emulator)
    first = run(use_case)
    assert first.success, error_text(first)
    assert paid_calls(emulator) == before + 1
    model = TunedModel.model_validate(record_of(store, use_case, "tuned_model"))
    assert model.emulated
    assert model.endpoint.startswith("projects/")
    assert len(model.checkpoints) == 2
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
        estimate = CostEstimate.model_validate(record_of(store, use_case, "cost_estimate"))
        model = TunedModel.model_validate(record_of(store, use_case, "tuned_model"))
        tuning = estimate.of_stages("tuning")
        assert model.billable_tokens
        allowed = estimate.error_share if tolerance is None else tolerance
        assert tuning.tokens == pytest.approx(model.billable_tokens, rel=allowed)
        assert (estimate.error_share == 0) == (sample is None)


def test_one_cent_too_little_pays_nothing(emulator: RunningEmulator, store: ObjectStore) -> None:
    generous = colours_use_case(tuning={"base_model": "gemini-2.5-flash", "epochs": 100})
    store_data(store, generous, rows=600)
    assert run(generous, only=["cost_estimate"]).success
    estimate = CostEstimate.model_validate(record_of(store, generous, "cost_estimate"))
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
    tight = use_case.model_copy(
        update={"budget": use_case.budget.model_copy(update={"per_run_usd": 0.000001})}
    )
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


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("before:1:^POST .*/tuningJobs$", marks=pytest.mark.slow),
        "after:1:^POST .*/tuningJobs$",
        pytest.param("after:1:^GET .*/\\d+$", marks=pytest.mark.slow),
    ],
)
def test_a_killed_step_is_repeated_without_a_second_job(
    emulator: RunningEmulator, store: ObjectStore, tmp_path: Path, point: str
) -> None:
    """Killed before it asked for the job, after it asked, and while it waited."""
    use_case = colours_use_case(
        tuning={"base_model": "gemini-2.5-flash", "epochs": 2, "claim_seconds": 2}
    )
    store_data(store, use_case)
    assert run(use_case, only=["cost_estimate"]).success
    file = tmp_path / "use_case.json"
    file.write_text(use_case.model_dump_json())
    script = (
        "import pathlib, sys\n"
        "from genaiops_dagster.use_case import UseCase\n"
        "from tests.integration.test_tuning import run\n"
        "from tests.tuning.worker import die_at\n"
        "use_case = UseCase.model_validate_json(pathlib.Path(sys.argv[1]).read_text())\n"
        "die_at(sys.argv[2])\n"
        "run(use_case, only=['tuned_model'])\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(file), point], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    again = run(use_case, only=["tuned_model"])
    assert again.success, error_text(again)
    client = VertexAI(GoogleCloudSettings.from_environment(emulator.variables)).genai
    (job,) = [
        job
        for job in client.tunings.list()
        if (job.labels or {}).get("genaiops_use_case") == use_case.name
    ]
    model = TunedModel.model_validate(record_of(store, use_case, "tuned_model"))
    assert job.tuned_model is not None
    assert (model.job, model.endpoint) == (job.name, job.tuned_model.endpoint)
    taken = Ledger(store, use_case.name, use_case.budget).read().taken()
    assert taken.usd == pytest.approx(model.cost_usd)
