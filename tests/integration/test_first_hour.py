"""The figures of docs/how-to/first-hour.md are those of `plan`, and of a probe's jobs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genaiops_dagster.cli.app import app
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.probe.bench import SMALL_USD, Bench
from genaiops_dagster.probe.run import ASSUMPTIONS, jobs_usd
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.use_case.data import Source
from tests.values import present
from vertex_emulator.testing import RunningEmulator, start_emulator

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "first-hour.md").read_text()
ROW = re.compile(r"^\| (\w+) \| (\w*) ?\| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)


@pytest.fixture
def untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningEmulator]:
    """An emulator in which nobody has delivered rows to the default use case."""
    emulator = start_emulator(tmp_path / "state")
    for name, value in emulator.variables.items():
        monkeypatch.setenv(name, value)
    yield emulator
    emulator.stop()


def test_the_run_costs_what_plan_says(
    untouched: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    file = tmp_path / "plan.json"
    done = CliRunner().invoke(app, ["plan", "python_modules", "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "generateContent" not in untouched.stats()["requests"]["vertex"], "it is free"
    estimate = json.loads(file.read_text())["estimate"]
    said = [
        (one["stage"], one["candidate"], f"{one['cost_usd']:.4f}", f"{one['maximum_usd']:.4f}")
        for one in estimate["stages"]
    ]
    total = ("all", "", f"{estimate['cost_usd']:.4f}", f"{estimate['maximum_usd']:.4f}")
    assert ROW.findall(PAGE) == [*said, total]
    row = f"{estimate['cost_usd']:.2f} expected, {estimate['maximum_usd']:.2f} at most"
    assert row in PAGE


def test_a_query_costs_what_its_limit_allows() -> None:
    price = float(present(re.search(r"\[([\d.]+) a TiB\]", PAGE))[1])
    most = float(present(re.search(r"one query, at most ([\d.]+)", PAGE))[1])
    assert most == pytest.approx(Source().maximum_bytes_billed / 2**40 * price, abs=0.005)


def test_a_probe_costs_no_more_than_is_said(emulator: RunningEmulator) -> None:
    free = float(present(re.search(r"doctor --probe` \| at most ([\d.]+)", PAGE))[1])
    assert free >= SMALL_USD
    jobs = float(present(re.search(r"at most ([\d.]+) by tokens", PAGE))[1])
    with Bench(GoogleCloudSettings.from_environment(), {}, SYSTEM_CLOCK) as bench:
        assert jobs_usd(bench) <= jobs
    assert len(ASSUMPTIONS) > 70
