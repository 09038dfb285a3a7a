"""Two processes at the same moment: one tuning job, and one monthly limit for both."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genaiops_dagster.budget.ledger import Ledger
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.planning.assets import build_assets as budget_assets
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import (
    colours_use_case,
    materialize,
    open_store,
    record_of,
    store_data,
)
from vertex_emulator.testing import RunningEmulator

ROWS = 30
GATE = {
    "challenger": "cold",
    "rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0.1}],
}
TWINS = {
    name: {
        "model": "gemini-3.5-flash",
        "generation": {"max_output_tokens": 8, "temperature": temperature},
    }
    for name, temperature in (("cold", 0.0), ("warm", 1.0))
}

WORKER = """
import pathlib, sys, time
from genaiops_dagster.planning.assets import build_assets as budget_assets
from genaiops_dagster.evaluation.assets import build_assets as evaluation_assets
from genaiops_dagster.tuning.assets import build_assets as tuning_assets
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import error_text, materialize
file, asset, ready, go = sys.argv[1:]
use_case = UseCase.model_validate_json(pathlib.Path(file).read_text())
rooms = (budget_assets, tuning_assets, evaluation_assets)
assets = [one for room in rooms for one in room(use_case)]
pathlib.Path(ready).touch()
while not pathlib.Path(go).exists():
    time.sleep(0.005)
result = materialize(use_case, assets, only=[asset])
print(error_text(result))
sys.exit(0 if result.success else 1)
"""


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


@pytest.fixture
def slow_answers(emulator: RunningEmulator) -> Iterator[None]:
    """Each answer takes half a second, so that two evaluations overlap."""
    emulator.add_fault(kind="latency", method="generateContent", seconds=0.5)
    yield
    emulator.clear_faults()


def run_together(
    use_case: UseCase, folder: Path, *assets: str
) -> list[subprocess.CompletedProcess[str]]:
    """Materialize each asset in a process of its own, all at the same moment."""
    file, go = folder / "use_case.json", folder / "go"
    file.write_text(use_case.model_dump_json())
    ready = [folder / f"ready-{number}" for number in range(len(assets))]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(file), asset, str(mark), str(go)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for asset, mark in zip(assets, ready, strict=True)
    ]
    while not all(mark.exists() for mark in ready):
        assert all(process.poll() is None for process in processes)
    go.touch()
    ended = []
    for process in processes:
        output, errors = process.communicate(timeout=240)
        ended.append(subprocess.CompletedProcess(process.args, process.returncode, output, errors))
    return ended


def calls(emulator: RunningEmulator, method: str) -> int:
    return int(emulator.stats()["requests"].get("vertex", {}).get(method, 0))


def test_two_runs_that_start_together_create_one_job(
    emulator: RunningEmulator, store: ObjectStore, tmp_path: Path
) -> None:
    use_case = colours_use_case(candidates={"tuned": {"model": "tuned"}})
    store_data(store, use_case)
    assert materialize(use_case, budget_assets(use_case)).success
    before = calls(emulator, "tuningJobs.create")
    for ended in run_together(use_case, tmp_path, "tuned_model", "tuned_model"):
        assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert calls(emulator, "tuningJobs.create") == before + 1
    model: Any = record_of(store, use_case, "tuned_model")
    month = Ledger(store, use_case.name, use_case.budget, SYSTEM_CLOCK).read()
    [tuned, *asked_first] = sorted(month.entries, key=lambda entry: -entry.spent_usd)
    assert tuned.spent_usd == pytest.approx(model["cost_usd"])
    assert sum(entry.requests for entry in asked_first) == 1, "the tuned model's first answer"
    assert not any(entry.reserved_usd for entry in month.entries)


@pytest.mark.usefixtures("slow_answers")
def test_two_runs_that_start_together_pay_an_evaluation_once(
    emulator: RunningEmulator, store: ObjectStore, tmp_path: Path
) -> None:
    use_case = colours_use_case(candidates=TWINS, gate=GATE)
    store_data(store, use_case)
    before = calls(emulator, "generateContent")
    for ended in run_together(use_case, tmp_path, *["evaluation_report/cold"] * 2):
        assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert calls(emulator, "generateContent") - before == ROWS
    report: Any = record_of(store, use_case, "evaluation_report/cold")
    taken = Ledger(store, use_case.name, use_case.budget, SYSTEM_CLOCK).read().taken()
    assert taken.usd == pytest.approx(report["cost_usd"])


@pytest.mark.usefixtures("slow_answers")
def test_two_runs_cannot_together_exceed_the_monthly_limit(
    emulator: RunningEmulator, store: ObjectStore, tmp_path: Path
) -> None:
    """Each evaluation alone is within the limit; the one that comes second is refused."""
    priced = colours_use_case(candidates=TWINS, gate=GATE)
    store_data(store, priced, rows=2 * ROWS)
    materialize(priced, budget_assets(priced))
    estimate: Any = record_of(store, priced, "cost_estimate")
    (cold,) = (
        stage
        for stage in estimate["stages"]
        if stage["candidate"] == "cold" and stage["stage"] == "evaluation"
    )
    limit = 1.1 * cold["maximum_usd"]
    assert limit < cold["maximum_usd"] + cold["cost_usd"]

    use_case = colours_use_case(candidates=TWINS, gate=GATE, budget={"per_month_usd": limit})
    store_data(store, use_case, rows=2 * ROWS)
    before = calls(emulator, "generateContent")
    ended = run_together(use_case, tmp_path, "evaluation_report/cold", "evaluation_report/warm")
    refused = [one for one in ended if one.returncode]
    assert len(refused) == 1, [one.stdout + one.stderr[-2000:] for one in ended]
    assert "budget.per_month_usd" in refused[0].stdout
    assert calls(emulator, "generateContent") - before == ROWS
    assert Ledger(store, use_case.name, use_case.budget, SYSTEM_CLOCK).read().taken().usd <= limit
