"""Tables of a comparison: what leads, what fits, and what counts as better."""

from __future__ import annotations

from genaiops_dagster.comparison.charts import pareto_chart
from genaiops_dagster.comparison.compare import compare
from genaiops_dagster.comparison.summaries import (
    better_than_sheet,
    leaderboard_sheet,
    means_sheet,
    significance_sheet,
)
from genaiops_dagster.records.comparison import Comparison
from tests.comparison.examples import NO_CHAMPION, make_report, make_rows, make_use_case

ROWS = {
    "flash": make_rows(0.3, seed=1),
    "pro": make_rows(0.32, seed=2),
    "tuned": make_rows(0.9, seed=3),
}


def make_comparison(**costs: float) -> Comparison:
    reports = [
        make_report(name, rows, cost_usd=costs.get(name, 0.01)) for name, rows in ROWS.items()
    ]
    return compare(make_use_case(), reports, NO_CHAMPION, ROWS)


def test_a_candidate_beats_whom_it_beats_beyond_chance() -> None:
    sheet = better_than_sheet(make_comparison(), "exact_match")

    found = {name: (beats, beaten_by) for name, beats, beaten_by in sheet.rows}
    assert set((found["tuned"][0] or "").split(", ")) == {"flash", "pro"}
    assert found["tuned"][1] is None
    # A few rows apart is chance.
    assert found["pro"] == found["flash"] == (None, "tuned")


def test_marks_of_the_matrix_say_the_same() -> None:
    sheet = significance_sheet(make_comparison(), "exact_match")

    row = next(row for row in sheet.rows if row[0] == "tuned")
    assert [cell for cell in row if cell and cell.endswith(" **")] == [
        cell for cell in row[1:] if cell
    ]


def test_the_leaderboard_leads_with_what_a_narrow_page_shows() -> None:
    sheet = leaderboard_sheet(make_comparison(), ["exact_match", "bleu"])

    assert sheet.headers[:4] == ["#", "candidate", "exact_match", "cost, USD"]
    assert sheet.headers[-1] == "bleu"
    narrow = sheet.of("candidate", "exact_match")
    assert [row[0] for row in narrow.rows] == [row[1] for row in sheet.rows]
    assert all(len(row) == 2 for row in narrow.rows)


def test_means_have_a_line_for_each_metric() -> None:
    comparison = make_comparison()
    sheet = means_sheet(comparison, ["exact_match", "bleu"])

    assert sheet.headers == ["metric", *(r.candidate for r in comparison.leaderboard)]
    assert sheet.rows[0][1] == comparison.leaderboard[0].metrics["exact_match"].mean
    assert sheet.rows[1][1:] == [None, None, None]


def test_the_line_of_the_cost_chart_joins_whom_none_beats_in_quality_and_cost() -> None:
    comparison = make_comparison(tuned=0.02, pro=0.01, flash=0.01)

    points = pareto_chart(comparison, "tuned").to_dict()["data"]["values"]

    assert {point["candidate"] for point in points if point["on_front"]} == {"tuned", "pro"}


def test_candidates_at_one_place_of_a_chart_share_a_label() -> None:
    rows = {**ROWS, "flash": ROWS["pro"]}
    reports = [make_report(name, found) for name, found in rows.items()]
    comparison = compare(make_use_case(), reports, NO_CHAMPION, rows)

    points = pareto_chart(comparison, "tuned").to_dict()["data"]["values"]

    assert sorted(point["label"] for point in points) == ["", "flash, pro", "tuned"]
