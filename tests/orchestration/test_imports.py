"""Imports between the files of the package; contracts between its rooms are in pyproject.toml."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


def imports() -> dict[str, set[str]]:
    graph = grimp.build_graph("genaiops_dagster", cache_dir=None)
    return {
        module: graph.find_modules_directly_imported_by(module)
        for module in graph.modules
        if not module.startswith("genaiops_dagster.emulator")
    }


def test_no_file_is_in_a_circle() -> None:
    TopologicalSorter(imports()).prepare()


def test_a_circle_is_noticed() -> None:
    found = imports()
    found["genaiops_dagster.pipelines.stages"].add("genaiops_dagster.orchestration.assembly")
    with pytest.raises(CycleError):
        TopologicalSorter(found).prepare()
