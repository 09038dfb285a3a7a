"""Rows of an evaluation set are made when they are asked for."""

from __future__ import annotations

import pytest

from genaiops_dagster.evaluation.evaluation_set import LazyRows


def test_lazy_rows_are_a_sequence_that_makes_only_what_is_read() -> None:
    made: list[int] = []

    def make(index: int) -> str:
        made.append(index)
        return f"row {index}"

    rows = LazyRows(4, make)

    assert (len(rows), rows[1], rows[-1], rows[:2]) == (4, "row 1", "row 3", ["row 0", "row 1"])
    assert made == [1, 3, 0, 1]
    assert list(rows) == ["row 0", "row 1", "row 2", "row 3"]
    with pytest.raises(IndexError):
        rows[4]
