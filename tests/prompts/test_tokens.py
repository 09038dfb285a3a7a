"""Sampled token counts: repeatable, exact where all is counted, and honest about their error."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from genaiops_dagster.prompts.tokens import (
    Content,
    count_all,
    count_sample,
    sample,
    user_message,
)


def words(messages: Sequence[Content]) -> int:
    """A stand-in for the service: a word is a token."""
    return sum(len(part["text"].split()) for m in messages for part in m["parts"])


def texts(rows: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    return [
        " ".join("x" * generator.randint(1, 9) for _ in range(generator.randint(5, 400)))
        for _ in range(rows)
    ]


def test_the_same_seed_samples_the_same_rows_in_one_pass() -> None:
    first = sample(iter(range(10_000)), 20, seed=3)
    assert first == sample(iter(range(10_000)), 20, seed=3)
    assert first[0] != sample(iter(range(10_000)), 20, seed=4)[0]
    assert first[1] == 10_000
    assert len(set(first[0])) == 20


def test_a_sample_reaches_every_part_of_the_data() -> None:
    """Each row has the same chance: the mean of sampled indices is the middle."""
    means = [sum(sample(range(1000), 50, seed)[0]) / 50 for seed in range(200)]
    assert sum(means) / len(means) == pytest.approx(499.5, abs=10)


def test_counting_everything_is_exact() -> None:
    rows = [user_message(text) for text in texts(537, 0)]
    total = count_all(words, rows)
    assert total.tokens == words(rows)
    assert total.error == 0


def test_a_sample_of_all_rows_is_exact() -> None:
    rows = [([user_message(text)], len(text)) for text in texts(20, 1)]
    total = count_sample(words, rows, sum(size for _, size in rows), 20)
    assert (total.tokens, total.error) == (sum(words(row) for row, _ in rows), 0)


def test_the_stated_error_holds_as_often_as_it_says() -> None:
    """Of 95 % intervals over many samples, about 95 % contain the true number of tokens."""
    population = [([user_message(text)], len(text)) for text in texts(1000, 2)]
    truth = sum(words(row) for row, _ in population)
    size = sum(characters for _, characters in population)
    held = 0
    for seed in range(300):
        chosen, total = sample(population, 50, seed)
        estimate = count_sample(words, chosen, size, total)
        assert 0 < estimate.error < 0.1 * truth
        held += abs(estimate.tokens - truth) <= estimate.error
    assert 0.90 <= held / 300 <= 0.99


def test_nothing_to_count_is_zero() -> None:
    assert count_all(words, []).tokens == 0
    assert count_sample(words, [], 0, 0).tokens == 0
