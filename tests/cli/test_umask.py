"""What commands write: their own files for nobody else, and the user's as the user's umask says."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genaiops_dagster.cli.session import SessionError, prepare_dagster_home
from vertex_emulator.testing import GOOGLE_VARIABLES

USUAL_UMASK = 0o022


def modes(folder: Path) -> dict[str, int]:
    """Mode of a folder and of everything in it that is not a link."""
    found = {".": stat.S_IMODE(folder.stat().st_mode)}
    for path in folder.rglob("*"):
        if not path.is_symlink():
            found[str(path.relative_to(folder))] = stat.S_IMODE(path.stat().st_mode)
    return found


def open_to_others(folder: Path) -> dict[str, str]:
    return {name: oct(mode) for name, mode in modes(folder).items() if mode & 0o077}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def genaiops(place: Path, *arguments: str) -> None:
    """A command in `place`, of a user with the usual umask and no configuration."""
    mine = (*GOOGLE_VARIABLES, "DAGSTER_HOME", "PYTEST")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    done = subprocess.run(
        [sys.executable, "-m", "genaiops_dagster.cli", *arguments],
        cwd=place,
        env=kept,
        umask=USUAL_UMASK,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_nobody_else_reads_what_a_command_keeps_but_what_was_asked_for_is_as_usual(
    tmp_path: Path,
) -> None:
    genaiops(tmp_path, "plan", "python_modules", "--json", "plan.json")

    kept = modes(tmp_path / ".genaiops")
    assert {"emulator/credentials.json", "emulator/environment", "emulator/server.log"} <= set(kept)
    assert "dagster/dagster.yaml" in kept
    assert any(name.startswith("dagster/history/") for name in kept)
    assert open_to_others(tmp_path / ".genaiops") == {}
    assert mode(tmp_path / "plan.json") == 0o644

    # The same of a folder that an earlier release left open.
    for path in (tmp_path / ".genaiops").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (tmp_path / ".genaiops").chmod(0o755)
    genaiops(tmp_path, "rejected", "python_modules", "--output", "rejected.csv")

    assert open_to_others(tmp_path / ".genaiops") == {}
    assert mode(tmp_path / "rejected.csv") == 0o644


def test_files_of_commands_that_keep_nothing_are_as_usual(tmp_path: Path) -> None:
    (tmp_path / "tickets.csv").write_text("text,queue\n" + "a b,one\nc d,two\n" * 20)
    genaiops(tmp_path, "schema", "--output", "schema.json")
    genaiops(tmp_path, "init", "tickets.csv", "--output", "queue", "--yes", "--to", "mine")

    assert mode(tmp_path / "schema.json") == 0o644
    assert set(modes(tmp_path / "mine").values()) == {0o755, 0o644}


@pytest.fixture
def no_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")


@pytest.fixture
def usual_umask() -> Iterator[Any]:
    before = os.umask(USUAL_UMASK)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_dagster_home", "usual_umask")
class TestFolderOfAnEarlierRelease:
    def test_the_default_one_is_closed(self, tmp_path: Path) -> None:
        folder = tmp_path / ".genaiops"
        (folder / "dagster" / "history").mkdir(parents=True)
        (folder / "dagster" / "history" / "runs.db").touch()
        (folder / "python_modules.html").touch()
        assert open_to_others(folder)

        prepare_dagster_home(folder)

        assert open_to_others(folder / "dagster" / "history") == {}
        assert mode(folder) == 0o700
        assert mode(folder / "python_modules.html") == 0o600

    def test_of_one_of_the_users_only_our_part_is_closed(self, tmp_path: Path) -> None:
        (tmp_path / "emulator" / "storage").mkdir(parents=True)
        (tmp_path / "emulator" / "credentials.json").touch()
        theirs = tmp_path / "notes.txt"
        theirs.touch()
        tmp_path.chmod(0o755)

        prepare_dagster_home(tmp_path)

        assert open_to_others(tmp_path / "emulator") == {}
        assert mode(tmp_path / "dagster") == 0o700
        assert (mode(tmp_path), mode(theirs)) == (0o755, 0o644)

    def test_a_link_in_it_leads_nowhere(self, tmp_path: Path) -> None:
        theirs = tmp_path / "notes.txt"
        theirs.touch()
        (tmp_path / ".genaiops").mkdir()
        (tmp_path / ".genaiops" / "link").symlink_to(theirs)

        prepare_dagster_home(tmp_path / ".genaiops")

        assert mode(theirs) == 0o644

    @pytest.mark.skipif(os.getuid() != 0, reason="only root makes files of other accounts")
    def test_one_of_another_account_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o755)
            theirs = Path(place, ".genaiops", "dagster")
            theirs.mkdir(parents=True)
            os.seteuid(65533)
            try:
                with pytest.raises(SessionError, match=rf"{theirs} is open to other accounts"):
                    prepare_dagster_home(theirs.parent)
            finally:
                os.seteuid(0)
