"""Charts of what is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genaiops_dagster.records.serving import LoadTest

if TYPE_CHECKING:
    import altair as alt


def latency_chart(test: LoadTest) -> alt.LayerChart:
    """Percentiles of latency against throughput, with a line at the objective if there is one."""
    import altair as alt

    rows = [
        {
            "load": step.load,
            "throughput": step.throughput,
            "percentile": name,
            "seconds": getattr(step.latency, name),
        }
        for step in test.steps
        for name in ("p50", "p95", "p99")
        if getattr(step.latency, name) is not None
    ]
    lines = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("throughput:Q", title="answered requests a second"),
            y=alt.Y("seconds:Q", title="latency, seconds"),
            color=alt.Color("percentile:N", title=None),
            order="throughput:Q",
            tooltip=["load:N", "percentile:N", alt.Tooltip("seconds:Q", format=".3g")],
        )
    )
    layers: list[alt.Chart] = [lines]
    if test.limit_seconds is not None:
        limit = alt.Chart(alt.Data(values=[{"limit": test.limit_seconds}]))
        layers.append(limit.mark_rule(strokeDash=[4, 3], size=2).encode(y="limit:Q"))
    return alt.layer(*layers).properties(width=520, height=240)
