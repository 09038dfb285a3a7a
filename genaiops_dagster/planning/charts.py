"""The chart of what was spent, month by month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from genaiops_dagster.budget.ledger import MonthlySpend

if TYPE_CHECKING:
    import altair as alt


def spend_chart(spend: Sequence[MonthlySpend], limit_usd: float | None) -> alt.LayerChart:
    """Stacked bars by stage, with a line at the monthly limit where there is one."""
    import altair as alt

    bars = (
        alt.Chart(alt.Data(values=[asdict(one) for one in spend]))
        .mark_bar(size=36)
        .encode(
            x=alt.X("month:O", title=None, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("usd:Q", title="US dollars"),
            color=alt.Color("stage:N", title=None),
            tooltip=["month:O", "stage:N", alt.Tooltip("usd:Q", format=",.2f")],
        )
    )
    layers: list[alt.Chart] = [bars]
    if limit_usd is not None:
        limit = alt.Chart(alt.Data(values=[{"limit": limit_usd}]))
        layers.append(limit.mark_rule(strokeDash=[4, 3], size=2).encode(y="limit:Q"))
    return alt.layer(*layers).properties(width=420, height=220)
