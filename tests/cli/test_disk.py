"""A full disk is named in one sentence, whichever library met it."""

from __future__ import annotations

import errno
import os
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


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("attribute", ["__cause__", "__context__"])
def test_the_system_says_so(code: int, attribute: str) -> None:
    error = RuntimeError("could not write")
    setattr(error, attribute, OSError(code, os.strerror(code)))
    assert "no space left on the disk" in disk_problem(error)


def test_a_database_says_only_that_something_failed(full: Path) -> None:
    problem = disk_problem(sqlite3.OperationalError("disk I/O error"))
    assert problem.startswith(f"there is no space left on the disk in {full}; free some")
    assert disk_problem(ValueError("a broken file")) == ""


def test_a_disk_with_room_is_not_to_blame() -> None:
    assert disk_problem(sqlite3.OperationalError("disk I/O error")) == ""


@pytest.mark.parametrize(("free", "is_full"), [((1 << 20) - 1, True), (1 << 20, False)])
def test_a_disk_with_less_than_a_megabyte_is_full(
    monkeypatch: pytest.MonkeyPatch, free: int, is_full: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, free))
    assert bool(disk_problem(sqlite3.OperationalError("disk I/O error"))) == is_full


def test_a_folder_that_does_not_exist_hides_no_other_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "none"))
    assert disk_problem(ValueError("a broken file")) == ""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert disk_problem(ValueError("a broken file")) == ""
