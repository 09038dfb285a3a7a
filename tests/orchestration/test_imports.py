"""Imports between the files of both packages; contracts between rooms are in pyproject.toml."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

RECURSIVE = "vertex_emulator.bigquery.sql"
"""SQL nests queries in expressions and expressions in queries, and so does what compiles it."""


def imports(package: str) -> dict[str, set[str]]:
    graph = grimp.build_graph(package, cache_dir=None)
    return {
        module: graph.find_modules_directly_imported_by(module)
        for module in graph.modules
        if not module.startswith(RECURSIVE)
    }


@pytest.mark.parametrize("package", ["genaiops_dagster", "vertex_emulator"])
def test_no_file_is_in_a_circle(package: str) -> None:
    TopologicalSorter(imports(package)).prepare()


def test_a_circle_is_noticed() -> None:
    found = imports("genaiops_dagster")
    found["genaiops_dagster.pipelines.stages"].add("genaiops_dagster.orchestration.assembly")
    with pytest.raises(CycleError):
        TopologicalSorter(found).prepare()
