"""Habits that hold for every file of the repository."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OF_NO_CONNECTION = {"connect", "ColumnExpression", "ConstantExpression", "func"}
"""What DuckDB's module has that runs on no connection, or makes a new one."""


def tracked(*patterns: str) -> list[str]:
    """Tracked files, as git names them."""
    command = ["git", "ls-files", "-z", *patterns]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        pytest.skip("not a git checkout")
    return [name for name in found.stdout.split("\0") if name]


def test_no_tracked_file_is_ignored() -> None:
    """One that is would be left out of the next `git add`, and is a cache most of the time."""
    assert tracked("--cached", "--ignored", "--exclude-standard") == []


def calls_of_the_module(code: str) -> Iterator[str]:
    """Calls such as `duckdb.sql(...)`, and functions imported from DuckDB's module."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called, of = node.func.attr, node.func.value
            if isinstance(of, ast.Name) and of.id == "duckdb" and called.islower():
                yield called
        elif isinstance(node, ast.ImportFrom) and node.module == "duckdb":
            yield from (name.name for name in node.names if name.name.islower())


def test_duckdb_is_asked_on_a_connection_of_ones_own() -> None:
    """The module's functions share one connection, where another thread's result may be open."""
    assert list(calls_of_the_module("import duckdb\nduckdb.sql('SELECT 1')")) == ["sql"]
    wrong = {
        name: bad
        for name in tracked("*.py")
        if (ROOT / name).exists()
        and (bad := set(calls_of_the_module((ROOT / name).read_text())) - OF_NO_CONNECTION)
    }
    assert wrong == {}


def test_one_module_imports_googles_generated_clients() -> None:
    """It does so in one thread at a time; two that begin at once see each other's halves."""
    importing = {
        name
        for name in tracked("genaiops_dagster/*.py")
        if (ROOT / name).exists()
        for function in ast.walk(ast.parse((ROOT / name).read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("google.cloud.aiplatform_v1")
    }
    assert importing == {"genaiops_dagster/google_cloud/vertex_ai.py"}
