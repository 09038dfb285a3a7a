"""What documentation, deployment and compiled pipelines import of the package."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genaiops_dagster.pipelines.lifecycle import compile_lifecycle
from genaiops_dagster.use_case import load_use_cases
from tests.surface.conftest import Compare

ROOT = Path(__file__).parents[2]
TOLD_IN = [
    *(ROOT / name for name in ("README.md", "workspace.yaml")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(path for path in (ROOT / "deploy").iterdir() if path.is_file()),
]
_NAME = re.compile(r"\bgenaiops_dagster(?:[.:][A-Za-z_]\w*)+")
_IMPORT = re.compile(r"from (genaiops_dagster[\w.]*) import (\([^)]*\)|[^\n\\\"]+)")
_FILES = re.compile(r"\.(ya?ml|md|toml|html|json|jinja)$")


def test_what_the_docs_name_can_be_imported(compare: Compare) -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in TOLD_IN)
    compare("imports_told", {name: _form(find(name)) for name in sorted(set(names(text)))})


def test_what_compiled_pipelines_import(compare: Compare) -> None:
    """Pipelines that were submitted run in images of later versions."""
    pytest.importorskip("kfp")
    compiled = compile_lifecycle(load_use_cases()["python_modules"], image="image")
    text = repr(compiled).replace("\\\\n", "\n").replace("\\n", "\n")
    found = set(names(text))
    called = {f"{module}.{f}" for module in found for f in _called(module, text)}
    compare("imports_compiled", {name: _form(find(name)) for name in sorted(found | called)})


def test_a_name_that_is_not_there_is_noticed() -> None:
    text = "from genaiops_dagster.serving import (\n  Router,\n  Nobody as N,\n)"
    serving = "genaiops_dagster.serving"
    assert list(names(text)) == [serving, f"{serving}.Router", f"{serving}.Nobody"]
    assert inspect.isclass(find(f"{serving}.Router"))
    with pytest.raises(AttributeError):
        find(f"{serving}.Nobody")


def names(text: str) -> Iterator[str]:
    """Dotted names, and those in import statements; names of files do not count."""
    for module, imported in _IMPORT.findall(text):
        yield module
        for name in imported.strip("() \n,").split(","):
            yield f"{module}.{name.split(' as ')[0].split('#')[0].strip()}"
    for name in _NAME.findall(_IMPORT.sub("", text)):
        if not _FILES.search(name):
            yield name.replace(":", ".")


def _called(module: str, text: str) -> list[str]:
    """What is called as an attribute of a module that was imported by its last name."""
    return re.findall(rf"\b{module.rpartition('.')[2]}\.(\w+)\(", text)


def find(name: str) -> Any:
    """The module or what is in it."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError as error:
            if not name.startswith(error.name or " "):
                raise
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


def _form(found: Any) -> Any:
    """Parameters of a function; of a class its own and those of its public methods."""
    if inspect.ismodule(found):
        return sorted(found.__all__) if hasattr(found, "__all__") else "module"
    if inspect.isclass(found):
        methods = {
            name: list(inspect.signature(member).parameters)
            for name, member in inspect.getmembers(found, inspect.isroutine)
            if not name.startswith("_") and name in vars(found)
        }
        return {"__init__": list(inspect.signature(found).parameters), **methods}
    if callable(found):
        return list(inspect.signature(found).parameters)
    return type(found).__name__
