"""Data grows: whatever is added, no row that was there changes its side of the split."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genaiops_dagster.data.sources import SourceRow
from genaiops_dagster.use_case.data import Curation
from tests.data.conftest import Curate, use_case_of

PASSAGES = [" ".join(f"word{passage}x{n}" for n in range(45)) for passage in range(5)]
"""Texts so long that two with another last word are near duplicates by far."""

ROW = st.fixed_dictionaries(
    {
        "author": st.integers(0, 8).map("author {}".format),
        "topic": st.just("t"),
        "question": st.builds(
            lambda passage, n: f"{PASSAGES[passage]} {n}" if passage < 5 else f"Question {n}?",
            st.integers(0, 9),
            st.integers(0, 400),
        ),
        "answer": st.integers(0, 1).map("answer {}".format),
    }
)


@st.composite
def growing(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows, and a tenth more of them."""
    rows = [draw(ROW) for _ in range(draw(st.integers(10, 60)))]
    more = [draw(ROW) for _ in range(-(-len(rows) // 10))]
    for number, row in enumerate([*rows, *more]):
        row["id"] = str(number)
    return rows, more


def delivered(rows: list[dict[str, Any]], generation: int) -> list[SourceRow]:
    uri = f"gs://b/{generation}.jsonl"
    return [
        SourceRow(uri, generation, number, json.dumps(row), None)
        for number, row in enumerate(rows, start=1)
    ]


def shingles(question: str) -> set[tuple[str, ...]]:
    words = question.split()
    return set(zip(words, words[1:], words[2:], strict=False)) or {tuple(words)}


@pytest.mark.parametrize("near_duplicates", ["reject", "keep_together", "allow"])
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=growing(), seed=st.integers(0, 1000), by_object=st.booleans())
def test_a_tenth_more_moves_no_row_to_another_side(
    curated: Curate,
    near_duplicates: str,
    data: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    seed: int,
    by_object: bool,
) -> None:
    rows, more = data
    use_case = use_case_of(
        split={"training": 0.5, "validation": 0.2, "evaluation": 0.3, "seed": seed},
        curation=Curation(near_duplicates=near_duplicates, conflicting_outputs="allow"),
    )
    first: list[Any] = delivered(rows, 1) if by_object else rows
    second: list[Any] = delivered(more, 2) if by_object else more
    before, left_out, _ = curated(first, use_case)
    after, rejected, _ = curated([*first, *second], use_case)
    sides = {example["id"]: example["side"] for example in after}
    reasons = {row["id"]: row["reason"] for row in rejected}

    moved = {e["id"] for e in before if sides.get(e["id"], e["side"]) != e["side"]}
    assert not moved
    assert len(before) + len(left_out) == len(rows)
    assert sides.keys() | reasons.keys() == {row["id"] for row in [*rows, *more]}
    assert not sides.keys() & reasons.keys()
    gone = {reasons[e["id"]] for e in before if e["id"] not in sides}
    assert gone <= {"duplicate", "near_duplicate", "contaminated"}
    if by_object:  # what is there stays where it is: what comes later gives way
        assert not {e["id"] for e in before if reasons.get(e["id"]) == "duplicate"}

    questions = {row["id"]: shingles(row["question"]) for row in [*rows, *more]}
    for one, other in itertools.combinations(after, 2):
        assert one["group"] != other["group"] or one["side"] == other["side"]
        if near_duplicates != "allow":
            a, b = questions[one["id"]], questions[other["id"]]
            alike = len(a & b) / len(a | b) > 0.9
            assert not alike or (one["side"] == other["side"] and near_duplicates != "reject")
