"""Where a command works, and what it says when it cannot."""

from __future__ import annotations

import os
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genaiops_dagster.budget.spend import SPEND
from genaiops_dagster.cli.app import app
from genaiops_dagster.cli.emulator_process import answers
from genaiops_dagster.cli.session import open_session
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.planning.estimate import models_of
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.use_case import load_use_cases
from vertex_emulator.testing import GOOGLE_VARIABLES, RunningEmulator, start_emulator


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # type: ignore[misc]
    """No Google variable, no credentials, an empty home."""
    for name in list(os.environ):
        if name.startswith((*GOOGLE_VARIABLES, "DAGSTER_HOME", "CLOUDSDK")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # no metadata server is asked for credentials
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("bare_environment")
class TestWithoutAnything:
    def test_an_emulator_is_started_for_the_time_of_the_command(self, tmp_path: Path) -> None:
        with open_session(tmp_path) as session:
            assert session.emulator_url is not None
            assert answers(os.environ)
            variables = dict(os.environ)
            assert os.environ["STORAGE_EMULATOR_HOST"] == session.emulator_url
        assert not answers(variables)

    def test_an_emulator_that_already_serves_the_folder_is_used(self, tmp_path: Path) -> None:
        running = start_emulator(tmp_path / "emulator")
        try:
            with open_session(tmp_path) as session:
                assert session.emulator_url == running.url
            assert answers(running.variables)
        finally:
            running.stop()

    def test_an_emulator_that_was_killed_is_replaced(self, tmp_path: Path) -> None:
        killed = start_emulator(tmp_path / "emulator")
        killed.kill()
        with open_session(tmp_path) as session:
            assert session.emulator_url != killed.url
            assert answers(os.environ)

    def test_who_took_the_port_of_an_emulator_gets_no_token(self, tmp_path: Path) -> None:
        """Another account's program may listen where the last emulator did, and say it is ready."""
        ended = start_emulator(tmp_path / "emulator")
        ended.stop()
        asked: list[str] = []

        class Squatter(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(f"{self.path}\n{self.headers}")
                body = b'{"status": "ready", "proof": "0"}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        address = ("127.0.0.1", int(ended.url.rpartition(":")[2]))
        with ThreadingHTTPServer(address, Squatter) as squatter:
            threading.Thread(target=squatter.serve_forever, daemon=True).start()
            with open_session(tmp_path) as session:
                assert session.emulator_url != ended.url
            squatter.shutdown()
        assert len(asked) == 1
        assert ended.variables["VERTEX_EMULATOR_TOKEN"] not in asked[0]

    def test_history_is_kept_in_the_folder(self, tmp_path: Path) -> None:
        with open_session(tmp_path):
            assert os.environ["DAGSTER_HOME"] == str(tmp_path / "dagster")
            assert (tmp_path / "dagster" / "dagster.yaml").exists()

    def test_doctor_names_what_is_missing(self) -> None:
        result = CliRunner().invoke(app, ["doctor"])
        assert result.exit_code == 1
        assert "GOOGLE_CLOUD_PROJECT, GENAIOPS_BUCKET not set" in result.output
        assert "export GENAIOPS_BUCKET=" in result.output


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("command", [["run"], ["dev"]])
class TestHalfConfigured:
    def test_a_missing_project_is_named(
        self, command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("GENAIOPS_BUCKET", "my-bucket")
        result = CliRunner().invoke(app, [*command, "--folder", str(tmp_path)])
        assert result.exit_code == 2
        assert "export GOOGLE_CLOUD_PROJECT=" in result.output

    def test_missing_credentials_are_named(
        self, command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("GENAIOPS_BUCKET", "my-bucket")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "my-project")
        result = CliRunner().invoke(app, [*command, "--folder", str(tmp_path)])
        assert result.exit_code == 2
        assert "gcloud auth application-default login" in result.output


@pytest.mark.usefixtures("bare_environment")
class TestUseCases:
    def test_lists_and_validates(self) -> None:
        result = CliRunner().invoke(app, ["use-cases"])
        assert result.exit_code == 0
        assert "python_modules" in result.output

    def test_a_wrong_file_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GENAIOPS_USE_CASES", str(tmp_path))
        (tmp_path / "mine.yaml").write_text("name: mine\n")
        result = CliRunner().invoke(app, ["use-cases"])
        assert result.exit_code == 2
        assert "source: Field required" in result.output.replace("\n", "")

    def test_an_unknown_name_is_answered_with_the_known_ones(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(app, ["run", "absent", "--folder", str(tmp_path)])
        assert result.exit_code == 2
        assert "python_modules" in result.output


def test_doctor_finds_everything_on_the_emulator(emulator: object) -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert "fail" not in result.output
    assert result.exit_code == 0


@pytest.fixture
def unrecorded(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """A dataset in which nothing was paid yet; its name."""
    name = f"d{uuid.uuid4().hex}"
    monkeypatch.setenv("GENAIOPS_DATASET", name)
    monkeypatch.setenv("COLUMNS", "200")
    return name


def test_doctor_makes_the_calls_of_a_run(emulator: RunningEmulator, unrecorded: str) -> None:
    """Each model of the use cases counts once, tuning jobs are listed, a merge is rehearsed."""
    models = set().union(*(models_of(one) for one in load_use_cases().values()))
    asked = {model for model in models if model.startswith("gemini-")}
    before = counts(emulator)
    assert "spend does not exist yet" in CliRunner().invoke(app, ["doctor"]).output
    after = counts(emulator)
    assert after["countTokens"] - before.get("countTokens", 0) == len(asked)
    Warehouse.connect(GoogleCloudSettings.from_environment(), SYSTEM_CLOCK).ensure_table(SPEND)
    assert "rows can be merged into spend" in CliRunner().invoke(app, ["doctor"]).output


@pytest.mark.parametrize(
    ("fault", "row"),
    [
        ({"service": "bigquery", "method": "jobs.insert"}, "BigQuery tables"),
        ({"method": "countTokens", "model": "gemini-3.5-flash"}, "gemini-3.5-flash "),
        ({"method": "tuningJobs.list"}, "Vertex AI tuning"),
    ],
)
def test_doctor_names_the_call_that_is_refused(
    emulator: RunningEmulator, unrecorded: str, fault: dict[str, str], row: str
) -> None:
    emulator.add_fault(kind="error", status=403, **fault)
    try:
        result = CliRunner().invoke(app, ["doctor"])
    finally:
        emulator.clear_faults()
    assert result.exit_code == 1
    assert [line for line in result.output.splitlines() if "fail" in line and row in line]


def counts(emulator: RunningEmulator) -> dict[str, int]:
    found: dict[str, int] = emulator.stats()["requests"].get("vertex", {})
    return found
