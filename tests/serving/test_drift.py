"""Drift alarms: silent while nothing changes, and loud when something does."""

from __future__ import annotations

import random
from typing import Any

import pytest

from genaiops_dagster.serving.watching.drift import DriftTest, find_drift
from genaiops_dagster.use_case.serving import Monitoring
from tests.values import present

POLICY = Monitoring()
TOPICS = {
    "json": "parse encode dump load string nested object list dictionary decode array",
    "threads": "lock queue worker pool start join daemon race wait event signal",
    "dates": "month week timezone convert format day hour leap calendar year parse",
    "files": "open read write path folder delete copy rename line binary append",
}
"""Words by what a user asks about."""


def question(dice: random.Random, topics: list[str]) -> str:
    words = TOPICS[dice.choice(topics)].split()
    return "How do I " + " ".join(dice.choice(words) for _ in range(dice.randint(4, 14))) + "?"


def day(seed: int, rows: int = 200, **changes: Any) -> tuple[list[str], dict[str, list[float]]]:
    """Questions and scores of a day; `changes` are what drifted."""
    dice = random.Random(seed)
    topics = changes.get("topics", ["json", "threads", "dates"])
    texts = [question(dice, topics) for _ in range(rows)]
    texts = [text + " Please answer at length." * changes.get("longer", 0) for text in texts]
    right = changes.get("right", 0.8)
    scores = {
        "exact_match": [float(dice.random() < right) for _ in range(rows)],
        "quality": [min(5.0, max(1.0, round(dice.gauss(5 * right, 0.8)))) for _ in range(rows)],
    }
    return texts, scores


REFERENCE = day(0, rows=344)


def drift(seed: int, **changes: Any) -> list[DriftTest]:
    texts, scores = day(seed, **changes)
    return find_drift(POLICY, texts, REFERENCE[0], scores, REFERENCE[1])


def alarms(seed: int, **changes: Any) -> set[str]:
    return {test.name for test in drift(seed, **changes) if test.alarm}


def test_fifty_clean_days_are_silent() -> None:
    assert [alarms(seed) for seed in range(1, 51)] == [set()] * 50


def test_p_values_of_clean_days_are_those_of_chance() -> None:
    """Not silent because nothing is tested: one day in ten has p at most 0.1, before Holm."""
    lowest = []
    for seed in range(100, 160):
        tests = drift(seed)
        lowest.append(min(test.p_value for test in tests if test.p_value is not None))
    assert 1 <= sum(p <= 0.3 for p in lowest) <= 30


@pytest.mark.parametrize("seed", range(5))
def test_a_new_topic_is_noticed(seed: int) -> None:
    """Half of the users ask about something that the evaluation set does not have."""
    assert "input text" in alarms(seed, topics=["json", "threads", "files", "files"])


@pytest.mark.parametrize("seed", range(5))
def test_longer_questions_are_noticed(seed: int) -> None:
    assert "input length" in alarms(seed, longer=1)


@pytest.mark.parametrize("seed", range(5))
def test_worse_answers_are_noticed(seed: int) -> None:
    assert alarms(seed, right=0.55) == {"exact_match", "quality"}


def test_better_answers_are_no_alarm() -> None:
    assert alarms(3, right=0.99) == set()


def test_the_same_question_many_times_is_one() -> None:
    """Retries of one user would else look like another distribution."""
    texts, _ = day(5)
    found = find_drift(POLICY, [*texts, *texts[:3] * 100], REFERENCE[0], {}, {})
    assert not any(test.alarm for test in found)
    assert found[0].rows == len(set(texts))


def test_a_difference_that_is_sure_and_small_is_no_alarm() -> None:
    then = {"quality": [0.0, 1.0] * 10_000}
    now = {"quality": [0.0] * 10_600 + [1.0] * 9_400}
    [*_, test] = find_drift(POLICY, [], [], now, then)
    assert present(test.p_value) < 1e-6
    assert not test.alarm


def test_too_few_rows_are_no_verdict() -> None:
    texts, scores = day(1, rows=29)
    found = find_drift(POLICY, texts, REFERENCE[0], scores, REFERENCE[1])
    assert {(test.method, test.p_value, test.alarm) for test in found} == {
        ("too few rows", None, False)
    }


def test_scores_that_are_all_the_same_are_no_alarm() -> None:
    found = find_drift(POLICY, [], [], {"m": [1.0] * 50}, {"m": [1.0] * 50})
    assert not any(test.alarm for test in found)
