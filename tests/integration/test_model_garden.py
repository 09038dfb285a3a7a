"""The guide's comparison of seven candidates, from its use case file to its table in BigQuery."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud import bigquery

from genaiops_dagster.use_case import SHIPPED, load_use_case
from tests.integration.test_lifecycle import Project, project

__all__ = ["project"]

pytestmark = pytest.mark.slow

NAME = "model_garden_comparison"
TABLES = (
    *("model_comparisons", "latest_leaderboard", "promotions"),
    *("evaluation_runs", "evaluation_metrics", "evaluation_rows"),
)
SCALES = {
    **dict.fromkeys(("exact_match", "bleu", "rouge_1", "rouge_2", "rouge_l_sum"), (0, 1)),
    **dict.fromkeys(("summarization_quality", "instruction_following"), (1, 5)),
    "groundedness": (0, 1),
    "verbosity": (-2, 2),
}
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def results(project: Project) -> dict[str, Any]:
    return project.run(NAME)


@pytest.fixture(scope="module")
def client(project: Project, results: dict[str, Any]) -> Iterator[bigquery.Client]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in project.emulator.variables.items():
            patch.setenv(name, value)
        yield bigquery.Client()


def rows_of(client: bigquery.Client, table: str) -> Rows:
    found = client.query_and_wait(f"SELECT * FROM genaiops.{table} WHERE use_case = '{NAME}'")
    return sorted((dict(row) for row in found), key=str)


@pytest.fixture(scope="module")
def board(client: bigquery.Client) -> Rows:
    """Rows of the comparison, best candidate first."""
    return sorted(rows_of(client, "model_comparisons"), key=lambda row: row["rank"])


def test_there_is_one_row_for_each_of_the_seven(board: Rows, results: dict[str, Any]) -> None:
    use_case = load_use_case(SHIPPED / f"{NAME}.yaml")

    assert results["completed"]
    assert [row["rank"] for row in board] == [1, 2, 3, 4, 5, 6, 7]
    assert {row["candidate"] for row in board} == set(use_case.candidates)
    assert len({row["comparison_id"] for row in board}) == 1
    assert {row["eval_date"] for row in board} == {dt.datetime.now(dt.UTC).date()}


def test_each_row_says_what_answered_and_how_it_was_asked(
    board: Rows, results: dict[str, Any]
) -> None:
    rows = {row["candidate"]: row for row in board}

    for name, row in rows.items():
        assert row["evaluated_model"] == results["candidates"][name]["model"]
        assert row["system_instruction"] == "Always respond in plain text."
        assert row["sample_prompt"].startswith("Summarize the article in one sentence.")
        assert "The town library opens on Sundays" in row["sample_prompt"]
        assert row["tools"] == (["google_search"] if name == "grounded" else [])
        assert row["generation_config"]["max_output_tokens"] == 256
    assert "/endpoints/" in rows["tuned"]["evaluated_model"]
    assert rows["pro"]["evaluated_model"].endswith(
        "publishers/google/models/gemini-3.1-pro-preview"
    )
    presets = {
        name: rows[f"flash_{name}"]["generation_config"]
        for name in ("deterministic", "balanced", "random")
    }
    assert {name: config["temperature"] for name, config in presets.items()} == {
        "deterministic": 0.1,
        "balanced": 0.5,
        "random": 1.0,
    }


def test_each_row_has_every_metric_in_its_range(board: Rows, client: bigquery.Client) -> None:
    metrics = rows_of(client, "evaluation_metrics")

    assert [row["primary_mean"] for row in board] == sorted(
        (row["primary_mean"] for row in board), reverse=True
    )
    assert any(row["on_pareto_front"] for row in board)
    for row in board:
        assert row["metrics"].keys() == SCALES.keys()
        for metric, (low, high) in SCALES.items():
            assert low <= row["metrics"][metric] <= high, (row["candidate"], metric)
        assert row["primary_low"] <= row["primary_mean"] <= row["primary_high"]
        assert row["primary_mean"] == row["metrics"]["rouge_l_sum"] > 0
        assert row["answered"] == row["row_count"] >= 50
        assert row["cost_usd"] > 0
        assert row["latency_p50_seconds"] > 0
        over_all = [
            found
            for found in metrics
            if found["candidate"] == row["candidate"] and not found["slice"]
        ]
        assert {found["metric"]: found["mean"] for found in over_all} == row["metrics"]


def test_every_row_of_every_candidate_is_in_the_tables(
    board: Rows, client: bigquery.Client
) -> None:
    runs = {row["candidate"]: row for row in rows_of(client, "evaluation_runs")}
    rows = rows_of(client, "evaluation_rows")

    assert len(runs) == 7
    assert len(rows) == sum(row["row_count"] for row in board)
    assert len({row["row_id"] for row in rows}) == board[0]["row_count"]
    for row in board:
        assert runs[row["candidate"]]["evaluation_id"] == row["evaluation_id"]
    assert len(rows_of(client, "latest_leaderboard")) == 7


def test_a_second_run_changes_nothing(
    project: Project, client: bigquery.Client, results: dict[str, Any]
) -> None:
    before, calls = {table: rows_of(client, table) for table in TABLES}, project.calls()

    again = project.run(NAME)

    assert again["candidates"] == results["candidates"]
    assert {table: rows_of(client, table) for table in TABLES} == before
    paid = ("generateContent", "evaluateInstances", "tuningJobs.create")
    assert [project.calls()[name] for name in paid] == [calls[name] for name in paid]
