"""One cent too little pays nothing, whatever starts the run: the UI, one asset, the sensor."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.integration.dev import (
    deliver,
    environment,
    paid_calls,
    served,
    wait_for_run_of,
    write_use_case,
)
from tests.integration.test_dev import materialize
from vertex_emulator.testing import RunningEmulator, start_emulator

pytestmark = pytest.mark.slow
EXACT = {
    "token_sample_rows": None,
    "prices": {"gemini-3.5-flash": {"input": 0.3, "output": 2.5, "tuning": 500.0}},
}
"""A tuning price at which the whole run costs a dollar or so, of which a cent is little."""


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningEmulator]:
    running = start_emulator(tmp_path / "state")
    for name, value in running.variables.items():
        monkeypatch.setenv(name, value)
    yield running
    running.stop()


def reasons(home: Path, run_id: str) -> str:
    """What the failed steps and checks of a run said."""
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        return "\n".join(str(entry.dagster_event) for entry in instance.all_logs(run_id))


def test_one_cent_too_little_pays_nothing_whatever_starts_the_run(
    fresh: RunningEmulator, tmp_path: Path
) -> None:
    use_cases, home = tmp_path / "use_cases", tmp_path / "home"
    home.mkdir()
    write_use_case(use_cases, "costly", budget=EXACT)
    deliver(fresh, "costly")
    variables, plan_file = environment(fresh, use_cases), tmp_path / "plan.json"
    planned = subprocess.run(
        [
            *(sys.executable, "-m", "genaiops_dagster.cli", "plan", "costly"),
            *("--json", str(plan_file), "--folder", str(home)),
        ],
        env=variables,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert planned.returncode == 0, planned.stdout + planned.stderr
    maximum = json.loads(plan_file.read_text())["estimate"]["maximum_usd"]
    assert maximum > 0.1
    write_use_case(
        use_cases,
        "costly",
        budget={**EXACT, "per_run_usd": maximum - 0.01},
        automation={"enabled": True},
    )
    with served(home, variables) as (url, _):
        run_id, status = wait_for_run_of(url, "costly_inbox")
        assert status == "FAILURE"
        assert "budget.per_run_usd" in reasons(home, run_id)
        assert materialize(url, "costly_lifecycle") == "FAILURE"
        for asset in (
            ["costly", "tuned_model"],
            ["costly", "evaluation_report", "flash"],
        ):
            assert materialize(url, "__ASSET_JOB", asset) == "FAILURE"
        assert paid_calls(fresh) == 0
        write_use_case(use_cases, "costly", budget={**EXACT, "per_run_usd": maximum})
    done = subprocess.run(
        [sys.executable, "-m", "genaiops_dagster.cli", "run", "costly", "--folder", str(home)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert paid_calls(fresh) > 0
