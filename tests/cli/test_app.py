"""What all commands have in common: help with examples that work, and errors in a line."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from genaiops_dagster.cli.app import app
from tests.values import present

COMMANDS = typer.main.get_group(app).commands


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_that_are_right(name: str) -> None:
    help_text = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
    assert "Examples:" in help_text
    command = COMMANDS[name]
    examples = re.findall(rf"^genaiops {name}.*$", present(command.epilog), flags=re.MULTILINE)
    assert examples
    for example in examples:
        command.make_context(name, shlex.split(example)[2:])


BREAKS = """
import sys
from genaiops_dagster.cli import app as module
@module.app.command("break")
def break_down(): raise RuntimeError("the disk is full")
sys.argv = ["genaiops", *sys.argv[1:]]
module.main()
"""


@pytest.mark.parametrize("debug", [False, True])
def test_an_unforeseen_error_is_a_line_unless_a_traceback_is_asked_for(debug: bool) -> None:
    arguments = [*(["--debug"] if debug else []), "break"]
    done = subprocess.run(
        [sys.executable, "-c", BREAKS, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert ("Traceback" in done.stderr) is debug
    assert ("\x1b[" in done.stderr) is False, "no colours where there is no terminal"


def test_a_command_starts_without_what_it_may_not_need() -> None:
    heavy = "{'dagster', 'pandas', 'duckdb', 'sklearn', 'google.genai'}"
    script = f"import sys, genaiops_dagster.cli.app; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.strip() == "set()", found.stdout + found.stderr
