"""Drift: whether what is served today differs from what the model was evaluated on.

Each question is a two-sample test with a p value; the tests of a day are corrected for one another
(Holm), so that `false_alarm_rate` is the chance of any alarm on a day on which nothing changed. A
small difference raises no alarm, even if it is significant: with enough rows everything differs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from genaiops_dagster.evaluation.scoring.statistics import holm
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case.serving import Monitoring

Kind = Literal["input", "score"]


class DriftTest(Record):
    """One question about one day.

    Attributes:
        name: `input text`, `input length` or a metric.
        kind: Whether inputs or scores were compared.
        method: The test.
        rows, reference_rows: How many were compared.
        effect: How different they are, from 0 (not at all) to 1 (wholly); of scores negative when
            they are lower than in the evaluation.
        p_value: Of no difference, corrected for the other tests of the day; None with too few rows.
        alarm: Whether somebody should look.
    """

    name: str
    kind: Kind
    method: str
    rows: int
    reference_rows: int
    effect: float | None
    p_value: float | None
    alarm: bool


class _Found(NamedTuple):
    name: str
    kind: Kind
    method: str
    rows: int
    reference_rows: int
    effect: float | None
    p_value: float | None


def find_drift(
    policy: Monitoring,
    texts: Sequence[str],
    reference_texts: Sequence[str],
    scores: Mapping[str, Sequence[float]],
    reference_scores: Mapping[str, Sequence[float]],
) -> list[DriftTest]:
    """Compare a day with the evaluation set.

    Args:
        policy: Rate of false alarms, least effect and rows.
        texts: Inputs of the day; the same text counts once, because a user who asks twice is
            not a second sample.
        reference_texts: Inputs of the evaluation set.
        scores: By metric, of the day.
        reference_scores: By metric, of the report that the model was promoted by.
    """
    day, reference = sorted(set(texts)), sorted(set(reference_texts))
    found = [
        _few(policy, "input text", "input", day, reference) or _texts_differ(day, reference),
        _few(policy, "input length", "input", day, reference)
        or _lengths_differ(list(map(len, day)), list(map(len, reference))),
    ]
    for metric in sorted(scores.keys() & reference_scores.keys()):
        now, then = scores[metric], reference_scores[metric]
        found.append(_few(policy, metric, "score", now, then) or _lower(metric, now, then))
    adjusted = holm([one.p_value for one in found])
    return [
        DriftTest(
            **one._replace(p_value=p_value)._asdict(),
            alarm=(
                p_value is not None
                and p_value <= policy.false_alarm_rate
                and abs(one.effect or 0.0) >= policy.minimum_effect
            ),
        )
        for one, p_value in zip(found, adjusted, strict=True)
    ]


def _few(
    policy: Monitoring, name: str, kind: Kind, rows: Sequence[object], reference: Sequence[object]
) -> _Found | None:
    """A test that says nothing, because there are too few rows."""
    if min(len(rows), len(reference)) >= policy.minimum_rows:
        return None
    return _Found(name, kind, "too few rows", len(rows), len(reference), None, None)


def _texts_differ(texts: Sequence[str], reference: Sequence[str]) -> _Found:
    """Whether a classifier can tell the day's texts from the evaluation set's.

    It learns on one half of each and is tried on the other half. There the ranks of its scores are
    those of two equal samples if nothing drifted, so that the p value of Mann and Whitney's test
    is exact whatever the classifier learned. The effect is Gini's coefficient: 2 AUC - 1.

    Source: Lopez-Paz and Oquab 2017, Revisiting classifier two-sample tests,
    https://arxiv.org/abs/1610.06545
    """
    from scipy.stats import mannwhitneyu
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    learned, tried = _halves(texts, seed=1)
    reference_learned, reference_tried = _halves(reference, seed=2)
    classifier = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), max_features=20_000),
        LogisticRegression(C=10.0, class_weight="balanced", max_iter=500),
    )
    labels = [1] * len(learned) + [0] * len(reference_learned)
    classifier.fit([*learned, *reference_learned], labels)
    today = classifier.decision_function(tried)
    then = classifier.decision_function(reference_tried)
    test = mannwhitneyu(today, then, alternative="greater")
    area = float(test.statistic) / (len(tried) * len(reference_tried))
    return _Found(
        "input text",
        "input",
        "classifier two-sample test",
        len(texts),
        len(reference),
        2 * area - 1,
        float(test.pvalue),
    )


def _halves(texts: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    shuffled = list(texts)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - a split, no secret
    middle = len(shuffled) // 2
    return shuffled[:middle], shuffled[middle:]


def _lengths_differ(lengths: Sequence[int], reference: Sequence[int]) -> _Found:
    """Kolmogorov and Smirnov's two-sample test; the effect is its statistic."""
    from scipy.stats import ks_2samp

    test = ks_2samp(lengths, reference)
    return _Found(
        "input length",
        "input",
        "Kolmogorov-Smirnov",
        len(lengths),
        len(reference),
        float(test.statistic),
        float(test.pvalue),
    )


def _lower(metric: str, scores: Sequence[float], reference: Sequence[float]) -> _Found:
    """Mann and Whitney's test, one-sided: better answers raise no alarm.

    The effect is the rank-biserial correlation, below 0 when the scores are lower.
    """
    from scipy.stats import mannwhitneyu

    test = mannwhitneyu(scores, reference, alternative="less")
    p_value = float(test.pvalue)
    area = float(test.statistic) / (len(scores) * len(reference))
    return _Found(
        metric,
        "score",
        "Mann-Whitney",
        len(scores),
        len(reference),
        2 * area - 1,
        1.0 if math.isnan(p_value) else p_value,
    )
