"""`genaiops dev` on an emulator that a test watches, with a use case fed by its inbox."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from google.cloud import storage

from tests.integration.test_dev import ask
from vertex_emulator.testing import RunningEmulator

COLOURS = ("red", "green", "blue")
PAID = ("tuningJobs.create", "generateContent", "evaluateInstances", "batchPredictionJobs.create")
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
RUNS = """
query Runs($filter: RunsFilter!) {
  runsOrError(filter: $filter) { ... on Runs { results { runId status } } }
}
"""


def write_use_case(folder: Path, name: str, **sections: Any) -> None:
    """A use case that is cheap to tune and reads its inbox; `sections` replace its own."""
    content = {
        "name": name,
        "description": "Which colour is it?",
        "source": {},
        "columns": {"output": "colour"},
        "curation": {"near_duplicates": "allow"},
        "prompt": {"template": "Which colour is {{ thing }}? One of: red, green, blue."},
        "split": {"training": 0.5, "validation": 0.1, "evaluation": 0.4},
        "candidates": {
            "flash": {
                "model": "gemini-3.5-flash",
                "generation": {"max_output_tokens": 8, "thinking_level": "MINIMAL"},
            },
            "tuned": {"model": "tuned", "generation": {"max_output_tokens": 8}},
        },
        "tuning": {"base_model": "gemini-3.5-flash", "epochs": 2},
        "gate": {
            "minimum_rows": 10,
            "rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0.1}],
        },
        "serving": {"samples": [{"thing": "a leaf in spring"}]},
        **sections,
    }
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def bucket_of(emulator: RunningEmulator) -> storage.Bucket:
    """The emulator's bucket; its variables have to be set."""
    return storage.Client().bucket(emulator.variables["GENAIOPS_BUCKET"])


def deliver(emulator: RunningEmulator, name: str, rows: int = 120) -> None:
    """Put rows into the inbox of a use case."""
    lines = [
        {
            "id": str(number),
            "thing": f"thing {number} of {COLOURS[number % 3]}",
            "colour": COLOURS[number % 3],
        }
        for number in range(rows)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    bucket_of(emulator).blob(f"{name}/inbox/rows.jsonl").upload_from_string(text)


def paid_calls(emulator: RunningEmulator) -> int:
    """Requests so far that cost money."""
    vertex = emulator.stats()["requests"].get("vertex", {})
    return sum(vertex.get(method, 0) for method in PAID)


def environment(emulator: RunningEmulator, use_cases: Path) -> dict[str, str]:
    """What `genaiops` needs to work on `emulator` with the use cases of a folder."""
    own = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    return {**own, **emulator.variables, "GENAIOPS_USE_CASES": str(use_cases)}


@contextlib.contextmanager
def served(
    folder: Path, variables: dict[str, str]
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`genaiops dev` until the end of the block: address of the UI as printed, and the process."""
    log = folder / "dev.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-u", "-m", "genaiops_dagster.cli", "dev"),
                *("--port", "0", "--folder", str(folder)),
            ],
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 240
        while not (
            found := [x for x in log.read_text().splitlines() if x.startswith("Dagster UI")]
        ):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        yield found[0].split()[-1], process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(90)


def wait_for_run_of(address: str, sensor: str, seconds: float = 300) -> tuple[str, str]:
    """Id and final status of the first run that a sensor requested."""
    tags = [{"key": "dagster/sensor_name", "value": sensor}]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        runs = ask(address, RUNS, filter={"tags": tags})["runsOrError"]["results"]
        if runs and runs[-1]["status"] in ENDED:
            return runs[-1]["runId"], runs[-1]["status"]
        time.sleep(1)
    raise TimeoutError(f"no run of {sensor} ended in {seconds} seconds")


def descendants(process: int) -> dict[int, str]:
    """Command lines of all processes that `process` started, directly or not."""
    parents, commands = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            status = (path / "stat").read_text()
            parents[int(path.name)] = int(status.rpartition(")")[2].split()[1])
            commands[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {child: commands.get(child, "") for child in found - {process}}
