"""`scripts/check`, and who calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHECK = ROOT / "scripts" / "check"
PARTS = {"lint", "format", "types", "contracts", "tests"}


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
