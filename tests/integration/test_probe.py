"""`genaiops doctor --probe` over the emulator: all that is free holds, and nothing is left."""

from __future__ import annotations

import collections
import dataclasses
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud import bigquery
from rich.cells import cell_len
from typer.testing import CliRunner

from genaiops_dagster.cli.app import app
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.probe.assumption import Assumption
from genaiops_dagster.probe.bench import PREFIX, Bench
from genaiops_dagster.probe.outcome import DiffersError, NotTriedError
from genaiops_dagster.probe.run import ASSUMPTIONS, check, run_probe, without_names
from genaiops_dagster.promotion.registry import list_models
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.tuning.jobs import all_jobs
from genaiops_dagster.tuning.states import has_ended
from genaiops_dagster.use_case import load_use_cases
from vertex_emulator.testing import RunningEmulator, faults

NOT_ON_THE_EMULATOR = {
    "models.hosts",  # all locations have one address there
    "pipelines.act-as",  # no shipped use case names an account
    "pipelines.image",  # nor an image
}
ISSUE_17_POINT_6 = {
    "datasets and tables are created after a real 404": "bigquery.missing-table-404",
    "bucket metadata is read": "storage.bucket-metadata",
    "permissions of the project are asked for": "project.permissions",
    "permissions of the bucket are asked for": "storage.permissions",
    "one count per model and location": "models.gemini-3.5-flash",
    "the list call as it is made": "tuning.list",
    "a dry merge": "bigquery.dry-merge",
    "the location of BigQuery": "bigquery.dataset-location",
    "a batch of a tuned model sends its registry name": "batch.tuned-by-registry-name",
    "tuning lists without a filter, and matches labels": "tuning.labels",
    "batches are looked up by name": "batch.list-filter",
    "caches are looked up by name": "caches.life",
    "merges that conflict are tried again": "bigquery.concurrent-merges",
    "feedback after table creation": "bigquery.table-created",
    "contents that end in a model turn": "models.count-model-turn",
    "an image that can be pulled": "pipelines.image",
    "pipelines run as the documented account": "pipelines.act-as",
    "retirement": "models.retired",
    "tune() takes typed objects": "tuning.job",
    "teardown finds models": "registry.label-filter",
    "teardown finds endpoints": "registry.endpoint-filter",
}


@pytest.fixture
def probed(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> GoogleCloudSettings:
    """A project with a dataset, as `deploy/setup.sh` leaves it, and a terminal of 80 columns."""
    monkeypatch.setenv("GENAIOPS_DATASET", f"d{uuid.uuid4().hex}")
    monkeypatch.setenv("COLUMNS", "80")
    settings = GoogleCloudSettings.from_environment()
    bigquery.Client(settings.project).create_dataset(settings.dataset)
    return settings


@pytest.fixture
def bench(probed: GoogleCloudSettings) -> Iterator[Bench]:
    with Bench(probed, {}, SYSTEM_CLOCK) as opened:
        yield opened


def left(settings: GoogleCloudSettings) -> list[str]:
    """Everything of probes that is not deleted, tuning jobs that ended aside."""
    bench = Bench(settings, {}, SYSTEM_CLOCK)
    places = [bench.models.at(place).genai for place in ("global", "us", "us-central1")]
    return [
        *(found.name for found in bench.store.list(PREFIX)),
        *(table.table_id for table in bench.bigquery.list_tables(settings.dataset)),
        *(model.name for model in list_models(bench.models, PREFIX)),
        *(
            str(cache.name)
            for client in places
            for cache in client.caches.list()
            if (cache.display_name or "").startswith(PREFIX)
        ),
        *(
            str(job.name)
            for client in places
            for job in client.batches.list()
            if (job.display_name or "").startswith(PREFIX)
        ),
        *(
            str(job.name)
            for job in all_jobs(bench.models.genai)
            if (job.tuned_model_display_name or "").startswith(PREFIX) and not has_ended(job)
        ),
    ]


def test_there_are_forty_each_with_its_source() -> None:
    by_hand = [one for one in ASSUMPTIONS if not one.id.startswith("models.gemini")]
    assert len(by_hand) >= 40
    assert all(count == 1 for count in collections.Counter(one.id for one in ASSUMPTIONS).values())
    for one in ASSUMPTIONS:
        assert one.source.startswith("https://") or one.source == "no source was found", one.id
        assert one.assumed[-1] != ".", one.id
        assert one.breaks[-1] != ".", one.id


@pytest.mark.parametrize("point", ISSUE_17_POINT_6)
def test_what_was_found_by_reading_is_checked(point: str) -> None:
    assert ISSUE_17_POINT_6[point] in {one.id for one in ASSUMPTIONS}


def test_all_that_is_free_holds(probed: GoogleCloudSettings, tmp_path: Path) -> None:
    file = tmp_path / "probe.json"
    result = CliRunner().invoke(app, ["doctor", "--probe", "--json", str(file)])
    found = {one["id"]: one for one in json.loads(file.read_text())["results"]}
    assert [one for one in found.values() if one["outcome"] == "differs"] == []
    assert result.exit_code == 0, result.output
    free = {one.id for one in ASSUMPTIONS if not one.spends}
    not_tried = {id for id, one in found.items() if one["outcome"] == "not tried"}
    assert not_tried & free <= NOT_ON_THE_EMULATOR
    assert not_tried - free == found.keys() - free
    assert left(probed) == []
    assert max(map(cell_len, result.output.splitlines())) <= 80


def test_jobs_are_made_and_deleted_under_a_cap(probed: GoogleCloudSettings, tmp_path: Path) -> None:
    file = tmp_path / "probe.json"
    CliRunner().invoke(app, ["doctor", "--probe", "--spend", "1", "--json", str(file)])
    report = json.loads(file.read_text())
    outcomes = {one["id"]: one["outcome"] for one in report["results"]}
    spending = {one.id for one in ASSUMPTIONS if one.spends}
    wrong = {id for id in spending if outcomes[id] != "holds"}
    assert not wrong, [one for one in report["results"] if one["id"] in wrong]
    assert 0 < report["spent_usd"] < 1
    assert left(probed) == []


def test_jobs_that_cost_more_than_allowed_are_not_begun(
    probed: GoogleCloudSettings, tmp_path: Path
) -> None:
    file = tmp_path / "probe.json"
    command = ["doctor", "--probe", "--spend", "0.001", "--json", str(file)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "--spend allows $0.0010" in " ".join(result.output.split())
    assert not file.exists()


def test_what_differs_is_shown_with_what_breaks(
    probed: GoogleCloudSettings, emulator: RunningEmulator, tmp_path: Path
) -> None:
    file = tmp_path / "probe.json"
    refusal = {"kind": "error", "status": 400, "method": "tuningJobs.list"}
    with faults(emulator, refusal):
        result = CliRunner().invoke(app, ["doctor", "--probe", "--json", str(file)])
    assert result.exit_code == 1
    assert "differs tuning.list" in result.output
    assert "pays for another" in " ".join(result.output.split())
    assert json.loads(file.read_text())["counts"]["differs"] == 1


def test_a_right_that_is_missing_says_nothing_of_google(
    bench: Bench, emulator: RunningEmulator
) -> None:
    listed = next(one for one in ASSUMPTIONS if one.id == "tuning.list")
    with faults(emulator, {"kind": "error", "status": 403, "method": "tuningJobs.list"}):
        assert check(bench, listed).outcome == "not tried"
    assert check(bench, listed).outcome == "holds"


def test_the_file_has_no_names_of_the_project(
    probed: GoogleCloudSettings, emulator: RunningEmulator, tmp_path: Path
) -> None:
    file = tmp_path / "probe.json"
    with faults(emulator, {"kind": "error", "status": 400, "method": "countTokens"}):
        CliRunner().invoke(app, ["doctor", "--probe", "--json", str(file)])
    text = file.read_text()
    for name in (probed.project, probed.bucket, probed.dataset, emulator.url, "gserviceaccount"):
        seen = [one["seen"] for one in json.loads(text)["results"]]
        assert [one for one in seen if name in one] == [], name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gs://my-bucket/a/b", "gs://BUCKET/a/b"),
        ("gs://another-bucket/a", "gs://BUCKET/a"),
        ("projects/123456789012/endpoints/4242424", "projects/PROJECT/endpoints/NUMBER"),
        ("ann.b@my-project.iam.gserviceaccount.com may not", "E-MAIL may not"),
        ("my-project:probed.table is missing", "PROJECT:DATASET.table is missing"),
        ("my-project-2 is another", "my-project-2 is another"),
        ("in http://127.0.0.1:1/v1/x", "in ADDRESS/v1/x"),
    ],
)  # fmt: skip
def test_placeholders(text: str, expected: str) -> None:
    settings = GoogleCloudSettings(
        project="my-project",
        bucket="my-bucket",
        dataset="probed",
        vertex_url="http://127.0.0.1:1",
    )
    assert without_names(text, settings) == expected


def test_ctrl_c_leaves_nothing(probed: GoogleCloudSettings) -> None:
    def interrupted(bench: Bench) -> str:
        bench.store.write(bench.object_name("object"), b"x")
        bench.warehouse.load_json_lines(bench.table_name("table"), b'{"n": 1}', {"n": "INT64"})
        assert len(left(probed)) == 2
        raise KeyboardInterrupt

    assumption = dataclasses.replace(ASSUMPTIONS[0], check=interrupted)
    with pytest.raises(KeyboardInterrupt), Bench(probed, {}, SYSTEM_CLOCK) as bench:
        list(run_probe(bench, [assumption], lambda _: None))
    assert left(probed) == []


def test_what_cannot_be_deleted_is_reported(probed: GoogleCloudSettings) -> None:
    def refuse() -> None:
        raise PermissionError("not yours")

    with Bench(probed, {}, SYSTEM_CLOCK) as bench:
        bench.cleaning("a thing", refuse)
        name = bench.object_name("object")
        bench.store.write(name, b"x")
    assert bench.left == ["a thing: PermissionError: not yours"]
    assert left(probed) == []


def test_outcomes(bench: Bench) -> None:
    def outcome(error: Exception) -> str:
        def fail(_: Bench) -> str:
            raise error

        return check(bench, dataclasses.replace(ASSUMPTIONS[0], check=fail)).outcome

    assert outcome(DiffersError("seen")) == "differs"
    assert outcome(NotTriedError("why")) == "not tried"
    assert outcome(ConnectionError("no network")) == "not tried"
    assert outcome(ValueError("an answer that was not foreseen")) == "differs"


def test_without_a_dataset_tables_are_not_tried(
    probed: GoogleCloudSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = dataclasses.replace(probed, dataset=f"d{uuid.uuid4().hex}")
    merge: Assumption = next(one for one in ASSUMPTIONS if one.id == "bigquery.merge")
    with Bench(missing, {}, SYSTEM_CLOCK) as bench:
        result = check(bench, merge)
    assert result.outcome == "not tried"
    assert "does not exist yet" in result.seen


@pytest.mark.parametrize("option", [["--spend", "1"], ["--json", "probe.json"]])
def test_options_of_the_probe_need_it(probed: GoogleCloudSettings, option: list[str]) -> None:
    result = CliRunner().invoke(app, ["doctor", *option])
    assert result.exit_code == 2
    assert "belong to --probe" in result.output


def test_use_cases_are_priced_as_they_are(probed: GoogleCloudSettings) -> None:
    """Public tables are looked at with the queries of the shipped files."""
    public = next(one for one in ASSUMPTIONS if one.id == "bigquery.public-data")
    with Bench(probed, load_use_cases(), SYSTEM_CLOCK) as bench:
        assert check(bench, public).outcome == "holds"
    with Bench(probed, {}, SYSTEM_CLOCK) as bench:
        assert check(bench, public).outcome == "not tried"
    assert VertexAI(probed).emulated
