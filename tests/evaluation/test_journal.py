"""Answers that were paid for wait in a folder that nobody else made or may look into."""

from __future__ import annotations

import getpass
import os
import stat
import tempfile
from pathlib import Path

import pytest

from genaiops_dagster.evaluation.asking.journal import Journal, JournalFolderError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the journals of this account will be; it does not exist yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"genaiops-{getpass.getuser()}"


def refusal(folder: Path) -> str:
    with pytest.raises(JournalFolderError) as refused:
        Journal("cache")
    assert list(folder.glob("*")) == []
    assert str(folder) in str(refused.value)
    return str(refused.value)


def test_what_a_session_left_is_read_by_the_next_and_by_nobody_else(folder: Path) -> None:
    first = Journal("cache")
    first.append(b'{"key":"a"}\n')
    first.close(everything_is_written=False)

    assert Journal("cache").left_over == [b'{"key":"a"}\n']
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "cache.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777, 0o1777])
def test_a_folder_that_is_open_to_others_is_refused(folder: Path, mode: int) -> None:
    folder.mkdir()
    folder.chmod(mode)
    said = refusal(folder)
    assert f"(mode {mode:04o})" in said
    assert f"chmod 700 {folder}" in said


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_refused(folder: Path, tmp_path: Path, exists: bool) -> None:
    theirs = tmp_path / "theirs"
    if exists:
        theirs.mkdir(mode=0o700)
    folder.symlink_to(theirs)
    assert "it is a link" in refusal(folder)


def test_a_file_in_its_place_is_refused(folder: Path) -> None:
    folder.touch()
    assert "it is not a folder" in refusal(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes folders of other accounts")
def test_a_folder_of_another_account_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    assert "belongs to another account (user id 65534)" in refusal(folder)
