"""How far figures can be believed: intervals of means, and paired differences of two candidates.

Rows that share a group (paragraphs of one article, questions of one thread) are not independent;
every standard error here is clustered by group. Too little data gives None, never a zero.

Sources:
    Miller 2024, "Adding Error Bars to Evals", https://arxiv.org/abs/2411.00640 (clustered standard
    errors, paired differences, power). Dean and Pagano 2015, "Evaluating confidence interval
    methods for binomial proportions in clustered surveys", https://doi.org/10.1093/jssam/smv024
    (Wilson's interval with the effective sample size). Bonett and Price 2012, "Adjusted Wald
    confidence interval for a difference of binomial proportions based on paired data",
    https://doi.org/10.3102/1076998611411915.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

CONFIDENCE = 0.95
POWER = 0.8
BOOTSTRAPS = 1000

Kind = Literal["binary", "ordinal", "continuous"]


@dataclass(frozen=True)
class MeanEstimate:
    """A mean and how far it can be believed.

    Attributes:
        mean: None without scores.
        low, high: Bounds of the confidence interval; None with fewer than two groups.
        rows: How many scores it rests on.
        groups: How many independent groups these rows form.
        detectable: Smallest true difference to a candidate of the same spread that such a set
            finds with 80 % power if their scores are not correlated; less if they are.
    """

    mean: float | None
    low: float | None
    high: float | None
    rows: int
    groups: int
    detectable: float | None = None


@dataclass(frozen=True)
class PairedDifference:
    """How much higher one candidate scores than another on the same rows.

    Attributes:
        difference: Mean of the rows' differences; None without common rows.
        low, high: Bounds of its confidence interval; None with fewer than two groups.
        p_value: Two-sided, of no difference; None with fewer than two groups.
        rows: Pairs of scores.
        groups: Independent groups that these rows form.
        method: Test that gave `p_value`.
        minimum_detectable: Smallest true difference that such a set finds with 80 % power.
    """

    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    rows: int
    groups: int
    method: str
    minimum_detectable: float | None


def mean_interval(
    scores: Mapping[str, float],
    groups: Mapping[str, str],
    confidence: float = CONFIDENCE,
    kind: Kind | None = None,
) -> MeanEstimate:
    """Mean of `scores` with its confidence interval.

    Scores that are all 0 or 1 get Wilson's interval with the effective sample size (Dean and
    Pagano 2015), which stays inside 0 to 1 and has a width even when all rows agree; other scores
    get a t interval over the clustered standard error (Miller 2024, section 2.2).

    Args:
        scores: Score by row id.
        groups: Group by row id; a row without one is its own group.
        confidence: Such as 0.95.
        kind: What the scores are, where they do not show it.
    """
    clusters = _clusters(scores, groups)
    rows, count = len(scores), len(clusters)
    if not rows:
        return MeanEstimate(None, None, None, 0, 0)
    mean = math.fsum(scores.values()) / rows
    if count < 2:
        return MeanEstimate(mean, None, None, rows, count)
    error = _clustered_error(clusters, rows, mean)
    if (kind or kind_of(scores.values())) == "binary":
        low, high = _wilson(mean, rows, error, _t_quantile(confidence, count))
    else:
        margin = _t_quantile(confidence, count) * error
        low, high = mean - margin, mean + margin
    detectable = _detectable(math.sqrt(2) * error, count, confidence) if error > 0 else None
    return MeanEstimate(mean, low, high, rows, count, detectable)


def paired_difference(
    scores_a: Mapping[str, float],
    scores_b: Mapping[str, float],
    groups: Mapping[str, str],
    confidence: float = CONFIDENCE,
) -> PairedDifference:
    """Difference of two candidates (a minus b) on the rows that both have.

    The test follows the scores: McNemar's exact test where both are 0 or 1, Wilcoxon's signed-rank
    test where both are whole numbers, such as ratings, and the paired t test otherwise. Those two
    take rows as independent; where rows share groups it is the clustered paired t test (Miller
    2024, section 4) for all. The interval is that of the mean difference in every case: Bonett and
    Price's for independent 0/1 pairs, else the clustered t interval.

    Args:
        scores_a: Score by row id, the challenger's.
        scores_b: Score by row id, the baseline's.
        groups: Group by row id; a row without one is its own group.
        confidence: Such as 0.95.
    """
    common = sorted(scores_a.keys() & scores_b.keys())
    differences = {row: scores_a[row] - scores_b[row] for row in common}
    clusters = _clusters(differences, groups)
    rows, count = len(common), len(clusters)
    kind = kind_of([scores[row] for scores in (scores_a, scores_b) for row in common])
    method = _method(kind, independent=count == rows)
    if not rows:
        return PairedDifference(None, None, None, None, 0, 0, method, None)
    mean = math.fsum(differences.values()) / rows
    if count < 2:
        return PairedDifference(mean, None, None, None, rows, count, method, None)
    error = _clustered_error(clusters, rows, mean)
    quantile = _t_quantile(confidence, count)
    if method == "McNemar exact":
        low, high = _bonett_price(differences.values(), confidence)
        p_value = _mcnemar(differences.values())
    else:
        low, high = mean - quantile * error, mean + quantile * error
        wilcoxon = method == "Wilcoxon signed-rank"
        p_value = _wilcoxon(differences.values()) if wilcoxon else _t_test(mean, error, count)
    return PairedDifference(
        mean,
        low,
        high,
        p_value,
        rows,
        count,
        method,
        _detectable(error, count, confidence) if error > 0 else None,
    )


def bootstrap_interval(
    statistic: Callable[[Any], Any],
    counts: Mapping[str, Sequence[float]],
    confidence: float = CONFIDENCE,
) -> tuple[float, float] | None:
    """Interval of a figure of all rows together, by the percentile bootstrap over groups.

    For figures that are not means of rows, such as a macro F1. None with fewer than two groups.

    Args:
        statistic: From sums of counts (one row each: resamples x counts) to one figure each.
        counts: What the figure is computed from, by group.
        confidence: Such as 0.95.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; resampling
        whole clusters: Field and Welsh 2007, https://doi.org/10.1111/j.1467-9868.2007.00593.x.
    """
    import numpy as np

    if len(counts) < 2:
        return None
    low, high = np.quantile(
        _resampled(statistic, counts), [(1 - confidence) / 2, (1 + confidence) / 2]
    )
    return float(low), float(high)


def bootstrap_difference(
    statistic: Callable[[Any], Any],
    counts: Mapping[str, Sequence[float]],
    rows: int,
    confidence: float = CONFIDENCE,
) -> PairedDifference:
    """Difference of two candidates in a figure of all rows together, by the same bootstrap.

    The p value is the confidence at which the percentile interval would just reach zero.

    Args:
        statistic: From sums of counts (one row each: resamples x counts) to one difference each.
        counts: What the difference is computed from, of both candidates, by group.
        rows: Rows that both have.
        confidence: Such as 0.95.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, sections 13.3 and 15.4.
    """
    import numpy as np

    method = "paired bootstrap"
    if not counts:
        return PairedDifference(None, None, None, None, 0, 0, method, None)
    total = np.array([counts[group] for group in sorted(counts)], dtype=float).sum(axis=0)
    difference = float(statistic(total[None, :])[0])
    if len(counts) < 2:
        return PairedDifference(difference, None, None, None, rows, len(counts), method, None)
    found = _resampled(statistic, counts)
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    at_most, at_least = (np.sum(found <= 0) + 1, np.sum(found >= 0) + 1)
    error = float(np.std(found))
    return PairedDifference(
        difference,
        float(low),
        float(high),
        min(1.0, 2 * float(min(at_most, at_least)) / (len(found) + 1)),
        rows,
        len(counts),
        method,
        _detectable(error, len(counts), confidence) if error > 0 else None,
    )


def _resampled(statistic: Callable[[Any], Any], counts: Mapping[str, Sequence[float]]) -> Any:
    """The figure in each of many resamples of whole groups."""
    import numpy as np

    table = np.array([counts[group] for group in sorted(counts)], dtype=float)
    random = np.random.default_rng(0)  # the same rows always give the same interval
    drawn = random.multinomial(len(table), [1 / len(table)] * len(table), size=BOOTSTRAPS)
    return statistic(drawn @ table)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P values corrected for being many, by Holm's step-down method, in the order given.

    None stays None and does not count as a test. (Six lines, because statsmodels' `multipletests`
    takes seconds to import and collects garbage at every call.)

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure",
    https://www.jstor.org/stable/4615733.
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[index] = largest
    return adjusted


def kind_of(scores: Iterable[float]) -> Kind:
    """Whether scores are 0 or 1 (binary), whole numbers (ordinal) or anything (continuous)."""
    values = set(scores)
    if values <= {0, 1}:
        return "binary"
    return "ordinal" if all(float(value).is_integer() for value in values) else "continuous"


def _method(kind: Kind, *, independent: bool) -> str:
    if not independent:
        return "clustered paired t"
    return {
        "binary": "McNemar exact",
        "ordinal": "Wilcoxon signed-rank",
        "continuous": "paired t",
    }[kind]


def _clusters(values: Mapping[str, float], groups: Mapping[str, str]) -> list[list[float]]:
    """Values of rows that share a group, in any order."""
    found: dict[tuple[bool, str], list[float]] = defaultdict(list)
    for row, value in values.items():
        group = groups.get(row)
        found[group is None, row if group is None else group].append(value)
    return list(found.values())


def _clustered_error(clusters: list[list[float]], rows: int, mean: float) -> float:
    """Standard error of a mean over clusters, with the G / (G - 1) small-sample correction."""
    squares = math.fsum(math.fsum(value - mean for value in cluster) ** 2 for cluster in clusters)
    count = len(clusters)
    return math.sqrt(count / (count - 1) * squares) / rows


def _t_quantile(confidence: float, groups: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, groups - 1))


def _wilson(mean: float, rows: int, error: float, quantile: float) -> tuple[float, float]:
    """Wilson's interval, as if there were as many independent rows as `error` is worth."""
    variance = mean * (1 - mean)
    effective = min(rows, variance / error**2) if error > 0 else rows
    shift = quantile**2 / effective
    center = (mean + shift / 2) / (1 + shift)
    margin = quantile / (1 + shift) * math.sqrt(variance / effective + shift / (4 * effective))
    return max(0.0, center - margin), min(1.0, center + margin)


def _bonett_price(differences: Iterable[float], confidence: float) -> tuple[float, float]:
    from scipy.stats import norm

    values = list(differences)
    rows = len(values) + 2
    better = (sum(value > 0 for value in values) + 1) / rows
    worse = (sum(value < 0 for value in values) + 1) / rows
    mean = better - worse
    margin = float(norm.ppf((1 + confidence) / 2)) * math.sqrt((better + worse - mean**2) / rows)
    return max(-1.0, mean - margin), min(1.0, mean + margin)


def _mcnemar(differences: Iterable[float]) -> float:
    """Exact McNemar test: the discordant pairs are a fair coin's throws.

    Source: McNemar 1947, https://doi.org/10.1007/BF02295996.
    """
    from scipy.stats import binomtest

    discordant = [value for value in differences if value]
    if not discordant:
        return 1.0
    return float(binomtest(sum(value > 0 for value in discordant), len(discordant)).pvalue)


def _wilcoxon(differences: Iterable[float]) -> float:
    """Wilcoxon signed-rank test with Pratt's treatment of equal scores.

    Source: Pratt 1959, https://doi.org/10.1080/01621459.1959.10501526.
    """
    from scipy.stats import wilcoxon

    values = list(differences)
    return float(wilcoxon(values, zero_method="pratt").pvalue) if any(values) else 1.0


def _t_test(mean: float, error: float, groups: int) -> float:
    from scipy.stats import t

    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * t.sf(abs(mean) / error, groups - 1))


def _detectable(error: float, groups: int, confidence: float) -> float:
    """Smallest difference found with `POWER`, after Miller 2024, section 5."""
    from scipy.stats import t

    return error * (_t_quantile(confidence, groups) + float(t.ppf(POWER, groups - 1)))
