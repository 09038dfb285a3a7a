"""Actual payments: one row for each in the BigQuery table `spend`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING

from genaiops_dagster.google_cloud.bookkeeping import bookkeeping
from genaiops_dagster.google_cloud.warehouse import Column, Table
from genaiops_dagster.records import layout
from genaiops_dagster.records.record import Record

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.warehouse import Warehouse

SPEND = Table(
    name=layout.SPEND,
    description="What was paid to models: one row for each payment, written again unchanged.",
    columns=(
        Column(
            "id", "STRING", "Identifies the payment; the same work has the same id.", "REQUIRED"
        ),
        Column("created", "TIMESTAMP", "When it was recorded.", "REQUIRED"),
        Column("use_case", "STRING", "Name of the use case.", "REQUIRED"),
        Column("stage", "STRING", "tuning, evaluation, judging or generation.", "REQUIRED"),
        Column("run_id", "STRING", "Dagster run that paid.", "REQUIRED"),
        Column("model", "STRING", "Base model by which it was priced.", "REQUIRED"),
        Column("requests", "INT64", "Requests, retries that were billed included."),
        Column("input_tokens", "INT64", "Tokens in, or tokens trained on."),
        Column("output_tokens", "INT64", "Tokens out, thinking included."),
        Column("cost_usd", "FLOAT64", "Price in US dollars; NULL when no price is known."),
        Column("emulated", "BOOL", "Whether the emulator answered, so that nothing was charged."),
    ),
    keys=("id",),
    partition="created",
    clustering=("use_case", "stage"),
)


class Spend(Record):
    """One payment; the columns of the table `spend`, whose time is set when it is recorded.

    Attributes:
        id: Identifies the work that was paid, such as a tuning job or a report's fingerprint with
            candidate and stage: recording the same work again replaces the row.
        cost_usd: None when no price is known.
    """

    id: str
    use_case: str
    stage: str
    run_id: str
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    emulated: bool


def record_spend(warehouse: Warehouse, payments: Iterable[Spend], now: dt.datetime) -> bool:
    """Write payments to the table `spend`, recorded `now`; whether the table has them.

    The ledger has them in any case, so that a failure is logged, and fails no step.
    """
    rows = [{**p.model_dump(), "created": now.isoformat()} for p in payments]
    late = True
    with bookkeeping(
        f"The table {SPEND.name}",
        "The ledger has what was paid; the use case's next paid step this month records it.",
    ):
        warehouse.merge(SPEND, rows)
        late = False
    return not late
