"""Comparisons in the bucket and in BigQuery, written so that a second time changes nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from genaiops_dagster.comparison.compare import compare
from genaiops_dagster.comparison.differences import Rows
from genaiops_dagster.comparison.tables import (
    LATEST_LEADERBOARD,
    LATEST_LEADERBOARD_DESCRIPTION,
    MODEL_COMPARISONS,
    comparison_rows,
    latest_leaderboard_sql,
    table_rows,
)
from genaiops_dagster.evaluation.report import read_measured_rows
from genaiops_dagster.google_cloud.bookkeeping import bookkeeping
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.evaluation import ChampionEvaluation, EvaluationReport
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.measurements import measured
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import to_json
from genaiops_dagster.use_case import UseCase


def compare_stored(
    store: ObjectStore,
    use_case: UseCase,
    reports: Sequence[EvaluationReport],
    champion: ChampionEvaluation,
) -> tuple[Comparison, Rows]:
    """Compare reports on the rows in the bucket; the comparison and these rows.

    Raises:
        IncomparableError: the reports say nothing about each other.
        UnmeasuredError: a report is not what was measured.
        FileNotFoundError: a report's rows are gone.
    """
    given = [*reports, *([champion.report] if champion.report else [])]
    digests = measured(store, use_case.name)
    rows = {report.candidate: read_measured_rows(store, report, digests) for report in given}
    return compare(use_case, reports, champion, rows), rows


def publish(
    store: ObjectStore,
    warehouse: Warehouse,
    use_case: UseCase,
    comparison: Comparison,
    rows: Rows,
    prompt: PromptVersion,
) -> str:
    """Write tables and files of a comparison; the address of its JSON.

    The files are what other steps go by: where BigQuery cannot be written, that is logged. Rows
    have keys, and the name of every file holds the id of its comparison, so that it makes no
    difference if it is written again, or by two runs at once.
    """
    with bookkeeping(
        f"The table {MODEL_COMPARISONS.name}",
        "The comparison is in the bucket; materialize model_comparison again to copy it.",
    ):
        if not _is_in_tables(warehouse, comparison):
            for table, records in table_rows(use_case, comparison, rows, prompt):
                warehouse.merge(table, records)
        warehouse.ensure_view(
            LATEST_LEADERBOARD, latest_leaderboard_sql(warehouse), LATEST_LEADERBOARD_DESCRIPTION
        )
    layout = Layout(comparison.use_case)
    for name, records in {
        "leaderboard": comparison_rows(use_case, comparison, prompt),
        "differences": [found.model_dump(mode="json") for found in comparison.differences],
    }.items():
        flat = [_flat(record) for record in records]
        store.write(layout.comparison(comparison.id, f"{name}.csv"), _csv(flat), "text/csv")
        store.write(
            layout.comparison(comparison.id, f"{name}.parquet"),
            _parquet(flat),
            "application/vnd.apache.parquet",
        )
    name = layout.comparison(comparison.id, "comparison.json")
    store.write_once(name, to_json(comparison, indent=2))
    return store.uri(name)


def _is_in_tables(warehouse: Warehouse, comparison: Comparison) -> bool:
    """Whether the table that is written last has the comparison."""
    if not warehouse.exists(MODEL_COMPARISONS.name):
        return False
    table = warehouse.table_id(MODEL_COMPARISONS.name)
    found = warehouse.rows(
        f"SELECT COUNT(*) AS count FROM `{table}` "  # noqa: S608 - the name is a constant
        "WHERE use_case = @use_case AND comparison_id = @id",
        {"use_case": comparison.use_case, "id": comparison.id},
    )
    return bool(next(found)["count"] == len(comparison.leaderboard))


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose nested values are JSON text."""
    return {
        name: json.dumps(value) if isinstance(value, (dict, list)) else value
        for name, value in record.items()
    }


def _csv(records: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]) if records else [])
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def _parquet(records: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(records)), target, compression="zstd")
    return target.getvalue()
