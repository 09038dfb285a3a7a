"""The account of `deploy/setup.sh` may do all that it has to, and doctor names what it lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from tests.deploy.set_up import set_up
from vertex_emulator.testing import RunningEmulator, start_emulator

PLACE = ("emulated-project", "emulated-bucket")
ACCOUNT = "serviceAccount:genaiops@emulated-project.iam.gserviceaccount.com"
ROLES = (
    *("roles/storage.objectUser", "roles/storage.legacyBucketReader"),
    *("roles/bigquery.dataEditor", "roles/bigquery.jobUser", "roles/aiplatform.user"),
)


@contextmanager
def deployed(folder: Path, without: str = "") -> Iterator[RunningEmulator]:
    """A project as the script leaves it, as its account sees it, perhaps without one role."""
    with pytest.MonkeyPatch.context() as patch:
        admins = start_emulator(folder / "state")
        for name, value in admins.variables.items():
            patch.setenv(name, value)
        bigquery.Client().create_dataset("genaiops")
        admins.stop()
    granted = set_up(folder / "bin", *PLACE, exists=False).bindings()
    bindings = [
        {"resource": one["resource"], "role": one["role"], "members": [one["member"]]}
        for one in granted
        if one["role"] != without
    ]
    file = folder / "iam.json"
    file.write_text(json.dumps({"default_principal": ACCOUNT, "bindings": bindings}))
    emulator = start_emulator(folder / "state", "--iam", str(file))
    try:
        yield emulator
    finally:
        emulator.stop()


def genaiops(
    emulator: RunningEmulator, folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """A command on the project, as on Google Cloud."""
    environment = {name: value for name, value in os.environ.items() if "GENAIOPS" not in name}
    return subprocess.run(
        [sys.executable, "-m", "genaiops_dagster.cli", *arguments],
        env={**environment, **emulator.variables, "COLUMNS": "200"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_doctor_finds_that_the_account_may_do_all_that_it_has_to(tmp_path: Path) -> None:
    with deployed(tmp_path) as emulator:
        done = genaiops(emulator, tmp_path, "doctor")
    assert done.returncode == 0, done.stdout
    assert "fail" not in done.stdout


@pytest.mark.parametrize("role", ROLES)
def test_doctor_names_the_role_that_is_missing(tmp_path: Path, role: str) -> None:
    with deployed(tmp_path, without=role) as emulator:
        done = genaiops(emulator, tmp_path, "doctor")
    assert done.returncode == 1, done.stdout
    assert role in done.stdout


@pytest.mark.slow
def test_the_whole_of_it_passes_as_that_account(tmp_path: Path) -> None:
    """A run, a day of content, a second run from what is kept, a rollback that has no target."""
    day = tmp_path / "day.jsonl"
    day.write_text(json.dumps({"title": "How do I read a CSV file?", "body": ""}) + "\n")
    with deployed(tmp_path) as emulator:
        commands: list[tuple[str, ...]] = [
            ("run",),
            ("generate", "How do I round money?"),
            ("generate-day", "python_modules", "--prompts", str(day)),
            ("run", "--via-pipelines"),
            ("history",),
            ("rollback", "python_modules", "--to", "1", "--by", "ann", "--reason", "a drill"),
            ("teardown", "python_modules", "--dry-run"),
        ]
        for arguments in commands:
            done = genaiops(emulator, tmp_path, *arguments)
            said: Any = (arguments, done.stdout[-3000:], done.stderr[-3000:])
            assert done.returncode == 0, said
