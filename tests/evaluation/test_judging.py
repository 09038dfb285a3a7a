"""Choices, ratings and people: what a judge's faults do to the figures, and what they do not."""

from __future__ import annotations

import random
from typing import Any

import pytest

from genaiops_dagster.evaluation.judging.calibration import LabelsError, agreement, read_labels
from genaiops_dagster.evaluation.judging.judge import (
    Rated,
    UnknownTemplateError,
    judge_digest,
    prompt_template,
    template_fields,
)
from genaiops_dagster.evaluation.judging.pairwise import (
    Judged,
    Pair,
    consistency,
    position_bias,
    preference,
    self_agreement,
)
from genaiops_dagster.evaluation.scoring.summary import judge_quality, summarize
from genaiops_dagster.records.evaluation import RowResult
from genaiops_dagster.use_case.evaluation import Judge, JudgedMetric
from tests.values import present

CRITERIA = JudgedMetric(criteria="It is right.")


def test_criteria_become_a_rubric_over_the_whole_scale() -> None:
    template = prompt_template(JudgedMetric(criteria="It is right.", scale=(0, 3))) or ""
    assert template_fields(template) == {"prompt", "reference", "response"}
    for level in range(4):
        assert f"\n{level}: " in template


def test_templates_are_those_of_the_sdk() -> None:
    template = prompt_template(JudgedMetric(template="fluency")) or ""
    assert {"prompt", "response"} <= template_fields(template)
    with pytest.raises(UnknownTemplateError, match="it has: coherence, fluency"):
        prompt_template(JudgedMetric(template="eloquence"))


def test_the_digest_covers_whatever_decides_a_rating() -> None:
    judge = Judge(model="j", metrics={"a": CRITERIA})
    others = [
        judge.model_copy(update={"model": "k"}),
        judge.model_copy(update={"repeats": 3}),
        Judge(model="j", metrics={"a": JudgedMetric(criteria="It is wrong.")}),
        Judge(model="j", metrics={"a": JudgedMetric(criteria="It is right.", scale=(1, 3))}),
    ]
    digests = {judge_digest(one) for one in [judge, *others]}
    assert len(digests) == 5
    assert judge_digest(None) == ""


def rated_rows(ratings: list[list[float]]) -> list[RowResult]:
    rows = []
    for index, found in enumerate(ratings):
        score = sum(found) / len(found) if found else None
        rows.append(
            RowResult(
                id=str(index),
                group=str(index),
                slices={},
                reference="",
                state="answered",
                answer="",
                scores={"quality": score},
                errors={} if found else {"quality": "503"},
                ratings={"quality": found},
            )
        )
    return rows


def test_noise_widens_the_interval_and_shows_in_self_agreement() -> None:
    dice = random.Random(1)
    truth = [dice.choice([2.0, 3.0, 4.0]) for _ in range(300)]
    clean = rated_rows([[t, t, t] for t in truth])
    noisy = rated_rows([[t + dice.gauss(0, 1) for _ in range(3)] for t in truth])
    steady, shaky = judge_quality(clean, "quality", 3), judge_quality(noisy, "quality", 3)
    assert (steady.self_agreement, steady.spread) == (1.0, 0.0)
    assert present(shaky.self_agreement) < 0.1
    assert shaky.spread == pytest.approx(1.0, abs=0.1)
    before, after = summarize(clean, "quality"), summarize(noisy, "quality")
    widths = [present(found.high) - present(found.low) for found in (before, after)]
    assert widths[1] > widths[0]
    assert after.mean == pytest.approx(before.mean, abs=0.15)


def test_missing_ratings_are_errors_and_move_no_mean() -> None:
    rows = rated_rows([[5.0], [], [4.0], []])
    quality = judge_quality(rows, "quality", 1)
    assert (quality.ratings, quality.errors) == (2, 2)
    summary = summarize(rows, "quality")
    assert (summary.mean, summary.rows, summary.errors) == (4.5, 2, 2)


def pairs(count: int) -> list[Pair]:
    return [Pair(str(n), str(n), "p", "r", "c", "b") for n in range(count)]


def judged(choices: list[tuple[int | None, int | None]]) -> list[Judged]:
    return [Judged([first], [second], []) for first, second in choices]


def test_a_biased_judge_is_seen_and_moves_no_preference() -> None:
    always_first = judged([(1, -1)] * 40)
    bias = position_bias(pairs(40), always_first)
    assert bias.mean == 1.0
    assert preference(pairs(40), always_first).mean == 0.5
    assert consistency(always_first) == 0.0


@pytest.mark.parametrize("bias", [0.0, 0.3, 0.6])
def test_the_reported_bias_is_the_injected_one(bias: float) -> None:
    dice = random.Random(2)
    found: list[tuple[int | None, int | None]] = []
    for _ in range(2000):
        truth = 1 if dice.random() < 0.7 else -1
        first = 1 if dice.random() < bias else truth
        second = -1 if dice.random() < bias else truth
        found.append((first, second))
    measured = position_bias(pairs(2000), judged(found))
    assert present(measured.low) - 0.01 <= bias <= present(measured.high) + 0.01
    liked = preference(pairs(2000), judged(found))
    expected = 0.5 + (0.7 - 0.5) * (1 - bias)
    assert liked.mean == pytest.approx(expected, abs=0.03)


def test_a_pair_judged_in_one_order_only_is_an_error_and_no_preference() -> None:
    found = preference(pairs(3), judged([(1, 1), (1, None), (None, None)]))
    assert (found.mean, found.rows, found.errors) == (1.0, 1, 2)


def test_repeated_choices_agree_or_not() -> None:
    same = [Judged([1, 1], [1, 1], [])]
    mixed = [Judged([1, -1], [1, 1], [])]
    assert self_agreement(same) == 1.0
    assert self_agreement(mixed) == 0.5
    assert self_agreement([Judged([1], [1], [])]) is None


def label_lines(*ratings: float, metric: str = "quality") -> bytes:
    return "\n".join(
        f'{{"metric": "{metric}", "rating": {rating}, "prompt": "p", "response": "{n}"}}'
        for n, rating in enumerate(ratings)
    ).encode()


JUDGE = Judge(model="j", metrics={"quality": CRITERIA})


def test_agreement_with_people_by_hand() -> None:
    people = [1, 1, 2, 3, 4, 5, 5, 3]
    machine = [1, 2, 2, 3, 4, 5, 4, 3]
    labels = read_labels("gs://b/l", label_lines(*people), JUDGE)
    found = agreement(labels, [Rated([float(m)], "", []) for m in machine])
    # Quadratic weights by hand: sum of squared gaps, observed against what the margins expect.
    from itertools import product

    observed = sum((a - b) ** 2 for a, b in zip(people, machine, strict=True))
    expected = sum((a - b) ** 2 for a, b in product(people, machine)) / len(people)
    assert found.kappa == pytest.approx(1 - observed / expected)
    assert found.exact == 6 / 8
    assert found.bias == 0.0
    assert present(found.low) < present(found.kappa) < present(found.high)


def test_agreement_by_chance_is_no_agreement() -> None:
    dice = random.Random(3)
    labels = read_labels("u", label_lines(*(dice.randint(1, 5) for _ in range(400))), JUDGE)
    rated = [Rated([float(dice.randint(1, 5))], "", []) for _ in labels]
    assert abs(present(agreement(labels, rated).kappa)) < 0.1


def test_a_judge_that_always_says_the_same_has_no_kappa() -> None:
    labels = read_labels("u", label_lines(1, 3, 5), JUDGE)
    found = agreement(labels, [Rated([3.0], "", [])] * 3)
    assert found.kappa is None
    assert found.exact == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no ratings; write one JSON line"),
        (b"{", "gs://b/l, line 1: "),
        (label_lines(3, 9), "line 2: rating 9, allowed: 1 to 5"),
        (label_lines(3, metric="charm"), "line 1: metric 'charm', allowed: quality"),
    ],
)
def test_wrong_labels_are_named_by_line(content: Any, message: str) -> None:
    with pytest.raises(LabelsError, match=message):
        read_labels("gs://b/l", content, JUDGE)
