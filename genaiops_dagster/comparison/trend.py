"""How candidates did over past comparisons."""

from __future__ import annotations

from dataclasses import dataclass

from genaiops_dagster.comparison.tables import MODEL_COMPARISONS
from genaiops_dagster.google_cloud.warehouse import Warehouse

_COMPARISONS = 30


@dataclass(frozen=True)
class TrendPoint:
    """A candidate's mean in one comparison; `created` is ISO 8601 in UTC."""

    created: str
    candidate: str
    mean: float


def read_trend(warehouse: Warehouse, use_case: str, metric: str) -> list[TrendPoint]:
    """Means of a primary metric in the newest comparisons of a use case, oldest first.

    Comparisons by another primary metric are left out.
    """
    if not warehouse.exists(MODEL_COMPARISONS.name):
        return []
    table = warehouse.table_id(MODEL_COMPARISONS.name)
    found = warehouse.rows(
        f"""
        SELECT created, candidate, primary_mean
        FROM `{table}`
        WHERE use_case = @use_case AND primary_metric = @metric AND primary_mean IS NOT NULL
        QUALIFY DENSE_RANK() OVER (ORDER BY created DESC, comparison_id) <= @comparisons
        ORDER BY created, candidate
        """,  # noqa: S608 - the table's name is a constant
        {"use_case": use_case, "metric": metric, "comparisons": _COMPARISONS},
    )
    return [
        TrendPoint(row["created"].isoformat(), row["candidate"], row["primary_mean"])
        for row in found
    ]
