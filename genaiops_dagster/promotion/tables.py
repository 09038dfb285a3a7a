"""The decision log as a BigQuery table."""

from __future__ import annotations

from typing import Any

from genaiops_dagster.google_cloud.bookkeeping import bookkeeping
from genaiops_dagster.google_cloud.warehouse import Column, Table, Warehouse
from genaiops_dagster.promotion.log import DecisionLog
from genaiops_dagster.records import layout
from genaiops_dagster.records.promotion import LogEntry

PROMOTIONS = Table(
    name=layout.PROMOTIONS,
    description="Decisions of the gate, promotions and rollbacks: a copy of the decision log.",
    columns=(
        Column("use_case", "STRING", "Use case.", "REQUIRED"),
        Column("number", "INT64", "Place in the use case's log, from 1.", "REQUIRED"),
        Column("written", "TIMESTAMP", "When it was written.", "REQUIRED"),
        Column(
            "kind",
            "STRING",
            "decision, approval, promotion, rollback, rollout, withdrawal or completion.",
            "REQUIRED",
        ),
        Column("outcome", "STRING", "Of a decision: PROMOTE, REJECT or INSUFFICIENT."),
        Column("candidate", "STRING", "Challenger or champion."),
        Column("model", "STRING", "Endpoint or base model that it is."),
        Column("champion_number", "INT64", "Number of the champion that was installed."),
        Column("reasons", "STRING", "Why the gate decided so.", "REPEATED"),
        Column("author", "STRING", "Who caused it."),
        Column("reason", "STRING", "Why it was caused."),
        Column("report_uri", "STRING", "The report that it rests on."),
        Column("previous", "STRING", "Digest of the entry before.", "REQUIRED"),
        Column("digest", "STRING", "sha256 of the entry.", "REQUIRED"),
    ),
    keys=("use_case", "number"),
    partition="written",
    clustering=("use_case", "kind"),
)


def publish_log(warehouse: Warehouse, log: DecisionLog) -> None:
    """Bring the table to what the log says.

    Every call writes the whole log, so that a failure is logged, and made good by the next call.
    """
    rows = [promotion_row(log.use_case, entry) for entry in log.read()]
    with bookkeeping(
        f"The table {PROMOTIONS.name}",
        f"The decision log in the bucket is complete; the next decision of {log.use_case} copies "
        "it again.",
    ):
        warehouse.merge(PROMOTIONS, rows)


def promotion_row(use_case: str, entry: LogEntry) -> dict[str, Any]:
    """An entry's row of `promotions`."""
    decision, champion = entry.decision, entry.champion
    if entry.rollout is not None:
        champion = entry.rollout.candidate
    about = decision or champion
    return {
        "use_case": use_case,
        "number": entry.number,
        "written": entry.at,
        "kind": entry.kind,
        "outcome": decision.verdict.outcome if decision else None,
        "candidate": (
            decision.challenger if decision else champion.candidate if champion else None
        ),
        "model": about.model if about else None,
        "champion_number": champion.number if champion else entry.completes,
        "reasons": decision.verdict.reasons if decision else [],
        "author": entry.by,
        "reason": entry.reason,
        "report_uri": about.report_uri if about else None,
        "previous": entry.previous,
        "digest": entry.digest,
    }
