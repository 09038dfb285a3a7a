"""The page of a report: tables and a chart, with figures and ids.

Texts are shown only where the use case says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from genaiops_dagster.evaluation.report import ROW_COLUMNS
from genaiops_dagster.evaluation.scoring.summary import worst_rows
from genaiops_dagster.orchestration.metadata import column_schema, markdown_table, png_image
from genaiops_dagster.records.evaluation import (
    Classification,
    EvaluationReport,
    JudgeQuality,
    MetricSummary,
    RowResult,
    SuiteReport,
)
from genaiops_dagster.use_case.evaluation import Evaluation

_PARAMETERS = (
    *("use_case", "candidate", "model", "model_version"),
    *("evaluation_digest", "prompt_digest", "judge_digest", "fingerprint"),
)

_MOST_CLASSES = 30
"""A larger confusion matrix is not shown; it is in the summary."""


def report_metadata(
    report: EvaluationReport, rows: Sequence[RowResult], evaluation: Evaluation
) -> dict[str, Any]:
    """Metadata of a report's asset."""
    primary = evaluation.primary_metric
    metadata: dict[str, Any] = {
        "dagster/uri": report.rows_uri,
        "dagster/row_count": report.rows,
        "dagster/column_schema": column_schema(ROW_COLUMNS),
        "summary": report.summary_uri,
        "model": report.model,
        "answered by": report.model_version or "nobody",
        "emulated": report.emulated,
        "fingerprint": report.fingerprint,
        "metrics": metric_table(report.metrics),
        "chart": png_image(chart(report.metrics), "Metrics"),
        "rows": markdown_table(["ended as", "rows"], report.states.items()),
        "worst rows": _worst(rows, primary, show_texts=evaluation.show_texts),
        "tokens": markdown_table(["in", "out"], [[report.input_tokens, report.output_tokens]]),
        "latency": markdown_table(
            ["median (s)", "95 % (s)"], [[report.latency_p50_seconds, report.latency_p95_seconds]]
        ),
    }
    if report.cost_usd is not None:
        metadata["cost (USD)"] = report.cost_usd
    if report.done_with_less:
        metadata["done with less"] = "; ".join(report.done_with_less)
    if report.judging:
        metadata["judge"] = judge_table(report.judging)
    if report.classification:
        metadata["classes"] = _class_table(report.classification)
        if len(report.classification.classes) <= _MOST_CLASSES:
            metadata["confusion"] = confusion_table(report.classification)
    if report.suites:
        metadata["suites"] = suite_table(report.suites)
    for name, values in report.slices.items():
        metadata[f"by {name}"] = _slice_table(name, values, primary)
    return metadata


def experiment_run(
    report: EvaluationReport,
) -> tuple[dict[str, str | int | float], dict[str, float]]:
    """Parameters and metrics of a report as a run of an experiment."""
    parameters: dict[str, str | int | float] = {name: getattr(report, name) for name in _PARAMETERS}
    parameters["emulated"] = str(report.emulated).lower()
    metrics = {name: m.mean for name, m in report.metrics.items() if m.mean is not None}
    metrics |= {"rows": report.rows, "answered": report.states["answered"]}
    if report.cost_usd is not None:
        metrics["cost_usd"] = report.cost_usd
    return parameters, metrics


def metric_table(metrics: Mapping[str, MetricSummary]) -> dg.MetadataValue:
    """Mean of each metric with its 95 % interval, and the difference that its rows could show."""
    return markdown_table(
        ["metric", "mean", "low", "high", "detectable difference", "rows", "errors"],
        (
            [name, s.mean, s.low, s.high, s.detectable, s.rows, s.errors]
            for name, s in metrics.items()
        ),
    )


def judge_table(judging: Mapping[str, JudgeQuality]) -> dg.MetadataValue:
    """How the judge did in each metric."""
    return markdown_table(
        ["metric", "ratings", "errors", "same when repeated", "spread when repeated"],
        ([n, q.ratings, q.errors, q.self_agreement, q.spread] for n, q in judging.items()),
    )


def _class_table(classification: Classification) -> dg.MetadataValue:
    return markdown_table(
        ["class", "precision", "recall", "F1", "rows"],
        ([n, q.precision, q.recall, q.f1, q.rows] for n, q in classification.classes.items()),
    )


def confusion_table(classification: Classification) -> dg.MetadataValue:
    """Rows by expected class (down) and answered class (across); a dash means no rows."""
    answered = sorted({name for found in classification.confusion.values() for name in found})
    return markdown_table(
        ["expected", *answered],
        (
            [name, *(found.get(other) for other in answered)]
            for name, found in classification.confusion.items()
        ),
    )


def suite_table(suites: Mapping[str, SuiteReport]) -> dg.MetadataValue:
    """Share of cases passed, next to the base model where a model was tuned."""
    return markdown_table(
        [
            *("suite", "passed", "low", "high", "cases", "blocked", "refused"),
            *("base model", "base passed", "base blocked", "base refused", "p value"),
        ],
        (
            [
                *(name, s.passed.mean, s.passed.low, s.passed.high, len(s.cases)),
                *(s.blocked, s.refused, s.base_model),
                *(s.base_passed.mean if s.base_passed else None, s.base_blocked, s.base_refused),
                s.p_value,
            ]
            for name, s in suites.items()
        ),
    )


def _slice_table(
    name: str, values: Mapping[str, Mapping[str, MetricSummary]], metric: str
) -> dg.MetadataValue:
    found = {value: metrics[metric] for value, metrics in values.items()}
    return markdown_table(
        [name, "rows", metric, "low", "high"],
        ([value, s.rows, s.mean, s.low, s.high] for value, s in found.items()),
    )


def _worst(rows: Sequence[RowResult], metric: str, *, show_texts: bool) -> dg.MetadataValue:
    headers = ["id", "ended as", "reason", metric]
    return markdown_table(
        [*headers, "expected", "answer"] if show_texts else headers,
        (
            [
                *(row.id, row.state, row.reason, row.scores.get(metric)),
                *((_cell(row.reference), _cell(row.answer)) if show_texts else ()),
            ]
            for row in worst_rows(rows, metric)
        ),
    )


def _cell(text: str | None) -> str:
    """The beginning of a text, as it fits into a table."""
    return " ".join((text or "").split())[:200]


def chart(metrics: Mapping[str, MetricSummary]) -> bytes:
    """Means with their intervals; a PNG."""
    import altair as alt
    import vl_convert

    rows = [
        {"metric": name, "mean": s.mean, "low": s.low, "high": s.high}
        for name, s in metrics.items()
        if s.mean is not None
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(y=alt.Y("metric:N", title=None))
    low = alt.X("low:Q", title="mean with 95 % interval")
    bars = base.mark_rule(strokeWidth=2).encode(x=low, x2="high:Q")
    points = base.mark_point(filled=True, size=70).encode(x="mean:Q")
    figure = (bars + points).properties(width=420)
    return vl_convert.vegalite_to_png(figure.to_json(), scale=2)
