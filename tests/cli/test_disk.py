"""A full disk is named in one sentence, whichever library met it."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections import namedtuple
from pathlib import Path

import pytest

from genaiops_dagster.cli.disk import disk_problem

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 0))
    return tmp_path


def test_the_system_says_so() -> None:
    error = RuntimeError("could not write")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "no space left on the disk" in disk_problem(error)


def test_a_database_says_only_that_something_failed(full: Path) -> None:
    problem = disk_problem(sqlite3.OperationalError("disk I/O error"))
    assert problem.startswith(f"there is no space left on the disk in {full}; free some")
    assert disk_problem(ValueError("a broken file")) == ""


def test_a_disk_with_room_is_not_to_blame() -> None:
    assert disk_problem(sqlite3.OperationalError("disk I/O error")) == ""
