from __future__ import annotations

import math

import pytest

from genaiops_dagster.data.curation import prepare
from genaiops_dagster.data.profile import Profile, balance, drift, profile, stability_index
from genaiops_dagster.data.scratch import scratch
from tests.data.conftest import Curate, use_case_of


def test_stability_index_is_siddiqis() -> None:
    new, old = {"a": 600, "b": 400}, {"a": 500, "b": 500}
    p, q = 600.5 / 1001, 500.5 / 1001
    expected = (p - q) * math.log(p / q) + (q - p) * math.log((1 - p) / (1 - q))
    assert stability_index(new, old) == pytest.approx(expected)
    assert stability_index(old, old) == 0


def describe(curated: Curate, rows: list[dict[str, object]]) -> Profile:
    use_case = use_case_of(curation={"near_duplicates": "allow"})
    _, _, result = curated(rows, use_case)
    with scratch() as (_, connection):
        prepare(connection, use_case)
        return profile(connection, result.examples)


def rows(labels: list[str], topic: str, count: int = 600) -> list[dict[str, object]]:
    return [
        {
            "id": n,
            "question": f"{topic} number {n}",
            "answer": labels[n % len(labels)],
            "topic": "t",
        }
        for n in range(count)
    ]


def test_the_same_kind_of_data_does_not_drift(curated: Curate) -> None:
    old = describe(curated, rows(["yes", "no"], "cats and dogs"))
    new = describe(curated, rows(["yes", "no"], "cats and dogs", 900))
    assert not any(one.notable for one in drift(new, old))


def test_other_labels_lengths_and_words_drift(curated: Curate) -> None:
    old = describe(curated, rows(["yes", "no", "no"], "cats and dogs"))
    new = describe(
        curated, rows(["yes", "perhaps"], "a long treatise on shipping and its laws " * 4)
    )
    assert {one.feature for one in drift(new, old) if one.notable} == {
        "outputs",
        "length of inputs",
        "length of outputs",
        "words of inputs",
    }


def test_a_few_rows_are_no_evidence(curated: Curate) -> None:
    old = describe(curated, rows(["yes", "no"], "cats", 12))
    new = describe(curated, rows(["yes", "yes", "no"], "cats", 12))
    assert not any(one.notable for one in drift(new, old))


def test_free_text_has_no_labels(curated: Curate) -> None:
    found = describe(curated, rows([f"answer {n}" for n in range(600)], "cats"))
    assert found.labels == {}


def test_balance_tells_rare_and_unseen_labels(curated: Curate) -> None:
    use_case = use_case_of(curation={"near_duplicates": "allow"})
    data = rows(["common"], "cats", 400) + [
        {"id": f"r{n}", "question": f"rare {n}", "answer": "rare", "topic": "t"} for n in range(3)
    ]
    _, _, result = curated(data, use_case)
    with scratch() as (_, connection):
        prepare(connection, use_case)
        found = balance(connection, result.examples, profile(connection, result.examples))
    assert list(found.labels) == ["common", "rare"]
    assert not found.even
