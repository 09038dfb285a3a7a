"""Charts of a comparison: Vega-Lite for the report page, PNG for Dagster's pages."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genaiops_dagster.comparison.trend import TrendPoint
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.use_case.section import CHAMPION

if TYPE_CHECKING:
    import altair as alt

ORANGE, GREEN, GREY = "#ea580c", "#16a34a", "#64748b"  # readable on white and on black
_WIDTH = 520


def leaderboard_chart(comparison: Comparison, challenger: str) -> alt.Chart:
    """Mean and interval of the primary metric, best candidate on top."""
    import altair as alt

    rows = [row for row in _points(comparison, challenger) if row["mean"] is not None]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("candidate:N", title=None, sort=[row["candidate"] for row in rows]),
        color=_role_color(),
    )
    metric = comparison.primary_metric
    intervals = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=f"{metric} (95 % interval)", scale=alt.Scale(zero=False)),
        x2="high:Q",
    )
    means = base.mark_point(filled=True, size=90, opacity=1).encode(
        x="mean:Q",
        tooltip=["candidate:N", *_figures("mean", "low", "high"), "rows:Q"],
    )
    return (intervals + means).properties(width=_WIDTH, height=alt.Step(28))


def pareto_chart(comparison: Comparison, challenger: str) -> alt.Chart:
    """Quality against price; a line joins those that no other beats in both."""
    import altair as alt

    rows = [row for row in _points(comparison, challenger) if row["mean"] is not None]
    rows = [row for row in rows if row["cost_usd"] is not None]
    for row in rows:
        same = [r for r in rows if _place(r) == _place(row)]
        row["label"] = ", ".join(r["candidate"] for r in same) if same[0] is row else ""
        row["on_front"] = not any(_beats(other, row) for other in rows)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("cost_usd:Q", title="cost of the evaluation, US dollars"),
        y=alt.Y("mean:Q", title=comparison.primary_metric, scale=alt.Scale(zero=False)),
    )
    front = (
        base.transform_filter("datum.on_front")
        .mark_line(strokeDash=[4, 3], color=GREY)
        .encode(order="cost_usd:Q")
    )
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        color=_role_color(),
        tooltip=["candidate:N", *_figures("mean", "cost_usd", "latency_p50_seconds")],
    )
    names = base.mark_text(align="left", dx=8, dy=-6).encode(text="label:N")
    return (front + points + names).properties(width=_WIDTH, height=240)


def trend_chart(points: Sequence[TrendPoint], metric: str) -> alt.Chart:
    """Means of the candidates over past comparisons."""
    import altair as alt

    rows = [dataclasses.asdict(point) for point in points]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("created:T", title=None),
            y=alt.Y("mean:Q", title=metric, scale=alt.Scale(zero=False)),
            color=alt.Color("candidate:N", title=None),
            tooltip=["candidate:N", "created:T", *_figures("mean")],
        )
        .properties(width=_WIDTH, height=240)
    )


def _points(comparison: Comparison, challenger: str) -> list[dict[str, Any]]:
    """One point for each candidate, best first."""
    points = []
    for report in comparison.leaderboard:
        summary = report.metrics.get(comparison.primary_metric)
        points.append(
            {
                "candidate": report.candidate,
                "role": _role(report.candidate, comparison.champion, challenger),
                **{name: getattr(summary, name, None) for name in ("mean", "low", "high")},
                "rows": summary.rows if summary else 0,
                "cost_usd": report.cost_usd,
                "latency_p50_seconds": report.latency_p50_seconds,
            }
        )
    return points


def _place(row: dict[str, Any]) -> tuple[float, float]:
    return row["mean"], row["cost_usd"]


def _beats(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """At least as good and as cheap, and better in one of the two."""
    no_worse = one["mean"] >= other["mean"] and one["cost_usd"] <= other["cost_usd"]
    return no_worse and _place(one) != _place(other)


def _role(candidate: str, champion: str | None, challenger: str) -> str:
    if candidate == champion:
        return CHAMPION
    return "challenger" if candidate == challenger else "other"


def _role_color() -> alt.Color:
    import altair as alt

    scale = alt.Scale(domain=["challenger", CHAMPION, "other"], range=[ORANGE, GREEN, GREY])
    return alt.Color("role:N", title=None, scale=scale)


def _figures(*names: str) -> Sequence[Any]:
    import altair as alt

    return [alt.Tooltip(f"{name}:Q", format=".4g") for name in names]
