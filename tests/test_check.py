"""`scripts/check`, and who calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHECK = ROOT / "scripts" / "check"
PROSE = ROOT / "scripts" / "prose"
PARTS = {"lint", "format", "prose", "types", "contracts", "tests"}


def test_help_names_every_part() -> None:
    shown = subprocess.run([CHECK, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(part in shown for part in (*PARTS, "--fix", "--static"))
    assert "set -euo" not in shown


def test_an_unknown_part_is_refused_by_name() -> None:
    refused = subprocess.run([CHECK, "typos"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "no part typos" in refused.stderr


def test_the_script_is_clean_shell() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    if not shellcheck.exists():
        pytest.skip("shellcheck is not installed")
    found = subprocess.run([shellcheck, "--severity=style", CHECK], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_its_tests_exist() -> None:
    listed = CHECK.read_text().partition("quick_tests=(\n")[2].partition("\n)")[0]
    paths = [word.removeprefix("--ignore=") for word in listed.split()]
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_hooks_call_its_parts_and_fetch_nothing() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    for hook in repositories[0]["hooks"]:
        script, part = hook["entry"].split()
        assert script == "scripts/check"
        assert part in PARTS
        assert hook["language"] == "system"


def _prose(*files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROSE, *map(str, files)], cwd=ROOT, capture_output=True, text=True
    )


def test_all_prose_is_free_of_banned_wording() -> None:
    found = _prose()
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", '"""Who asked is\n    told of it."""\n'),
        ("a.py", "x = 1  # the caller is told\n"),
        ("a.py", "# what comes first\n# stands in the file\n"),
        ("a.py", "message = f'{name} is no file'\n"),
        ("a.md", "Whoever reads this\n"),
        ("a.md", "```sh\ngenaiops run\n```\n\nwrites a report.\n"),
        ("a.yaml", "x: 1  # made anew\n"),
        ("a.sh", "true # mend it\n"),
    ],
)
def test_banned_wording_is_found(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)
    found = _prose(file)
    assert found.returncode == 1
    assert f"{file}:" in found.stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "is_told = told_of(whom)\n"),
        ("a.py", '"""None if there is none; the flag is no longer set."""\n'),
        ("a.py", '"""`*` stands for everything; there\n    are no rows."""\n'),
        ("a.md", "```sh\ngenaiops run\n```\n\nThis command writes a report.\n"),
        ("a.yaml", "whom: anew\n"),
    ],
)
def test_names_and_good_wording_pass(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert _prose(file).stdout == "prose: ok\n"


def test_every_banned_pattern_has_advice() -> None:
    rules = [
        line
        for line in (ROOT / "scripts" / "prose.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert len(rules) > 20
    assert [rule for rule in rules if not rule.partition(" -> ")[2]] == []
