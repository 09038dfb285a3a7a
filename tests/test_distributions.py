"""The two distributions of this repository: what each imports, and what it says it needs."""

from __future__ import annotations

import ast
import gc
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAIN, EMULATOR = ROOT / "genaiops_dagster", ROOT / "emulator" / "src" / "vertex_emulator"
GOOGLE = {
    "google.api_core": "google-api-core",
    "google.auth": "google-auth",
    "google.cloud.aiplatform": "google-cloud-aiplatform",
    "google.cloud.bigquery": "google-cloud-bigquery",
    "google.cloud.storage": "google-cloud-storage",
    "google.genai": "google-genai",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
}
"""Distributions of modules in the one namespace that many share."""

NOT_IMPORTED = {
    "pandas": "vertexai.evaluation and Dagster's BigQuery integration import it",
}
"""Dependencies that no file of the package imports, and why they are there."""

NOT_DECLARED = {
    "google-cloud-aiplatform": "the schema is read from it only where it is installed",
    "google-genai": "likewise",
    "kfp": "the extra `pipelines`",
    "kfp-pipeline-spec": "likewise",
    "protobuf": "likewise",
    "pytest": "the plugin is loaded by it alone",
}
"""What the emulator imports and does not need."""


def _parse(source: str) -> ast.Module:
    """The tree of a source, made while no garbage is collected.

    When it is, CPython before 3.11.8 may lose count of its own recursion, and raises SystemError:
    https://github.com/python/cpython/issues/106905
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if was_enabled:
            gc.enable()


def imported(package: Path) -> dict[str, set[str]]:
    """Top-level modules that the files of a package import, and the files."""
    found: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        for node in ast.walk(_parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                found.setdefault(name, set()).add(path.relative_to(ROOT).as_posix())
    return found


@pytest.mark.parametrize(("package", "other"), [(MAIN, EMULATOR.name), (EMULATOR, MAIN.name)])
def test_neither_imports_the_other(package: Path, other: str) -> None:
    assert {n: f for n, f in imported(package).items() if n.split(".")[0] == other} == {}


def distributions(package: Path) -> set[str]:
    """Distributions of the modules that a package imports."""
    known = packages_distributions()
    found = set()
    for name in imported(package):
        top = name.split(".")[0]
        if top == "google":
            found |= {to for module, to in GOOGLE.items() if name.startswith(module)}
        elif top not in sys.stdlib_module_names and ROOT / top != MAIN and top != EMULATOR.name:
            found |= {normal(one) for one in known.get(top, [top])}
    return found


def declared(project: Path) -> set[str]:
    """Distributions that a project depends on."""
    table = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    return {normal(re.split(r"[\[<>=!~; ]", line)[0]) for line in table["dependencies"]}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    ("project", "package"), [(ROOT, MAIN), (ROOT / "emulator", EMULATOR)], ids=["main", "emulator"]
)
def test_each_dependency_is_imported(project: Path, package: Path) -> None:
    assert declared(project) - distributions(package) - NOT_IMPORTED.keys() == set()


def test_the_emulator_declares_what_it_imports() -> None:
    needed = distributions(EMULATOR) - declared(ROOT / "emulator")
    assert needed - NOT_DECLARED.keys() == set()
