"""What version 0.1.0 stored is read by this one: a bucket with tables, and a folder `.genaiops`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from genaiops_dagster.budget.ledger import Ledger, spend_by_month
from genaiops_dagster.data.profile import Profile
from genaiops_dagster.evaluation.report import find_report, read_rows
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.promotion.champion import gated_champion
from genaiops_dagster.promotion.log import DecisionLog
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.data import DatasetSplit, StoredRows
from genaiops_dagster.records.evaluation import (
    ChampionEvaluation,
    EvaluationReport,
    JudgeCalibration,
    PreferenceReport,
)
from genaiops_dagster.records.pipelines import PipelineRunRecord
from genaiops_dagster.records.promotion import Champion, Decision
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import Record, find_object
from genaiops_dagster.records.serving import GeneratedContent, LoadTest
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.serving import Router
from genaiops_dagster.serving.watching.online_evaluation import OnlineEvaluation
from genaiops_dagster.serving.watching.rollout import RolloutLook
from genaiops_dagster.tuning.jobs import JobRecord
from genaiops_dagster.use_case.budget import Budget
from tests.surface.frozen import load, unpack
from tests.surface.story import DAY, NAME, Story
from tests.values import present

RECORDS: dict[str, type[Record]] = {
    "champion": Champion,
    "cost_estimate": CostEstimate,
    "evaluation_report/champion": ChampionEvaluation,
    "evaluation_report/flash": EvaluationReport,
    "evaluation_report/pro": EvaluationReport,
    "evaluation_report/tuned": EvaluationReport,
    "evaluation_set": DatasetSplit,
    "examples": StoredRows,
    f"generated_content/{DAY}": GeneratedContent,
    "judge_calibration": JudgeCalibration,
    "load_test": LoadTest,
    "model_comparison": Comparison,
    f"online_evaluation/{DAY}": OnlineEvaluation,
    "preference_report": PreferenceReport,
    "promotion_decision": Decision,
    "prompt": PromptVersion,
    "rollout": RolloutLook,
    "sample_content": GeneratedContent,
    "source_rows": StoredRows,
    "training_set": DatasetSplit,
    "tuned_model": TunedModel,
    "validation_set": DatasetSplit,
    "vertex_pipeline_run/hello": PipelineRunRecord,
}
"""Every asset that has a record, and what that is."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Commands and jobs over what was stored, on an emulator that has nothing else."""
    told = Story(tmp_path_factory.mktemp("frozen"))
    with told.emulator() as bucket:
        load(bucket)
        told.define()
        yield told


@pytest.fixture
def store(story: Story) -> ObjectStore:
    return ObjectStore.connect(GoogleCloudSettings.from_environment())


def test_every_record_of_an_asset_is_read(store: ObjectStore) -> None:
    stored = {item.name for item in store.list(f"{NAME}/assets/")}
    assert stored == {f"{NAME}/assets/{asset}.json" for asset in RECORDS}
    for asset, record_type in RECORDS.items():
        assert find_object(store, f"{NAME}/assets/{asset}.json", record_type), asset


def test_champion_and_decisions_are_read(store: ObjectStore) -> None:
    champion = gated_champion(store, NAME)
    assert champion is not None
    assert (champion.number, champion.candidate, champion.restores) == (3, "flash", 1)
    kinds = [entry.kind for entry in DecisionLog(store, NAME, SYSTEM_CLOCK).read()]
    assert kinds == [
        *("decision", "promotion", "completion"),
        *("decision", "approval", "promotion", "completion"),
        *("decision", "rollback", "completion"),
        *("decision", "rollout", "completion", "withdrawal", "completion"),
    ]


def test_reports_and_comparisons_are_read(store: ObjectStore) -> None:
    summaries = [item.name for item in store.list(f"{NAME}/reports/") if "summary" in item.name]
    assert len(summaries) == 4
    for name in summaries:
        report = find_report(store, NAME, name.split("/")[-2])
        assert report is not None
        assert len(read_rows(store, report)) == report.rows
    comparisons = [item.name for item in store.list(f"{NAME}/comparisons/")]
    found = [name for name in comparisons if name.endswith("comparison.json")]
    assert len(found) == 3
    assert all(find_object(store, name, Comparison) for name in found)


def test_what_was_spent_is_read(store: ObjectStore) -> None:
    spent = spend_by_month(store, NAME)
    [month] = {one.month for one in spent}
    assert {"tuning", "generation"} <= {one.stage for one in spent}
    assert Ledger(store, NAME, Budget(), SYSTEM_CLOCK, month).read().taken().usd == pytest.approx(
        sum(one.usd for one in spent)
    )


def test_notes_on_jobs_and_data_are_read(store: ObjectStore) -> None:
    job = present(store.read_json(f"{NAME}/assets/tuned_model.json"))["fingerprint"]
    assert find_object(store, f"{NAME}/tuning/{job}.json", JobRecord)
    [profile] = store.list(f"{NAME}/profiles/")
    assert find_object(store, profile.name, Profile)


def test_commands_go_on_from_there(story: Story) -> None:
    history = story.command("history", NAME)
    assert "The log is whole; champion 3 serves: gemini-3.5-flash" in history
    assert "personal_data" in story.command("rejected", NAME)
    assert "Paid now: 0 requests" in story.command("generate-day", NAME, "--day", DAY)
    page = story.home / "page.html"
    story.command("report", NAME, "--no-open", "--output", str(page))
    assert "gemini-3.1-pro-preview" in page.read_text()
    with Router.connect(NAME, log_requests=False) as router:
        assert router.route("somebody").served.number == 3


def test_kept_answers_are_not_paid_again(story: Story, store: ObjectStore) -> None:
    """The report is made again, from answers and ratings that are in the bucket."""
    report = find_object(store, f"{NAME}/assets/evaluation_report/flash.json", EvaluationReport)
    assert report is not None
    store.delete(store.name_of(report.summary_uri))
    story.materialize("evaluation_report", "flash", cache="strict")
    again = find_report(store, NAME, report.fingerprint)
    assert again is not None
    assert again.metrics == report.metrics


def test_an_old_folder_is_opened(tmp_path: Path) -> None:
    """Emulator and Dagster's history: champion, alias, tables and runs are there."""
    story = Story(tmp_path)
    assert unpack(tmp_path) == story.home
    with story.environment({}):  # the command starts the emulator of the folder
        story.define(gate={"approval": None})
        assert "champion 1 serves: gemini-3.5-flash" in story.command("history", NAME)
        with dg.DagsterInstance.get() as instance:
            [run] = instance.get_runs()
            made = instance.get_latest_materialization_event(dg.AssetKey([NAME, "champion"]))
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert made is not None
