"""Candidates on the same rows: who leads, by how much, and what the differences are worth.

A comparison is a function of its reports alone: the same reports give the same comparison, with the
same id, however often and wherever it is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from genaiops_dagster.comparison.differences import pairwise_differences, slice_differences
from genaiops_dagster.evaluation.scoring.summary import row_figures
from genaiops_dagster.evaluation.suite_report import report_suite
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.evaluation import (
    ChampionEvaluation,
    EvaluationReport,
    RowResult,
    SuiteReport,
)
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.candidates import Candidate
from genaiops_dagster.use_case.gate import Gate, SlicesRule
from genaiops_dagster.use_case.section import CHAMPION

VERSION = 1
"""Raised when the same reports would give another comparison than before."""


class IncomparableError(ValueError):
    """Reports that say nothing about each other; the message names what differs and the remedy."""


def compare(
    use_case: UseCase,
    reports: Sequence[EvaluationReport],
    champion: ChampionEvaluation,
    rows: Mapping[str, Sequence[RowResult]],
) -> Comparison:
    """Compare candidates that answered the same rows.

    A champion that is one of the candidates has that candidate's name: it is not compared
    with itself.

    Args:
        use_case: Whose metrics, challenger and confidence are meant.
        reports: One for each candidate.
        champion: Report of what production serves, if it serves.
        rows: Every evaluation row, by the candidate of its report.

    Raises:
        IncomparableError: a report is missing or doubled, or reports differ in evaluation set,
            prompt or judge, or a report's rows are not those that it summarizes.
    """
    given = [*reports, *([champion.report] if champion.report else [])]
    _require_comparable(use_case, given, rows)
    name = _champion_name(reports, champion.report, rows)
    board = leaderboard(given if name == CHAMPION else reports, use_case.evaluation.primary_metric)
    challenger, confidence = use_case.gate.challenger, use_case.gate.confidence
    answers = {report.candidate: rows[report.candidate] for report in board}
    challenger_first = dict(sorted(answers.items(), key=lambda item: item[0] != challenger))
    return Comparison(
        id=comparison_id(use_case, board),
        use_case=use_case.name,
        primary_metric=use_case.evaluation.primary_metric,
        confidence=confidence,
        evaluation_digest=reports[0].evaluation_digest,
        prompt_digest=_by_prompt(use_case.candidates, reports)[0][0].prompt_digest,
        judge_digest=reports[0].judge_digest,
        leaderboard=board,
        differences=list(
            pairwise_differences(challenger_first, use_case.evaluation.metric_names(), confidence)
        ),
        slice_differences=[
            difference
            for metric, name in _slices_in_rules(use_case.gate)
            for difference in slice_differences(answers, challenger, metric, name, confidence)
        ],
        pareto=pareto(board, use_case.evaluation.primary_metric),
        champion=name,
        champion_number=champion.number,
        created=max(report.created for report in board),
    )


def comparison_id(use_case: UseCase, reports: Iterable[EvaluationReport]) -> str:
    """sha256 over all that decides a comparison, the reports' figures included."""
    return fingerprint(
        VERSION,
        use_case.name,
        use_case.evaluation.primary_metric,
        use_case.evaluation.metric_names(),
        use_case.gate.challenger,
        use_case.gate.confidence,
        _slices_in_rules(use_case.gate),
        sorted((report.candidate, fingerprint(report)) for report in reports),
    )


def leaderboard(reports: Iterable[EvaluationReport], metric: str) -> list[EvaluationReport]:
    """Reports, best mean of `metric` first; the cheaper first on a tie, those without it last."""

    def order(report: EvaluationReport) -> tuple[bool, float, float, str]:
        mean = report.mean(metric)
        cost = float("inf") if report.cost_usd is None else report.cost_usd
        return mean is None, -(mean or 0.0), cost, report.candidate

    return sorted(reports, key=order)


def pareto(reports: Sequence[EvaluationReport], metric: str) -> list[str]:
    """Candidates that no other equals or beats in quality, cost and latency and beats in one.

    Candidates with one of the three unknown are left out; they neither win nor are beaten.
    """
    points = {
        report.candidate: (mean, -report.cost_usd, -report.latency_p50_seconds)
        for report in reports
        if (mean := report.mean(metric)) is not None
        and report.cost_usd is not None
        and report.latency_p50_seconds is not None
    }
    return [
        name
        for name, point in points.items()
        if not any(
            other != point
            and all(theirs >= ours for theirs, ours in zip(other, point, strict=True))
            for other in points.values()
        )
    ]


def _champion_name(
    reports: Iterable[EvaluationReport],
    champion: EvaluationReport | None,
    rows: Mapping[str, Sequence[RowResult]],
) -> str | None:
    """Name of the candidate that gave the champion's very answers, as the same model would."""
    if champion is None:
        return None

    def answers(report: EvaluationReport) -> list[tuple[str, str | None, dict[str, float | None]]]:
        return [(row.id, row.answer, row.scores) for row in rows[report.candidate]]

    served = answers(champion)
    return next(
        (r.candidate for r in reports if r.model == champion.model and answers(r) == served),
        CHAMPION,
    )


def _require_comparable(
    use_case: UseCase,
    reports: Sequence[EvaluationReport],
    rows: Mapping[str, Sequence[RowResult]],
) -> None:
    names = [report.candidate for report in reports]
    missing = use_case.candidates.keys() - set(names)
    if missing:
        raise IncomparableError(
            f"{use_case.name}: no report of {', '.join(sorted(missing))}; "
            "materialize evaluation_report/<candidate> first"
        )
    if len(set(names)) < len(names):
        raise IncomparableError(f"{use_case.name}: more than one report of a candidate: {names}")
    for field, noun in (
        ("use_case", "use case"),
        ("evaluation_digest", "evaluation set"),
        ("judge_digest", "judge"),
    ):
        _require_same(use_case.name, reports, field, noun)
    for group in _by_prompt(use_case.candidates, reports):
        _require_same(use_case.name, group, "prompt_digest", "prompt")
    for report in reports:
        found = len(rows.get(report.candidate, ()))
        if found != report.rows:
            raise IncomparableError(
                f"{report.rows_uri}: found {found} rows of {report.candidate}, its report says "
                f"{report.rows}; materialize evaluation_report/{report.candidate} again"
            )
        _require_figures_of_rows(report, rows[report.candidate])


def _require_figures_of_rows(report: EvaluationReport, rows: Sequence[RowResult]) -> None:
    """A report that was edited by hand, or lost its rows to another one, is not evidence.

    Every figure is computed again: those of the rows, and those of the suites from their cases.
    Only the price is not, which published prices decided on the day of the report.
    """
    metrics = list(report.metrics)
    suites = {name: _again(suite) for name, suite in report.suites.items()}
    again = report.model_copy(update=row_figures(rows, metrics) | {"suites": suites})
    wrong = [
        name for name in type(report).model_fields if getattr(again, name) != getattr(report, name)
    ]
    wrong_metrics = [n for n in metrics if again.metrics[n] != report.metrics[n]]
    if wrong:
        named = [*wrong_metrics, *(name for name in wrong if name != "metrics")]
        raise IncomparableError(
            f"{report.summary_uri}: {', '.join(named)} of {report.candidate} are not those of its "
            f"rows in {report.rows_uri}; one of the two was changed, evaluate again"
        )


def _again(suite: SuiteReport) -> SuiteReport:
    """A suite's summary, from its cases; what its base model answered is not kept case by case."""
    own = report_suite(suite.cases)
    return suite.model_copy(
        update={"passed": own.passed, "blocked": own.blocked, "refused": own.refused}
    )


def _require_same(
    use_case: str, reports: Sequence[EvaluationReport], field: str, noun: str
) -> None:
    values = {report.candidate: str(getattr(report, field)) for report in reports}
    if len(set(values.values())) > 1:
        shown = ", ".join(f"{name}: {value[:12] or 'none'}" for name, value in values.items())
        raise IncomparableError(
            f"{use_case}: reports were made with different {noun}s ({shown}); "
            "materialize the evaluation reports of all candidates again"
        )


def _by_prompt(
    candidates: Mapping[str, Candidate], reports: Iterable[EvaluationReport]
) -> list[list[EvaluationReport]]:
    """Reports of candidates with the same prompt, the use case's own prompt first.

    The champion is with none of them: it answers as it serves, with the prompt that it has.
    """
    groups: dict[str, list[EvaluationReport]] = {"": []}
    for report in reports:
        if report.candidate != CHAMPION:
            variant = candidates[report.candidate].prompt
            groups.setdefault(variant or "", []).append(report)
    return [group for group in groups.values() if group]


def _slices_in_rules(gate: Gate) -> list[tuple[str, str]]:
    """Metric and slice of each rule about slices, each pair once."""
    rules = [rule for rule in gate.rules if isinstance(rule, SlicesRule)]
    return sorted({(rule.metric, rule.slice) for rule in rules})
