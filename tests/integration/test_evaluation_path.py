"""The path of an evaluation answer is the one that `docs/architecture.md` draws."""

from __future__ import annotations

import ast
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.evaluation import Answer, EvaluationReport, RowResult
from tests.integration.evaluation import materialize, put_inputs, store, use_case_of

__all__ = ["store"]

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "genaiops_dagster"
SECTION = "## How an evaluation answer travels"


class Trace:
    """What happens between the call of `evaluate` and its end.

    Attributes:
        files: Files of `evaluation/` that take or return the answer, its row or its report.
        climbs: Calls of a function in a file that imports, by however many steps, the caller's.
    """

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.climbs: set[tuple[str, str]] = set()
        self._evaluating = False

    def profile(self, frame: FrameType, event: str, result: Any) -> None:
        code = frame.f_code
        name = name_of(code.co_filename)
        if event not in {"call", "return"} or not name.startswith("evaluation/"):
            return
        if (name, code.co_name) == ("evaluation/evaluate.py", "evaluate"):
            self._evaluating = event == "call"
        if not self._evaluating:
            return
        arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        values = [frame.f_locals.get(one) for one in arguments] if event == "call" else [result]
        if any(map(_is_of_answer, values)):
            self.files.add(name)
        caller = _caller(frame)
        if event == "call" and caller in below(name) and name not in below(caller):
            self.climbs.add((caller, code.co_name))


def _is_of_answer(value: Any) -> bool:
    first = value[0] if type(value) in (list, tuple) and value else value
    return isinstance(first, (Answer, RowResult, EvaluationReport))


def _caller(frame: FrameType) -> str:
    """The file of the package that called, perhaps through libraries."""
    before = frame.f_back
    while before and not name_of(before.f_code.co_filename):
        before = before.f_back
    return name_of(before.f_code.co_filename) if before else ""


@cache
def name_of(file: str) -> str:
    """The name of a file of the package, below its folder; empty for other files."""
    path = Path(file)
    return str(path.relative_to(PACKAGE)) if path.is_relative_to(PACKAGE) else ""


@cache
def below(name: str) -> frozenset[str]:
    """The files that a file imports, by however many steps."""
    found: set[str] = set()
    new = {name}
    while new:
        new = {imported for one in new for imported in _imports(one)} - found
        found |= new
    return frozenset(found)


def _imports(name: str) -> Iterator[str]:
    if not (PACKAGE / name).is_file():
        return
    for node in ast.walk(ast.parse((PACKAGE / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genaiops_dagster."):
            yield f"{(node.module or '').partition('.')[2].replace('.', '/')}.py"


@contextmanager
def traced() -> Iterator[Trace]:
    trace = Trace()
    threading.setprofile(trace.profile)
    sys.setprofile(trace.profile)
    try:
        yield trace
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def test_an_answer_goes_through_the_files_that_the_docs_draw(store: ObjectStore) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition(SECTION)[2].partition("\n## ")[0]
    drawn = {f"evaluation/{name}" for name in re.findall(r"participant \w+ as (\S+)", section)}
    use_case = use_case_of()
    put_inputs(store, use_case, rows=6)
    with traced() as trace:
        assert materialize(use_case, "flash").success
    # The asset's body is outside of `evaluate`, and the plan knows no answers.
    assert trace.files == drawn - {"evaluation/assets.py", "evaluation/plan.py"}
    assert len(drawn) <= 10
    assert len(trace.climbs) == section.count("(climb ") == 2, trace.climbs
