"""Statistics agree with reference values computed by other means, and intervals cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from genaiops_dagster.evaluation.scoring.statistics import (
    bootstrap_difference,
    bootstrap_interval,
    holm,
    mean_interval,
    paired_difference,
)
from tests.values import present


def by_id(values: Any) -> Any:
    return {f"r{index:05}": float(value) for index, value in enumerate(values)}


def test_interval_of_independent_scores_is_the_t_interval() -> None:
    values = np.random.default_rng(1).normal(0.4, 0.2, 40)
    found = mean_interval(by_id(values), {})
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_clustered_error_is_that_of_a_regression_on_a_constant() -> None:
    import statsmodels.api as sm

    random = np.random.default_rng(2)
    clusters = np.repeat(np.arange(12), random.integers(1, 7, 12))
    values = random.normal(size=12)[clusters] + random.normal(0, 0.3, len(clusters))
    fit = sm.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": True}, use_t=True
    )
    n = len(values)  # statsmodels also corrects by (n - 1) / (n - k), which is 1 for a constant
    low, high = fit.conf_int()[0]
    groups = {row: f"g{g}" for row, g in zip(by_id(values), clusters, strict=True)}
    found = mean_interval(by_id(values), groups)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.rows, found.groups) == (n, 12)


def test_perfect_score_of_binary_rows_still_has_a_width() -> None:
    found = mean_interval(by_id([1] * 50), {})
    assert found.high == pytest.approx(1.0)
    assert 0.9 < present(found.low) < 0.95


def test_binary_interval_is_wilsons() -> None:
    values = [1] * 700 + [0] * 300
    found = mean_interval(by_id(values), {})
    expected = proportion_confint(700, 1000, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected, abs=3e-4)  # t against normal


@pytest.mark.parametrize("values", [[], [1.0]])
def test_too_few_rows_give_no_interval(values: Any) -> None:
    found = mean_interval(by_id(values), {})
    assert found.low is None
    assert found.high is None
    pair = paired_difference(by_id(values), by_id(values), {})
    assert (pair.low, pair.high, pair.p_value) == (None, None, None)


def test_rows_of_one_group_give_no_interval() -> None:
    scores = by_id([0.1, 0.5, 0.9])
    found = mean_interval(scores, dict.fromkeys(scores, "one"))
    assert (found.mean, found.low, found.groups) == (pytest.approx(0.5), None, 1)  # type: ignore[comparison-overlap]


def test_binary_pairs_get_mcnemars_exact_test() -> None:
    a = by_id([1] * 40 + [1] * 12 + [0] * 3 + [0] * 20)
    b = by_id([1] * 40 + [0] * 12 + [1] * 3 + [0] * 20)
    found = paired_difference(a, b, {})
    assert found.method == "McNemar exact"
    assert found.p_value == pytest.approx(mcnemar([[40, 12], [3, 20]], exact=True).pvalue)
    assert found.difference == pytest.approx(9 / 75)
    # Bonett and Price, by hand: (13 - 4) / 77 +- 1.96 sqrt((17 / 77 - (9 / 77)^2) / 77)
    assert (found.low, found.high) == pytest.approx((0.0152, 0.2186), abs=1e-3)


def test_ratings_get_wilcoxon_and_reals_the_paired_t_test() -> None:
    random = np.random.default_rng(3)
    a, b = random.integers(1, 6, 30), random.integers(1, 6, 30)
    found = paired_difference(by_id(a), by_id(b), {})
    assert found.method == "Wilcoxon signed-rank"
    expected = stats.wilcoxon(a - b, zero_method="pratt").pvalue
    assert found.p_value == pytest.approx(expected)
    x, y = random.normal(size=30), random.normal(size=30)
    found = paired_difference(by_id(x), by_id(y), {})
    expected = stats.ttest_rel(x, y)
    assert found.method == "paired t"
    assert found.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_pairs_that_share_groups_get_the_clustered_t_test() -> None:
    a, b = by_id([1, 1, 1, 0, 1, 1]), by_id([0, 0, 1, 0, 0, 1])
    groups = {row: f"g{index // 2}" for index, row in enumerate(a)}
    found = paired_difference(a, b, groups)
    assert (found.method, found.groups) == ("clustered paired t", 3)
    sums = np.array([2, 0, 1]) - 1  # of each group's differences, less its share of the mean
    error = np.sqrt(3 / 2 * np.sum(sums**2)) / 6
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.5 / error, 2))


def test_pairs_of_one_group_give_no_interval() -> None:
    a, b = by_id([0.1, 0.5, 0.9]), by_id([0.2, 0.3, 0.7])
    found = paired_difference(a, b, dict.fromkeys(a, "one"))
    assert found.difference == pytest.approx(0.1)
    assert (found.rows, found.groups) == (3, 1)
    assert (found.low, found.high, found.p_value) == (None, None, None)
    assert found.minimum_detectable is None


@pytest.mark.parametrize("rows", range(2, 60))
def test_bounds_of_shares_are_shares(rows: int) -> None:
    ones, zeros = by_id([1] * rows), by_id([0] * rows)
    assert present(mean_interval(ones, {}).high) <= 1
    assert present(mean_interval(zeros, {}).low) >= 0
    better = paired_difference(ones, zeros, {})
    assert present(better.high) <= 1
    worse = paired_difference(zeros, ones, {})
    assert present(worse.low) >= -1


@pytest.mark.parametrize("scores", [[1, 0, 1, 1], [5, 3, 4, 1], [0.2, 0.4, 0.9, 0.1]])
def test_the_same_answers_differ_by_nothing_in_every_test(scores: list[float]) -> None:
    found = paired_difference(by_id(scores), by_id(scores), {})
    assert (found.difference, found.p_value) == (0.0, 1.0)


def test_a_difference_that_all_rows_share_is_certain() -> None:
    found = paired_difference(by_id([0.75, 0.5, 1.0]), by_id([0.5, 0.25, 0.75]), {})
    assert (found.low, found.high, found.p_value) == (0.25, 0.25, 0.0)


def test_a_mean_tells_what_difference_to_another_such_candidate_it_would_find() -> None:
    values = np.random.default_rng(10).normal(size=50)
    error = np.sqrt(2) * stats.sem(values)
    expected = error * (stats.t.ppf(0.975, 49) + stats.t.ppf(0.8, 49))
    assert mean_interval(by_id(values), {}).detectable == pytest.approx(expected)


def test_only_common_rows_are_compared() -> None:
    found = paired_difference({"a": 1.0, "b": 0.0, "c": 1.0}, {"b": 1.0, "c": 1.0, "d": 0.0}, {})
    assert found.rows == 2
    assert found.difference == pytest.approx(-0.5)


def test_minimum_detectable_difference_is_found_with_the_power_it_promises() -> None:
    random = np.random.default_rng(4)
    detectable = paired_difference(by_id(random.normal(size=200)), by_id([0.5] * 200), {})
    truth = present(detectable.minimum_detectable)
    found = 0
    for _ in range(400):
        sample = random.normal(truth, 1, 200)
        found += stats.ttest_1samp(sample, 0).pvalue < 0.05
    assert 0.72 < found / 400 < 0.88


def test_holm_by_hand() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == [
        pytest.approx(0.03),
        None,
        pytest.approx(0.06),
        pytest.approx(0.06),
    ]
    assert holm([None]) == [None]
    assert holm([]) == []


def test_holm_is_that_of_statsmodels() -> None:
    for seed in range(20):
        p_values = np.random.default_rng(seed).beta(0.5, 3, 1 + seed).tolist()
        assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


@pytest.mark.parametrize("kind", ["binary", "binary in groups", "skewed", "in groups"])
def test_95_percent_intervals_of_means_cover_95_percent(kind: str) -> None:
    random = np.random.default_rng(5)
    rows, trials, covered = 120, 1000, 0
    ids = [f"r{index}" for index in range(rows)]
    grouped = "groups" in kind
    groups = {row: f"g{index // 3}" for index, row in enumerate(ids)} if grouped else {}
    for _ in range(trials):
        shared = np.repeat(random.beta(2, 1, rows // 3), 3)
        if kind == "binary":
            values, truth = random.random(rows) < 0.85, 0.85
        elif kind == "binary in groups":
            values, truth = random.random(rows) < shared, 2 / 3
        elif kind == "skewed":
            values, truth = random.beta(0.5, 2, rows), 0.2  # type: ignore[assignment]
        else:
            values, truth = shared * random.beta(4, 1, rows), 2 / 3 * 4 / 5  # type: ignore[assignment]
        found = mean_interval(dict(zip(ids, map(float, values), strict=True)), groups)
        covered += present(found.low) <= truth <= present(found.high)
    assert 0.93 <= covered / trials <= 0.97


@pytest.mark.parametrize("kind", ["binary", "ratings", "in groups", "binary in groups"])
def test_95_percent_intervals_of_differences_cover_95_percent(kind: str) -> None:
    random = np.random.default_rng(6)
    rows, trials, covered = 120, 800, 0
    ids = [f"r{index}" for index in range(rows)]
    groups = {row: f"g{index // 3}" for index, row in enumerate(ids)} if "in groups" in kind else {}
    for _ in range(trials):
        if kind == "binary":
            u = random.random(rows)
            a, b = u < 0.8, (u < 0.7) ^ (random.random(rows) < 0.05)
            truth = 0.8 - (0.7 + 0.05 * (1 - 2 * 0.7))
        elif kind == "ratings":
            b = random.integers(1, 5, rows)  # type: ignore[assignment]
            a, truth = b + (random.random(rows) < 0.3), 0.3
        elif kind == "binary in groups":
            shared = np.repeat(random.random(rows // 3), 3)
            a, b = random.random(rows) < np.sqrt(shared), random.random(rows) < shared
            truth = 2 / 3 - 1 / 2
        else:
            b = random.random(rows)  # type: ignore[assignment]
            a, truth = b + np.repeat(random.normal(0.1, 0.3, rows // 3), 3), 0.1
        found = paired_difference(
            dict(zip(ids, map(float, a), strict=True)),
            dict(zip(ids, map(float, b), strict=True)),
            groups,
        )
        covered += present(found.low) <= truth <= present(found.high)
    assert 0.93 <= covered / trials <= 0.97


def ratio(sums: Any) -> Any:
    return sums[:, 0] / sums[:, 1]


def test_bootstrap_interval_is_that_of_scipy() -> None:
    random = np.random.default_rng(7)
    numerator, denominator = random.gamma(2, 1, 80), random.gamma(3, 1, 80)
    counts = {f"g{n}": pair for n, pair in enumerate(zip(numerator, denominator, strict=True))}
    expected = stats.bootstrap(
        (numerator, denominator),
        lambda x, y, axis: x.sum(axis=axis) / y.sum(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=20_000,
        rng=random,
    ).confidence_interval
    width = expected.high - expected.low
    assert bootstrap_interval(ratio, counts) == pytest.approx(tuple(expected), abs=0.08 * width)
    assert bootstrap_interval(ratio, {"one": (1.0, 2.0)}) is None


def test_the_same_rows_always_give_the_same_bootstrap() -> None:
    random = np.random.default_rng(11)
    counts = {f"g{n}": (value, 1.0) for n, value in enumerate(random.normal(size=30))}
    assert bootstrap_interval(ratio, counts) == bootstrap_interval(ratio, counts)
    assert bootstrap_difference(ratio, counts, 30) == bootstrap_difference(ratio, counts, 30)


def test_bootstrap_of_a_mean_difference_agrees_with_the_paired_t_test() -> None:
    random = np.random.default_rng(8)
    for shift in (0.0, 0.2, 0.6):
        differences = random.normal(shift, 1, 150)
        counts = {f"g{n}": (value, 1.0) for n, value in enumerate(differences)}
        found = bootstrap_difference(ratio, counts, rows=150)
        expected = stats.ttest_1samp(differences, 0)
        interval = expected.confidence_interval(0.95)
        assert found.difference == pytest.approx(differences.mean())
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.04)
        assert found.p_value == pytest.approx(expected.pvalue, abs=0.07)


def test_95_percent_bootstrap_intervals_cover_95_percent() -> None:
    random, trials, covered = np.random.default_rng(9), 400, 0
    for _ in range(trials):
        shared = random.beta(4, 2, 100)
        hits = random.binomial(3, shared)
        counts = {f"g{n}": (float(found), 3.0) for n, found in enumerate(hits)}
        low, high = present(bootstrap_interval(ratio, counts))
        covered += low <= 2 / 3 <= high
    assert 0.93 <= covered / trials <= 0.97
