"""Comparisons in tables, files and checks, over real storage and BigQuery's own client."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import GoogleAPICallError

from genaiops_dagster.comparison.tables import EVALUATION_RUNS, run_row
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.evaluation import EvaluationReport
from genaiops_dagster.records.record import from_row
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.use_case import SHIPPED, load_use_case
from tests.comparison.examples import make_rows
from tests.integration.promotion_bench import Bench
from tests.values import present
from vertex_emulator.testing import RunningEmulator

GUIDE_COLUMNS = {
    *("eval_date", "evaluated_model", "sample_prompt"),
    *("generation_config", "system_instruction", "tools", "metrics"),
}


@pytest.fixture
def bench(emulator: RunningEmulator) -> Bench:
    model = TunedModel(
        fingerprint="tuned",
        job="projects/p/locations/l/tuningJobs/1",
        state="JOB_STATE_SUCCEEDED",
        base_model="gemini-3.5-flash",
        model="projects/p/locations/l/models/1@1",
        endpoint="projects/p/locations/l/endpoints/1",
        checkpoints=[],
        training_digest="training",
        prompt_digest="prompt",
        epochs=1,
        examples=20,
        steps=None,
        billable_tokens=None,
        dropped_count=0,
        dropped_examples={},
        cost_usd=None,
        emulated=True,
    )
    return Bench([model])


def test_a_comparison_is_in_tables_with_the_guides_columns(bench: Bench) -> None:
    assert bench.materialize("model_comparison").success

    board = bench.rows("model_comparisons")
    by_rank = {row["rank"]: row for row in board}
    assert [by_rank[rank]["candidate"] for rank in (1, 2, 3)] == ["tuned", "pro", "flash"]
    assert board[0].keys() >= GUIDE_COLUMNS
    assert by_rank[1]["evaluated_model"] == bench.tuned.endpoint
    assert by_rank[1]["generation_config"]["temperature"] == 0.0
    assert by_rank[1]["sample_prompt"] == bench.use_case.prompt.template
    assert len(bench.rows("evaluation_runs")) == 3
    assert len(bench.rows("evaluation_rows")) == 600
    # All rows, and the slices `even` and `odd`, of one metric of three candidates.
    assert len(bench.rows("evaluation_metrics")) == 9


def test_tables_say_what_their_columns_hold_and_how_they_are_divided(bench: Bench) -> None:
    bench.materialize("model_comparison")
    for name in ("evaluation_runs", "evaluation_metrics", "evaluation_rows", "model_comparisons"):
        table = bench.bigquery.get_table(f"genaiops.{name}")
        assert table.time_partitioning.field in ("created", "eval_date")
        assert table.clustering_fields[0] == "use_case"
        assert all(field.description for field in table.schema), name


def test_the_view_shows_the_newest_comparison_alone(bench: Bench) -> None:
    bench.materialize("model_comparison")
    bench.evaluate("tuned", make_rows(0.95, seed=3), created="2026-11-20T13:00:00+00:00")
    bench.materialize("model_comparison")

    assert len(bench.rows("model_comparisons")) == 6
    latest = bench.rows("latest_leaderboard")
    assert len(latest) == 3
    assert {row["created"].hour for row in latest} == {13}


def test_a_comparison_is_in_the_bucket_as_json_csv_and_parquet(bench: Bench) -> None:
    bench.materialize("model_comparison")

    [*files] = bench.store.list(f"{bench.name}/comparisons/")
    contents = {
        found.name.rpartition("/")[2]: present(bench.store.read(found.name)) for found in files
    }
    assert set(contents) == {
        *("comparison.json", "leaderboard.csv", "leaderboard.parquet"),
        *("differences.csv", "differences.parquet"),
    }
    table = pq.read_table(io.BytesIO(contents["leaderboard.parquet"]))
    assert table.column("candidate").to_pylist() == ["tuned", "pro", "flash"]
    assert contents["leaderboard.csv"].count(b"\n") >= 4


def test_reports_of_other_data_fail_the_check_and_are_not_compared(bench: Bench) -> None:
    bench.evaluate("tuned", make_rows(0.9, seed=3), evaluation_digest="other data")

    result = bench.materialize("model_comparison")

    assert not result.success
    [check] = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed, check.blocking) == ("same_data_and_judge", False, True)
    assert "different evaluation sets" in present(check.description)
    assert not [*bench.store.list(f"{bench.name}/comparisons/")]


def test_two_comparisons_at_once_both_land(bench: Bench) -> None:
    other = Bench(bench.models)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda b: b.materialize("model_comparison"), (bench, other)))

    assert all(result.success for result in results)
    assert len(bench.rows("model_comparisons")) == len(other.rows("model_comparisons")) == 3


def test_a_load_that_fails_leaves_the_table_as_it_was(bench: Bench) -> None:
    bench.materialize("model_comparison")
    before = bench.rows("evaluation_runs")
    report = from_row(EvaluationReport, bench.get("evaluation_report/tuned"))
    good = run_row(report) | {"evaluation_id": "another"}
    bad = run_row(report) | {"evaluation_id": "a third", "row_count": "many"}

    with pytest.raises(GoogleAPICallError):
        Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK).merge(
            EVALUATION_RUNS, [good, bad]
        )

    assert bench.rows("evaluation_runs") == before
    tables = [table.table_id for table in bench.bigquery.list_tables("genaiops")]
    assert not [name for name in tables if "staging" in name]


def test_the_guides_seven_candidates_are_a_use_case() -> None:
    use_case = load_use_case(SHIPPED / "model_garden_comparison.yaml")

    found = {name: candidate.generation for name, candidate in use_case.candidates.items()}
    assert len(found) == 7
    presets = [found[f"flash_{name}"] for name in ("deterministic", "balanced", "random")]
    assert [(c.temperature, c.top_p, c.top_k) for c in presets] == [
        (0.1, 0.0, 1),
        (0.5, 0.5, 20),
        (1.0, 0.9, 40),
    ]
    assert found["grounded"].tools == ["google_search"]
