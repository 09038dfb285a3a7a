"""The page on the machines: its table is the list of planted changes, and its example runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.docs.pages import ROOT, blocks_of
from tests.machines import running, test_money

PAGE = ROOT / "docs" / "explanation" / "machines.md"


def test_the_table_lists_what_was_planted() -> None:
    rows = re.findall(r"^\| `(\S+\.py)` \| (.+?) \| `(\S+)` \|$", PAGE.read_text(), re.MULTILINE)
    planted = json.loads((ROOT / "tests" / "mutants" / "planted.json").read_text())
    assert rows == [
        (p["file"].removeprefix("genaiops_dagster/"), p["name"], Path(p["tests"][0]).name)
        for p in planted
    ]
    assert len(rows) >= 20


def test_the_invariant_that_is_added_holds() -> None:
    [block] = [block for block in blocks_of(PAGE) if block.language == "python"]
    names: dict[str, Any] = {"Money": test_money.Money, "run": running.run}
    exec(block.body, names)
    added: Callable[[int], None] = names["test_no_debt"]
    added(10)
