"""A whole run from the command line: it costs what was estimated, or it costs nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud import storage

from genaiops_dagster.budget.ledger import Month
from genaiops_dagster.records.record import from_json
from genaiops_dagster.use_case import SHIPPED
from vertex_emulator.testing import RunningEmulator, start_emulator

pytestmark = pytest.mark.slow
PAID = ("tuningJobs.create", "generateContent", "evaluateInstances", "batchPredictionJobs.create")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[RunningEmulator]:
    running = start_emulator(tmp_path / "state")
    yield running
    running.stop()


def write_use_case(folder: Path, **budget: Any) -> None:
    content = yaml.safe_load((SHIPPED / "python_modules.yaml").read_text())
    content["name"] = "costly"
    content["budget"] |= budget
    folder.mkdir(exist_ok=True)
    (folder / "costly.yaml").write_text(yaml.safe_dump(content))


def genaiops(
    fresh: RunningEmulator, tmp_path: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "genaiops_dagster.cli", *arguments),
            *("--folder", str(tmp_path / "home")),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={
            **os.environ,
            **fresh.variables,
            "GENAIOPS_USE_CASES": str(tmp_path / "use_cases"),
            "COLUMNS": "200",
        },
    )


def paid_calls(fresh: RunningEmulator) -> int:
    vertex = fresh.stats()["requests"].get("vertex", {})
    return sum(vertex.get(method, 0) for method in PAID)


def test_a_run_costs_what_was_planned_and_one_cent_less_pays_nothing(
    fresh: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_use_case(tmp_path / "use_cases")
    plan_file = tmp_path / "plan.json"
    planned = genaiops(fresh, tmp_path, "plan", "costly", "--exact", "--json", str(plan_file))
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert paid_calls(fresh) == 0
    estimate = json.loads(plan_file.read_text())["estimate"]
    assert estimate["error_share"] == 0

    exact = {"token_sample_rows": None}
    write_use_case(tmp_path / "use_cases", per_run_usd=estimate["maximum_usd"] - 0.01, **exact)
    refused = genaiops(fresh, tmp_path, "run", "costly")
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "budget.per_run_usd" in refused.stdout + refused.stderr
    assert paid_calls(fresh) == 0

    write_use_case(tmp_path / "use_cases", per_run_usd=estimate["maximum_usd"] * 1.1)
    done = genaiops(fresh, tmp_path, "run", "costly")
    assert done.returncode == 0, done.stdout + done.stderr
    assert paid_calls(fresh) > 0
    for name, value in fresh.variables.items():
        monkeypatch.setenv(name, value)
    bucket = storage.Client().bucket(fresh.variables["GENAIOPS_BUCKET"])
    (ledger,) = bucket.list_blobs(prefix="costly/budget/")
    spent = from_json(Month, ledger.download_as_bytes(), ledger.name).taken()
    assert spent.usd == pytest.approx(estimate["cost_usd"], rel=0.05)
    assert spent.tokens == pytest.approx(estimate["tokens"], rel=0.05)
    sampled = json.loads(bucket.blob("costly/assets/cost_estimate.json").download_as_bytes())
    assert sampled["tokens"] == pytest.approx(spent.tokens, rel=sampled["error_share"])

    again = genaiops(fresh, tmp_path, "plan", "costly", "--json", str(plan_file))
    assert again.returncode == 0, again.stdout + again.stderr
    left = json.loads(plan_file.read_text())
    assert "tuning" in left["kept"]
    assert left["to_pay"]["cost_usd"] < estimate["cost_usd"] / 10
