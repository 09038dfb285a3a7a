"""What `docs/how-to/budgets.md` shows as a use case file is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from genaiops_dagster.budget_policy import Budget
from genaiops_dagster.candidates import Candidate
from genaiops_dagster.tuning_policy import Tuning

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "budgets.md"
BLOCKS = [
    yaml.safe_load(block)
    for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
]


@pytest.mark.parametrize("block", [block for block in BLOCKS if "ops" not in block])
def test_a_documented_section_is_valid(block: dict[str, Any]) -> None:
    assert set(block) <= {"budget", "tuning", "candidates"}
    if "budget" in block:
        Budget.model_validate(block["budget"])
    if "tuning" in block:
        Tuning.model_validate({"base_model": "gemini-3.5-flash", **block["tuning"]})
    for candidate in block.get("candidates", {}).values():
        Candidate.model_validate(candidate)


def test_the_page_has_its_examples() -> None:
    assert len(BLOCKS) >= 6
