"""A comparison as tables that people read: headers and rows, for Dagster's pages and the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genaiops_dagster.records.comparison import Comparison, Difference
from genaiops_dagster.records.evaluation import EvaluationReport, MetricSummary, RowResult
from genaiops_dagster.use_case.section import CHAMPION

_CHANCE = 0.05
"""Largest p value that counts as more than chance."""

_LOSSES = 10


@dataclass(frozen=True)
class Sheet:
    """A table: what its columns are called, and its rows; a cell without a value is None."""

    headers: list[str]
    rows: list[list[Any]]

    def of(self, *headers: str) -> Sheet:
        """The same table with these columns alone."""
        columns = [self.headers.index(header) for header in headers]
        return Sheet([*headers], [[row[column] for column in columns] for row in self.rows])


@dataclass(frozen=True)
class RowChange:
    """A row that two candidates answered differently well."""

    id: str
    score: float
    baseline_score: float

    @property
    def gain(self) -> float:
        """How much higher the challenger scores."""
        return self.score - self.baseline_score


def leaderboard_sheet(comparison: Comparison, metrics: Iterable[str] = ()) -> Sheet:
    """Candidates, best first, with an interval for each mean.

    The primary metric and the cost lead, for pages that have room for no more.
    """
    primary = comparison.primary_metric
    metrics = [metric for metric in metrics if metric != primary]
    return Sheet(
        ["#", "candidate", primary, "cost, USD", "latency p50, s", "answered", *metrics],
        [
            [
                rank,
                _display_name(comparison, report.candidate),
                _interval(report.metrics.get(primary)),
                report.cost_usd,
                report.latency_p50_seconds,
                f"{report.states.get('answered', 0)} of {report.rows}",
                *(_interval(report.metrics.get(metric)) for metric in metrics),
            ]
            for rank, report in enumerate(comparison.leaderboard, start=1)
        ],
    )


def means_sheet(comparison: Comparison, metrics: Iterable[str]) -> Sheet:
    """Means of all candidates, a line for each metric."""
    board = comparison.leaderboard
    return Sheet(
        ["metric", *(report.candidate for report in board)],
        [[metric, *(report.mean(metric) for report in board)] for metric in metrics],
    )


def differences_sheet(differences: Iterable[Difference]) -> Sheet:
    """Differences from the challenger's side; p values are Holm's, for all pairs of a metric."""
    return Sheet(
        ["metric", "against", "difference", "p (Holm)", "wins", "losses", "test"],
        [
            [
                d.metric,
                d.baseline,
                _with_bounds(d.difference, d.low, d.high),
                d.p_adjusted,
                d.wins,
                d.losses,
                d.method,
            ]
            for d in differences
        ],
    )


def significance_sheet(comparison: Comparison, metric: str) -> Sheet:
    """Every candidate against every other: the difference (row minus column) and what it is worth.

    `**` and `*` mark p values of at most 0.01 and 0.05 after Holm's correction for all pairs.
    """
    names = [report.candidate for report in comparison.leaderboard]
    return Sheet(
        ["row minus column", *names],
        [[ours, *(_cell(comparison, metric, ours, theirs) for theirs in names)] for ours in names],
    )


def better_than_sheet(comparison: Comparison, metric: str) -> Sheet:
    """The candidates that each candidate beats, and those that beat it, beyond chance.

    That is with a p value of at most 0.05 after Holm's correction for all pairs.
    """
    names = [report.candidate for report in comparison.leaderboard]
    beaten: dict[str, list[str]] = {
        ours: [
            theirs
            for theirs in names
            if theirs != ours
            and (found := comparison.difference(metric, ours, theirs))
            and found.p_adjusted is not None
            and found.p_adjusted <= _CHANCE
            and (found.difference or 0.0) > 0
        ]
        for ours in names
    }
    return Sheet(
        ["candidate", "beats", "is beaten by"],
        [
            [name, _listed(beaten[name]), _listed([n for n in names if name in beaten[n]])]
            for name in names
        ],
    )


def cost_sheet(comparison: Comparison) -> Sheet:
    """The cost and latency of each candidate's answers."""
    return Sheet(
        [
            "candidate",
            "tokens in",
            "tokens out",
            "cost, USD",
            "USD for 1000 rows",
            "latency p95, s",
        ],
        [
            [
                report.candidate,
                report.input_tokens,
                report.output_tokens,
                report.cost_usd,
                _per_thousand(report),
                report.latency_p95_seconds,
            ]
            for report in comparison.leaderboard
        ],
    )


def changed_rows(
    ours: Iterable[RowResult], theirs: Iterable[RowResult], metric: str
) -> list[RowChange]:
    """Rows on which two candidates score differently, the challenger's worst losses first."""
    baseline = {row.id: score for row in theirs if (score := row.scores.get(metric)) is not None}
    changes = [
        RowChange(row.id, score, baseline[row.id])
        for row in ours
        if row.id in baseline and (score := row.scores.get(metric)) is not None
    ]
    return sorted((c for c in changes if c.gain), key=lambda change: (change.gain, change.id))


def opponent(comparison: Comparison, challenger: str) -> str | None:
    """The candidate that the challenger is to replace: the champion, or else the best other one."""
    names = [
        report.candidate for report in comparison.leaderboard if report.candidate != challenger
    ]
    return comparison.champion if comparison.champion in names else next(iter(names), None)


def _display_name(comparison: Comparison, candidate: str) -> str:
    """A candidate's name, marked where it is the champion."""
    is_champion = candidate == comparison.champion and candidate != CHAMPION
    return f"{candidate} (champion)" if is_champion else candidate


def _interval(summary: MetricSummary | None) -> str | None:
    """A mean with its interval."""
    return _with_bounds(summary.mean, summary.low, summary.high) if summary else None


def _with_bounds(figure: float | None, low: float | None, high: float | None) -> str | None:
    if figure is None or low is None or high is None:
        return None if figure is None else f"{figure:.3g}"
    return f"{figure:.3g} ({low:.3g} to {high:.3g})"


def _cell(comparison: Comparison, metric: str, ours: str, theirs: str) -> str | None:
    found = None if ours == theirs else comparison.difference(metric, ours, theirs)
    if found is None or found.difference is None:
        return None
    p = found.p_adjusted
    mark = "" if p is None or p > _CHANCE else " **" if p <= 0.01 else " *"
    return f"{found.difference:+.3f}{mark}"


def _listed(names: Sequence[str]) -> str | None:
    return ", ".join(names) or None


def _per_thousand(report: EvaluationReport) -> float | None:
    if report.cost_usd is None or not report.rows:
        return None
    return 1000 * report.cost_usd / report.rows


def losses_sheet(
    comparison: Comparison,
    rows: Mapping[str, Sequence[RowResult]],
    challenger: str,
    metric: str,
) -> Sheet | None:
    """Rows on which the challenger lost most to its opponent; None without an opponent."""
    against = opponent(comparison, challenger)
    if against is None or challenger not in rows:
        return None
    changes = [c for c in changed_rows(rows[challenger], rows[against], metric) if c.gain < 0]
    return Sheet(
        [challenger, against, "row"],
        [[change.score, change.baseline_score, change.id] for change in changes[:_LOSSES]],
    )
