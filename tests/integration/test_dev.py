"""`genaiops dev`: the UI's own API materializes assets, and Ctrl-C leaves no process behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GOOGLE_VARIABLES

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
RUN = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


def ask(url: str, query: str, **variables: Any) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["data"]


def materialize(url: str, job: str, *assets: list[str]) -> str:
    """Launch as the UI's button does, and wait; the run's final status."""
    selector = {
        "repositoryLocationName": "genaiops_dagster",
        "repositoryName": "__repository__",
        "pipelineName": job,
        **({"assetSelection": [{"path": path} for path in assets]} if assets else {}),
    }
    params = {"mode": "default", "selector": selector, "runConfigData": "{}"}
    launched = ask(url, LAUNCH, params=params)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        status = ask(url, RUN, id=launched["run"]["runId"])["runOrError"]["status"]
        if status in ("SUCCESS", "FAILURE", "CANCELED"):
            return status
        time.sleep(1)
    raise TimeoutError(status)


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes that name `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_the_ui_materializes_one_asset_and_all_and_stops_cleanly(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(GOOGLE_VARIABLES)}
    environment.pop("DAGSTER_HOME", None)
    process = subprocess.Popen(
        [
            *(sys.executable, "-u", "-m", "genaiops_dagster.cli", "dev"),
            *("--port", "0", "--folder", str(tmp_path)),
        ],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = next(line.split()[-1] for line in process.stdout if line.startswith("Dagster UI"))
    try:
        prompt = ["python_modules", "prompt"]
        assert materialize(url, "__ASSET_JOB", prompt) == "SUCCESS"
        assert materialize(url, "python_modules_lifecycle") == "SUCCESS"
        champion = ["python_modules", "champion"]
        assert materialize(url, "__ASSET_JOB", champion) == "SUCCESS"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    time.sleep(1)
    assert processes_of(tmp_path) == []
