"""One HTML page of a comparison and its verdict, with everything in it: no network is needed."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from genaiops_dagster.comparison import charts
from genaiops_dagster.comparison.summaries import (
    Sheet,
    changed_rows,
    cost_sheet,
    differences_sheet,
    leaderboard_sheet,
    opponent,
    significance_sheet,
)
from genaiops_dagster.comparison.trend import TrendPoint
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.evaluation import RowResult
from genaiops_dagster.records.promotion import Champion, Decision
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    import jinja2

_WORST_ROWS = 20


@dataclass(frozen=True)
class PageContent:
    """The content of a report page.

    Attributes:
        use_case: Its description, challenger and metrics.
        comparison: The leaderboard and the differences.
        rows: Every evaluation row, by candidate.
        decision: The newest one of the gate; None before the first.
        champion: What production serves; None before the first promotion.
        trend: Means in past comparisons.
    """

    use_case: UseCase
    comparison: Comparison
    rows: Mapping[str, Sequence[RowResult]]
    decision: Decision | None
    champion: Champion | None
    trend: Sequence[TrendPoint]


def report_page(content: PageContent) -> str:
    """The page as HTML: tables that sort, charts that answer to the pointer, light and dark."""
    import vl_convert

    comparison, challenger = content.comparison, content.use_case.gate.challenger
    metric = comparison.primary_metric
    ours = [d for d in comparison.differences if d.challenger == challenger]
    has_trend = len({point.created for point in content.trend}) > 1
    specs = {
        "scores": charts.leaderboard_chart(comparison, challenger),
        "pareto": charts.pareto_chart(comparison, challenger),
        "trend": charts.trend_chart(content.trend, metric) if has_trend else None,
    }
    return _template().render(
        content=content,
        comparison=comparison,
        challenger=challenger,
        emulated=any(report.emulated for report in comparison.leaderboard),
        leaderboard=leaderboard_sheet(comparison, content.use_case.evaluation.metric_names()),
        significance=significance_sheet(comparison, metric),
        differences=differences_sheet(d for d in ours if d.metric == metric),
        other_differences=differences_sheet(d for d in ours if d.metric != metric),
        costs=cost_sheet(comparison),
        worst=_worst_rows(content),
        opponent=opponent(comparison, challenger),
        has_trend=has_trend,
        charts=_script_json(
            {name: chart.to_dict() for name, chart in specs.items() if chart is not None}
        ),
        library=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
    )


def _worst_rows(content: PageContent) -> Sheet | None:
    """Rows that the challenger lost, with texts where the use case shows them."""
    comparison, challenger = content.comparison, content.use_case.gate.challenger
    against = opponent(comparison, challenger)
    if against is None or not {against, challenger} <= content.rows.keys():
        return None
    ours = {row.id: row for row in content.rows[challenger]}
    changes = changed_rows(ours.values(), content.rows[against], comparison.primary_metric)
    lost = [change for change in changes if change.gain < 0][:_WORST_ROWS]
    rows: list[list[Any]] = [[c.id, c.score, c.baseline_score] for c in lost]
    if not content.use_case.evaluation.show_texts:
        return Sheet(["row", challenger, against], rows)
    texts = [[ours[c.id].answer, ours[c.id].reference] for c in lost]
    return Sheet(
        ["row", challenger, against, "answer", "expected"],
        [figures + shown for figures, shown in zip(rows, texts, strict=True)],
    )


def _script_json(value: Any) -> str:
    """JSON that is safe in a script element: no text in it can end the element."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _shown(cell: Any) -> str:
    """A cell as people read it."""
    if cell is None:
        return "–"  # noqa: RUF001 - a dash for what there is not
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


@functools.cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = _shown
    return environment.from_string(files(__package__).joinpath("page.html").read_text("utf-8"))
