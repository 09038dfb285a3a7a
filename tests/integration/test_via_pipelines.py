"""`genaiops run --via-pipelines`: the same results by another way, then from the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vertex_emulator.testing import GOOGLE_VARIABLES

pytestmark = pytest.mark.slow


def run(folder: Path, *options: str) -> dict[str, Any]:
    """The results of a run that starts an emulator of its own; what was printed in `printed`."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(GOOGLE_VARIABLES)}
    results = folder / f"results-{len(list(folder.glob('*.json')))}.json"
    process = subprocess.run(
        [
            *(sys.executable, "-m", "genaiops_dagster.cli", "run", "python_modules"),
            *("--folder", str(folder / "home"), "--json", str(results), *options),
        ],
        env={**own, "DAGSTER_HOME": "", "DAGSTER_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return {**json.loads(results.read_text()), "printed": process.stdout}


def comparable(results: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on the way: scores, intervals, states, the verdict and the cost."""
    candidates = {
        name: {
            key: found[key] for key in ("model_version", "rows", "states", "metrics", "intervals")
        }
        for name, found in results["candidates"].items()
    }
    return {
        "candidates": candidates,
        "verdict": results["verdict"],
        "cost": pytest.approx(results["cost_usd"]),
    }


def record(folder: Path, asset: str) -> dict[str, Any]:
    """An asset's record, as the emulator keeps it."""
    from vertex_emulator.testing import start_emulator

    running = start_emulator(folder / "home" / "emulator")
    try:
        from google.cloud import storage

        before = {k: os.environ.get(k) for k in running.variables}
        os.environ.update(running.variables)
        try:
            bucket = storage.Client().bucket(running.variables["GENAIOPS_BUCKET"])
            content = bucket.blob(f"python_modules/assets/{asset}.json").download_as_text()
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
        found: dict[str, Any] = json.loads(content)
        return found
    finally:
        running.stop()


def test_the_results_are_those_of_a_direct_run_and_the_second_comes_from_the_cache(
    tmp_path: Path,
) -> None:
    direct, piped = tmp_path / "direct", tmp_path / "piped"
    for folder in (direct, piped):
        folder.mkdir()
    wanted = run(direct)
    first = run(piped, "--via-pipelines")
    assert comparable(first) == comparable(wanted)
    done = record(piped, "vertex_pipeline_run/lifecycle")
    assert {task["state"] for task in done["tasks"]} == {"SUCCEEDED"}
    assert len(done["tasks"]) == 2 + len(wanted["candidates"])
    for asset in ("tuned_model", "evaluation_report/flash", "evaluation_report/tuned"):
        assert record(piped, asset)["fingerprint"] == record(direct, asset)["fingerprint"] or (
            asset == "evaluation_report/tuned"  # whose model's endpoint is another one
        )

    second = run(piped, "--via-pipelines")
    assert comparable(second) == comparable(wanted)
    assert f"{len(done['tasks'])} steps, {len(done['tasks'])} of them from the cache" in " ".join(
        second["printed"].split()
    )
    again = record(piped, "vertex_pipeline_run/lifecycle")
    assert again["job"] != done["job"]
    assert {task["state"] for task in again["tasks"]} == {"SKIPPED"}
