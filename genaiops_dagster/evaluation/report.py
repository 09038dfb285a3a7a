"""Reports: made from scored rows, kept as a summary in JSON and rows in Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genaiops_dagster.budget.pricing import PriceList, is_tuned, token_cost
from genaiops_dagster.evaluation.judging.judge import judge_digest
from genaiops_dagster.evaluation.scoring.classification import classify
from genaiops_dagster.evaluation.scoring.metrics import CLASS_METRICS
from genaiops_dagster.evaluation.scoring.summary import (
    count_states,
    judge_quality,
    latency_percentiles,
    summarize_all,
    summarize_slices,
)
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.evaluation import EvaluationReport, RowResult, SuiteReport
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import find_object, from_row, to_json

if TYPE_CHECKING:
    import pyarrow as pa


def find_report(store: ObjectStore, use_case: str, fingerprint: str) -> EvaluationReport | None:
    """The stored report with this fingerprint, or None."""
    return find_object(store, Layout(use_case).report(fingerprint), EvaluationReport)


def is_complete(report: EvaluationReport) -> bool:
    """Whether there is nothing in a report that another try could mend."""
    unsure = [*report.metrics.values(), *(suite.passed for suite in report.suites.values())]
    return not report.states["failed"] and not any(summary.errors for summary in unsure)


def build_report(
    task: EvaluationTask,
    rows: Sequence[RowResult],
    suites: dict[str, SuiteReport],
    store: ObjectStore,
    prices: PriceList,
    created: str,
) -> EvaluationReport:
    """Summary of an evaluation's rows, `created` as ISO 8601."""
    evaluation = task.evaluation
    metrics, judge = evaluation.metric_names(), evaluation.judge
    versions = sorted({row.model_version for row in rows if row.model_version})
    median, slow = latency_percentiles(rows)
    layout = Layout(task.use_case)
    has_classes = any(metric in CLASS_METRICS for metric in evaluation.metrics)
    judging = (
        {name: judge_quality(rows, name, judge.repeats) for name in judge.metrics} if judge else {}
    )
    return EvaluationReport(
        use_case=task.use_case,
        candidate=task.candidate,
        model=task.model.address,
        model_version=", ".join(versions),
        fingerprint=task.fingerprint,
        evaluation_digest=task.evaluation_set.digest,
        prompt_digest=task.prompt.digest,
        judge_digest=judge_digest(judge),
        rows_uri=store.uri(layout.report_rows(task.fingerprint)),
        summary_uri=store.uri(layout.report(task.fingerprint)),
        rows=len(rows),
        states=count_states(rows),
        metrics=summarize_all(rows, metrics),
        slices=summarize_slices(rows, metrics),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        cost_usd=_cost(task, rows, prices),
        latency_p50_seconds=median,
        latency_p95_seconds=slow,
        created=created,
        emulated=any("emulated" in version for version in versions),
        judging=judging,
        classification=classify(rows) if has_classes else None,
        suites=suites,
        rows_in_whole=task.degradation.evaluation_rows if task.degradation else None,
        done_with_less=task.degradation.done if task.degradation else [],
    )


def _cost(task: EvaluationTask, rows: Sequence[RowResult], prices: PriceList) -> float | None:
    """Price of the answers in US dollars, or None if it is not known."""
    total, model = 0.0, task.model
    for batch in (False, True):
        paid = [row for row in rows if row.batch == batch and row.input_tokens]
        cost = token_cost(
            model.base_model,
            sum(row.input_tokens for row in paid),
            sum(row.output_tokens for row in paid),
            tuned=is_tuned(model.address),
            requests=len(paid),
            searches=len(paid) * ("google_search" in model.generation.tools),
            batch=batch,
            prices=prices,
        )
        if cost is None:
            return None
        total += cost
    return total


def write_report(store: ObjectStore, report: EvaluationReport, rows: Sequence[RowResult]) -> None:
    """Write rows, then summary, so that a summary's rows are always there."""
    parquet = io.BytesIO()
    _write_parquet(parquet, rows)
    store.write(store.name_of(report.rows_uri), parquet, "application/vnd.apache.parquet")
    store.write(store.name_of(report.summary_uri), to_json(report, indent=2))


def read_rows(store: ObjectStore, report: EvaluationReport) -> list[RowResult]:
    """Every row of a report, in the order of the evaluation set.

    Raises:
        FileNotFoundError: the rows are gone.
        ValueError: there are not as many rows as the report says.
    """
    import pyarrow.parquet as pq

    content = store.read(store.name_of(report.rows_uri))
    if content is None:
        raise FileNotFoundError(
            f"{report.rows_uri} does not exist; materialize evaluation_report/{report.candidate}"
        )
    table = pq.read_table(io.BytesIO(content))
    if table.num_rows != report.rows:
        raise ValueError(
            f"{report.rows_uri} has {table.num_rows} rows, its report says {report.rows}"
        )
    return [_row(record) for record in table.to_pylist()]


_MAPS = ("slices", "scores", "errors", "ratings", "explanations")


def _row(record: dict[str, Any]) -> RowResult:
    record["tool_calls"] = json.loads(record["tool_calls"])
    return from_row(RowResult, record | {name: dict(record[name]) for name in _MAPS})


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    return pa.schema(
        [
            pa.field("id", text, nullable=False),
            pa.field("group", text, nullable=False),
            pa.field("slices", pa.map_(text, text)),
            pa.field("reference", text),
            pa.field("state", text, nullable=False),
            pa.field("reason", text),
            pa.field("answer", text),
            pa.field("tool_calls", text),
            pa.field("scores", pa.map_(text, pa.float64())),
            pa.field("errors", pa.map_(text, text)),
            pa.field("ratings", pa.map_(text, pa.list_(pa.float64()))),
            pa.field("explanations", pa.map_(text, text)),
            pa.field("input_tokens", number),
            pa.field("output_tokens", number),
            pa.field("latency_seconds", pa.float64()),
            pa.field("model_version", text),
            pa.field("batch", pa.bool_()),
        ]
    )


def _write_parquet(target: io.BytesIO, rows: Sequence[RowResult]) -> None:
    """Rows in groups of a few thousand, so that no second copy of all of them is held."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for start in range(0, len(rows), 4096):
            records = [row.model_dump() for row in rows[start : start + 4096]]
            for record in records:
                record["tool_calls"] = json.dumps(record["tool_calls"])
                record |= {name: list(record[name].items()) for name in _MAPS}
            writer.write_table(pa.Table.from_pylist(records, schema=schema))
