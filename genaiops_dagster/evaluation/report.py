"""Reports in the bucket: a summary in JSON, and its rows in Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.evaluation import EvaluationReport, RowResult
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import find_object, from_row, to_json

if TYPE_CHECKING:
    import pyarrow as pa


def find_report(store: ObjectStore, use_case: str, fingerprint: str) -> EvaluationReport | None:
    """The stored report with this fingerprint, or None."""
    return find_object(store, Layout(use_case).report(fingerprint), EvaluationReport)


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
