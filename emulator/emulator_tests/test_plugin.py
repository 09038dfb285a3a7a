"""The plugin of pytest, from a project that knows nothing of this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from vertex_emulator.testing import GOOGLE_VARIABLES

TESTS = """
import os

from google.cloud import storage


def names():
    bucket = storage.Client().bucket(os.environ["GENAIOPS_BUCKET"])
    return [blob.name for blob in bucket.list_blobs()]


def test_nobody_is_pointed_at_an_emulator_that_was_not_asked_for():
    assert os.environ["GOOGLE_CLOUD_PROJECT"] == "of-the-user"
    assert "STORAGE_EMULATOR_HOST" not in os.environ


def test_a_client_finds_it(vertex_emulator):
    assert os.environ["STORAGE_EMULATOR_HOST"] == vertex_emulator.url
    storage.Client().bucket(os.environ["GENAIOPS_BUCKET"]).blob("x").upload_from_string("text")
    assert names() == ["x"]


def test_it_keeps_its_state_and_counts(vertex_emulator):
    assert names() == ["x"]
    assert vertex_emulator.stats()["requests"]["storage"]["objects.insert"] == 1


def test_it_is_empty_when_asked_for_an_empty_one(empty_vertex_emulator, vertex_emulator):
    assert empty_vertex_emulator is vertex_emulator
    assert names() == []
    assert vertex_emulator.stats()["requests"]["storage"]["objects.list"] == 1
"""
PLUGIN = """
import os, sys

assert "vertex_emulator.testing" not in sys.modules


def pytest_configure(config):
    os.environ["GOOGLE_CLOUD_PROJECT"] = "of-the-user"
    config.add_cleanup(left)


def left():
    assert os.environ["GOOGLE_CLOUD_PROJECT"] == "of-the-user"
    assert "STORAGE_EMULATOR_HOST" not in os.environ
    print("left as it was")
"""


def test_a_project_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_storage.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(PLUGIN)
    bare = {k: v for k, v in os.environ.items() if not k.startswith((*GOOGLE_VARIABLES, "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=bare,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    assert "left as it was" in done.stdout


def test_a_run_that_does_not_use_it_imports_little() -> None:
    script = (
        "import sys, vertex_emulator.pytest_plugin\n"
        "own = {n for n in sys.modules if n.startswith('vertex_emulator')}\n"
        "print(sorted(own), {'starlette', 'duckdb', 'cryptography', 'numpy'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    expected = "['vertex_emulator', 'vertex_emulator.pytest_plugin'] set()"
    assert found.stdout.strip() == expected, found.stdout + found.stderr
