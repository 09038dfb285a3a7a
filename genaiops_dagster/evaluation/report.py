"""Reports: made from scored rows, stored as a summary in JSON and rows in Parquet."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genaiops_dagster.budget.pricing import PriceList, is_tuned, token_cost
from genaiops_dagster.evaluation.judging.judge import judge_digest
from genaiops_dagster.evaluation.scoring.classification import classify
from genaiops_dagster.evaluation.scoring.metrics import CLASS_METRICS
from genaiops_dagster.evaluation.scoring.summary import judge_quality, row_figures
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.evaluation import (
    EvaluationReport,
    RowResult,
    SuiteReport,
    report_subject,
)
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.measurements import UnmeasuredError
from genaiops_dagster.records.record import find_object, from_row, to_json

if TYPE_CHECKING:
    import pyarrow as pa


ROW_COLUMNS = {
    "id": "string",
    "group": "string",
    "slices": "map<string, string>",
    "reference": "string",
    "state": "string",
    "reason": "string",
    "answer": "string",
    "tool_calls": "json",
    "scores": "map<string, double>",
    "errors": "map<string, string>",
    "ratings": "map<string, list<double>>",
    "explanations": "map<string, string>",
    "input_tokens": "int",
    "output_tokens": "int",
    "latency_seconds": "double",
    "model_version": "string",
    "batch": "bool",
}
"""Types of the columns of a report's rows, by name."""


def find_report(store: ObjectStore, use_case: str, fingerprint: str) -> EvaluationReport | None:
    """The stored report with this fingerprint, or None."""
    return find_object(store, Layout(use_case).report(fingerprint), EvaluationReport)


def is_settled(report: EvaluationReport) -> bool:
    """Whether no part of a report failed, so that another try would change nothing."""
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
    evaluation, judge = task.evaluation, task.evaluation.judge
    versions = sorted({row.model_version for row in rows if row.model_version})
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
        **row_figures(rows, evaluation.metric_names()),
        cost_usd=_cost(task, rows, prices),
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


def write_report(store: ObjectStore, report: EvaluationReport, rows: Sequence[RowResult]) -> str:
    """Write rows, then summary, so that a summary's rows are always there; their digest."""
    parquet = io.BytesIO()
    _write_parquet(parquet, rows)
    store.write(store.name_of(report.rows_uri), parquet, "application/vnd.apache.parquet")
    store.write(store.name_of(report.summary_uri), to_json(report, indent=2))
    return report_digest(report, parquet.getvalue())


def read_rows(store: ObjectStore, report: EvaluationReport) -> list[RowResult]:
    """Every row of a report, in the order of the evaluation set.

    Raises:
        FileNotFoundError: the rows are gone.
        ValueError: there are not as many rows as the report says.
    """
    return _parse_rows(report, _read_content(store, report))


def read_measured_rows(
    store: ObjectStore, report: EvaluationReport, digests: Mapping[str, str]
) -> list[RowResult]:
    """Every row of a report, if report and rows are what was measured.

    Args:
        store: Bucket of the rows.
        report: As it is stored now.
        digests: What was measured, by its subject.

    Raises:
        UnmeasuredError: they are not.
        FileNotFoundError, ValueError: as `read_rows` does.
    """
    content = _read_content(store, report)
    was = digests.get(report_subject(report))
    if was != report_digest(report, content):
        raise UnmeasuredError(
            f"{report.summary_uri} of {report.candidate}, or its rows, "
            f"{'were never measured' if was is None else 'are not what was measured'}: "
            f"materialize evaluation_report/{report.candidate} again; kept answers cost nothing"
        )
    return _parse_rows(report, content)


def report_digest(report: EvaluationReport, rows: bytes) -> str:
    """sha256 over a report and the content of its rows."""
    return fingerprint(report, hashlib.sha256(rows).hexdigest())


def _read_content(store: ObjectStore, report: EvaluationReport) -> bytes:
    content = store.read(store.name_of(report.rows_uri))
    if content is None:
        raise FileNotFoundError(
            f"{report.rows_uri} does not exist; materialize evaluation_report/{report.candidate}"
        )
    return content


def _parse_rows(report: EvaluationReport, content: bytes) -> list[RowResult]:
    import pyarrow.parquet as pq

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

    text, number, real = pa.string(), pa.int64(), pa.float64()
    types = {
        "string": text,
        "json": text,
        "int": number,
        "double": real,
        "bool": pa.bool_(),
        "map<string, string>": pa.map_(text, text),
        "map<string, double>": pa.map_(text, real),
        "map<string, list<double>>": pa.map_(text, pa.list_(real)),
    }
    required = ("id", "group", "state")
    return pa.schema(
        [pa.field(name, types[kind], name not in required) for name, kind in ROW_COLUMNS.items()]
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
