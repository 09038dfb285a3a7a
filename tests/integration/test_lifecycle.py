"""The whole life of a model through the command line, as a newcomer runs it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud import bigquery, storage

from genaiops_dagster.budget.ledger import Ledger
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.use_case import SHIPPED
from genaiops_dagster.use_case.budget import Budget
from tests.surface.conftest import HERE
from tests.surface.listing import pattern
from tests.surface.story import NAME
from vertex_emulator.testing import GOOGLE_VARIABLES, RunningEmulator, start_emulator

BASE_CANDIDATES = ("flash_lite", "flash", "pro")


@dataclass
class Project:
    """A folder in which `genaiops` runs, with an emulator that outlives the command."""

    folder: Path
    emulator: RunningEmulator
    use_cases: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "genaiops_dagster.cli", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(GOOGLE_VARIABLES)}
        return {
            **own,
            "GENAIOPS_USE_CASES": str(self.use_cases),
            "DAGSTER_HOME": "",
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }

    def start(self, use_case: str, results: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*("run", use_case, "--folder", str(self.folder), "--json", str(results))),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, use_case: str) -> dict[str, Any]:
        """Run to the end; the results, with what was printed under `printed`."""
        results = self.folder / "results.json"
        results.unlink(missing_ok=True)
        process = self.start(use_case, results)
        printed, _ = process.communicate(timeout=900)
        assert process.returncode == 0, printed
        return {**json.loads(results.read_text()), "printed": printed}

    def calls(self) -> dict[str, int]:
        return self.emulator.stats()["requests"].get("vertex", {})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    use_cases = folder / "use_cases"
    use_cases.mkdir()
    emulator = start_emulator(folder / "emulator")
    yield Project(folder, emulator, use_cases)
    emulator.stop()


@pytest.fixture(scope="module")
def first_run(project: Project) -> dict[str, Any]:
    """The default use case, from nothing."""
    return {**project.run("python_modules"), "calls": project.calls()}


def test_the_default_use_case_ends_with_a_promoted_champion(first_run: dict[str, Any]) -> None:
    assert first_run["completed"]
    assert first_run["verdict"] == "PROMOTE"
    assert first_run["champion"]["candidate"] == "tuned"
    assert first_run["champion"]["number"] == 1
    assert first_run["assets"]["sample_content"]["status"] == "done"


def test_the_tuned_candidate_beats_every_base_candidate(first_run: dict[str, Any]) -> None:
    scores = {
        name: candidate["metrics"]["exact_match"]
        for name, candidate in first_run["candidates"].items()
    }
    assert all(scores["tuned"] > scores[name] for name in BASE_CANDIDATES), scores


def test_every_result_says_that_it_is_emulated(first_run: dict[str, Any]) -> None:
    assert first_run["emulated"]
    assert all("emulated" in c["model_version"] for c in first_run["candidates"].values())
    assert "emulated, nothing was charged" in " ".join(first_run["printed"].split())


def test_the_calls_went_over_http(first_run: dict[str, Any]) -> None:
    rows = first_run["candidates"]["tuned"]["rows"]
    assert first_run["calls"]["generateContent"] >= rows * (len(BASE_CANDIDATES) + 1)
    assert first_run["calls"]["countTokens"] > 0
    assert first_run["calls"]["tuningJobs.create"] == 1


def test_what_was_scored_was_never_trained_on(first_run: dict[str, Any], project: Project) -> None:
    lines = {
        name: _lines(project, "python_modules", name) for name in ("training_set", "evaluation_set")
    }
    trained = {line["contents"][0]["parts"][0]["text"] for line in lines["training_set"]}
    asked = [line["variables"]["body"].strip() for line in lines["evaluation_set"]]
    assert len(asked) == first_run["candidates"]["tuned"]["rows"]
    assert not [body for body in asked if any(body in text for text in trained)]


def test_a_second_run_pays_for_nothing_again(first_run: dict[str, Any], project: Project) -> None:
    before = project.calls()
    second = project.run("python_modules")
    after = project.calls()
    assert second["completed"]
    assert second["champion"]["number"] == 1
    assert second["candidates"]["tuned"]["metrics"] == first_run["candidates"]["tuned"]["metrics"]
    assert after["tuningJobs.create"] == before["tuningJobs.create"]
    assert after["generateContent"] == before["generateContent"]


def test_its_objects_are_in_the_picture_of_a_run(
    first_run: dict[str, Any], project: Project
) -> None:
    """A smaller use case stands for all in `tests/surface`; this one has a candidate more."""
    picture = json.loads((HERE / "run.json").read_text())["objects"]
    names = (blob.name for blob in _bucket(project).list_blobs())
    found = {pattern(name.replace("python_modules/", f"{NAME}/")) for name in names}
    assert found - picture.keys() == {f"{NAME}/assets/evaluation_report/flash_lite.json"}


def _lines(project: Project, use_case: str, asset: str) -> list[dict[str, Any]]:
    """Lines of the JSONL file that an asset recorded."""
    bucket = _bucket(project)
    record = json.loads(bucket.blob(f"{use_case}/assets/{asset}.json").download_as_bytes())
    name = record["uri"].partition(f"{bucket.name}/")[2]
    return [json.loads(line) for line in bucket.blob(name).download_as_bytes().splitlines()]


def _bucket(project: Project) -> storage.Bucket:
    from google.auth.credentials import AnonymousCredentials

    client = storage.Client(
        project="any",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": project.emulator.url},
    )
    return client.bucket(project.emulator.variables["GENAIOPS_BUCKET"])


def _default() -> dict[str, Any]:
    return yaml.safe_load((SHIPPED / "python_modules.yaml").read_text())


def _variant(project: Project, name: str, source: dict[str, Any]) -> None:
    """A use case of the user's own: the default one over another source, and a lower bar."""
    default = _default()
    rules = [rule for rule in default["gate"]["rules"] if rule.get("candidate") != "pro"]
    gate = {**default["gate"], "rules": rules}
    content = {**default, "name": name, "source": source, "gate": gate}
    (project.use_cases / f"{name}.yaml").write_text(yaml.safe_dump(content))


SHUFFLED = "shuffled_labels"


@pytest.fixture
def question_table(project: Project, monkeypatch: pytest.MonkeyPatch) -> bigquery.Client:
    """A table of the user's own with right labels, and a use case that reads it."""
    for name, value in project.emulator.variables.items():
        monkeypatch.setenv(name, value)
    sql = "SELECT id, title, body, module FROM `emulated-project.mine.questions`"
    _variant(project, SHUFFLED, {"sql": sql})
    client = bigquery.Client()
    client.create_dataset("mine", exists_ok=True)
    client.query(
        """
        CREATE OR REPLACE TABLE mine.questions AS
        SELECT CAST(q.id AS STRING) AS id, q.title, q.body, SPLIT(q.tags, '|')[OFFSET(1)] AS module
        FROM `bigquery-public-data.stackoverflow.posts_questions` AS q
        WHERE SPLIT(q.tags, '|')[OFFSET(1)] IN UNNEST(@modules)
        ORDER BY q.id
        LIMIT 800
        """,
        job_config=bigquery.QueryJobConfig(
            query_parameters=[
                bigquery.ArrayQueryParameter(
                    "modules", "STRING", _default()["source"]["parameters"]["modules"]
                )
            ]
        ),
    ).result()
    return client


def test_shuffled_labels_are_refused_and_the_champion_stays(
    project: Project, question_table: bigquery.Client
) -> None:
    good = project.run(SHUFFLED)
    assert good["verdict"] == "PROMOTE", good["reasons"]
    rows = [dict(row) for row in question_table.query("SELECT * FROM mine.questions").result()]
    labels = [row["module"] for row in rows]
    random.Random(0).shuffle(labels)
    for row, label in zip(rows, labels, strict=True):
        row["module"] = label
    question_table.load_table_from_json(
        rows,
        "mine.questions",
        job_config=bigquery.LoadJobConfig(write_disposition="WRITE_TRUNCATE"),
    ).result()

    bad = project.run(SHUFFLED)

    assert bad["verdict"] == "REJECT"
    assert any("exact_match" in reason for reason in bad["reasons"])
    assert "REJECT" in bad["printed"]
    assert bad["assets"]["champion"]["status"] == "skipped"
    assert bad["champion"] == good["champion"]


@pytest.mark.slow
def test_a_run_killed_at_any_moment_completes_when_run_again(project: Project) -> None:
    source = _default()["source"]
    moments = random.Random(1)
    for attempt in range(4):
        name = f"killed_{attempt}"
        fewer = {**source["parameters"], "limit": 700 + attempt}
        _variant(project, name, {**source, "parameters": fewer})
        created = project.calls().get("tuningJobs.create", 0)
        for _ in range(3):
            process = project.start(name, project.folder / "killed.json")
            time.sleep(moments.uniform(2, 12))
            process.kill()
            process.communicate()
        finished = project.run(name)
        assert finished["completed"]
        assert finished["verdict"] is not None
        assert project.calls()["tuningJobs.create"] == created + 1


@pytest.mark.slow
def test_four_runs_at_once_pay_for_everything_once(project: Project) -> None:
    name = "four_at_once"
    source = _default()["source"]
    _variant(project, name, {**source, "parameters": {**source["parameters"], "limit": 5000}})
    before = project.calls()
    files = [project.folder / f"{name}-{number}.json" for number in range(4)]
    processes = [project.start(name, file) for file in files]
    printed = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, printed
    summaries = [json.loads(file.read_text()) for file in files]
    after = project.calls()
    assert after["tuningJobs.create"] == before.get("tuningJobs.create", 0) + 1

    store = ObjectStore(_bucket(project).client, _bucket(project).name)
    month = Ledger(store, name, Budget(), SYSTEM_CLOCK).read()
    rows = summaries[0]["candidates"]["tuned"]["rows"]
    evaluations = [entry for entry in month.entries if entry.work.startswith("evaluation/")]
    assert sum(entry.requests for entry in evaluations) == rows * (len(BASE_CANDIDATES) + 1)
    assert not [entry for entry in month.entries if entry.reserved_usd]

    paid = sum(summary["paid_usd"] for summary in summaries)
    assert paid == pytest.approx(sum(entry.spent_usd for entry in month.entries))
    assert paid >= summaries[0]["cost_usd"] - 1e-9
    for summary in summaries:
        spent = sum(e.spent_usd for e in month.entries if e.run_id == summary["run_id"])
        assert summary["paid_usd"] == pytest.approx(spent)
        assert summary["completed"]
        assert summary["verdict"] == "PROMOTE"
        assert summary["champion"] == summaries[0]["champion"]
        assert summary["candidates"] == summaries[0]["candidates"]
    assert summaries[0]["champion"]["number"] == 1
