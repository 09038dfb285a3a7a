"""What is installed besides the code: data files, commands and extras."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from tests.surface.conftest import Compare

ROOT = Path(__file__).parents[2]
PACKAGE = "genaiops_dagster"
_CODE = (".py", ".pyc")


def test_the_package(compare: Compare) -> None:
    compare("package", picture(_project()))


def test_no_data_file_is_left_out() -> None:
    """What is next to the modules is installed, or somebody would miss it."""
    lying = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file()
        and path.suffix not in _CODE
        and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    }
    assert lying == data_files(_project()["tool"]["setuptools"]["package-data"])


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def picture(project: dict[str, Any]) -> dict[str, Any]:
    """What `pyproject.toml` says, and the files that its patterns find."""
    return {
        "name": project["project"]["name"],
        "python": project["project"]["requires-python"],
        "commands": project["project"]["scripts"],
        "extras": sorted(project["project"]["optional-dependencies"]),
        "code location": project["tool"]["dg"]["project"]["code_location_target_module"],
        "data": sorted(data_files(project["tool"]["setuptools"]["package-data"])),
        "compiled pipelines": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((ROOT / PACKAGE / "pipelines" / "examples").glob("*.yaml"))
        },
    }


def data_files(patterns: dict[str, list[str]]) -> set[str]:
    """Files that a wheel has besides its modules, by the patterns of each package."""
    found = {
        path.relative_to(ROOT).as_posix()
        for package, globs in patterns.items()
        for glob in globs
        for path in (ROOT / package.replace(".", "/")).glob(glob)
    }
    return {name for name in found if not name.endswith(_CODE)}
