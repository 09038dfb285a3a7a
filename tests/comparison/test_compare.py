from __future__ import annotations

import pytest

from genaiops_dagster.comparison.compare import IncomparableError, compare, leaderboard, pareto
from genaiops_dagster.records.evaluation import ChampionEvaluation
from tests.comparison.examples import NO_CHAMPION, make_report, make_rows, make_use_case
from tests.values import present

USE_CASE = make_use_case()
ROWS = {
    "flash": make_rows(0.3, seed=1),
    "pro": make_rows(0.6, seed=2),
    "tuned": make_rows(0.9, seed=3),
}
REPORTS = [make_report(name, rows) for name, rows in ROWS.items()]


def test_the_best_stands_first_and_every_pair_is_compared_once() -> None:
    comparison = compare(USE_CASE, REPORTS, NO_CHAMPION, ROWS)

    assert [r.candidate for r in comparison.leaderboard] == ["tuned", "pro", "flash"]
    pairs = [(d.challenger, d.baseline) for d in comparison.differences]
    assert pairs == [("tuned", "pro"), ("tuned", "flash"), ("pro", "flash")]


def test_a_difference_is_that_of_the_means_on_the_same_rows() -> None:
    comparison = compare(USE_CASE, REPORTS, NO_CHAMPION, ROWS)

    found = present(comparison.difference("exact_match", "tuned", "flash"))
    reports = [present(comparison.report(name)) for name in ("tuned", "flash")]
    means = [present(report.metrics["exact_match"].mean) for report in reports]
    difference = present(found.difference)
    assert difference == pytest.approx(means[0] - means[1])
    assert present(found.low) < difference < present(found.high)
    assert found.wins - found.losses == pytest.approx(difference * 200)
    assert found.rows == 200


def test_a_difference_seen_from_the_other_side_is_turned() -> None:
    comparison = compare(USE_CASE, REPORTS, NO_CHAMPION, ROWS)

    ours = present(comparison.difference("exact_match", "tuned", "flash"))
    theirs = present(comparison.difference("exact_match", "flash", "tuned"))
    turned = [-present(figure) for figure in (ours.difference, ours.high, ours.low)]
    assert [theirs.difference, theirs.low, theirs.high] == turned
    assert (theirs.wins, theirs.losses) == (ours.losses, ours.wins)


def test_p_values_are_corrected_for_all_pairs_of_a_metric() -> None:
    comparison = compare(USE_CASE, REPORTS, NO_CHAMPION, ROWS)

    smallest = min(comparison.differences, key=lambda d: present(d.p_value))
    assert smallest.p_adjusted == pytest.approx(min(1.0, 3 * present(smallest.p_value)))


def test_the_same_reports_give_the_same_comparison_in_any_order() -> None:
    first = compare(USE_CASE, REPORTS, NO_CHAMPION, ROWS)
    second = compare(USE_CASE, REPORTS[::-1], NO_CHAMPION, ROWS)

    assert first == second


def test_rows_that_only_one_candidate_answered_are_not_compared() -> None:
    rows = ROWS | {"tuned": make_rows(0.9, seed=3, unanswered=20)}
    reports = [make_report(name, found) for name, found in rows.items()]

    comparison = compare(USE_CASE, reports, NO_CHAMPION, rows)

    assert present(comparison.difference("exact_match", "tuned", "pro")).rows == 180


@pytest.mark.parametrize(
    ("field", "noun"),
    [
        ("evaluation_digest", "evaluation set"),
        ("prompt_digest", "prompt"),
        ("judge_digest", "judge"),
    ],
)
def test_reports_made_with_something_different_are_refused(field: str, noun: str) -> None:
    reports = [*REPORTS[:2], make_report("tuned", ROWS["tuned"], **{field: "other"})]

    with pytest.raises(IncomparableError, match=f"different {noun}s.*tuned: other"):
        compare(USE_CASE, reports, NO_CHAMPION, ROWS)


def test_candidates_with_a_prompt_of_their_own_are_compared() -> None:
    candidates = USE_CASE.candidates | {
        "pro": USE_CASE.candidates["pro"].model_copy(update={"prompt": "terse"})
    }
    use_case = USE_CASE.model_copy(update={"candidates": candidates})
    reports = [REPORTS[0], make_report("pro", ROWS["pro"], prompt_digest="terse"), REPORTS[2]]

    assert compare(use_case, reports, NO_CHAMPION, ROWS).prompt_digest == "prompt"
    with pytest.raises(IncomparableError, match="different prompts"):
        compare(USE_CASE, reports, NO_CHAMPION, ROWS)


def test_a_missing_candidate_is_refused_by_name() -> None:
    with pytest.raises(IncomparableError, match="no report of pro"):
        compare(USE_CASE, [REPORTS[0], REPORTS[2]], NO_CHAMPION, ROWS)


def test_a_report_that_lost_rows_is_refused() -> None:
    with pytest.raises(IncomparableError, match=r"found 199 rows of tuned.*says 200"):
        compare(USE_CASE, REPORTS, NO_CHAMPION, ROWS | {"tuned": ROWS["tuned"][:-1]})


def test_figures_that_are_not_those_of_the_rows_are_refused() -> None:
    better = REPORTS[2].metrics["exact_match"].model_copy(update={"mean": 0.99})
    edited = make_report("tuned", ROWS["tuned"], metrics={"exact_match": better})

    with pytest.raises(IncomparableError, match="exact_match of tuned are not those of its rows"):
        compare(USE_CASE, [*REPORTS[:2], edited], NO_CHAMPION, ROWS)


def test_a_champion_that_is_a_candidate_stands_under_its_name() -> None:
    champion = make_report("champion", ROWS["tuned"], model="models/tuned")
    comparison = compare(
        USE_CASE,
        REPORTS,
        ChampionEvaluation(number=4, report=champion),
        ROWS | {"champion": ROWS["tuned"]},
    )

    assert comparison.champion == "tuned"
    assert comparison.champion_number == 4
    assert [r.candidate for r in comparison.leaderboard] == ["tuned", "pro", "flash"]
    assert present(comparison.report("champion")).candidate == "tuned"
    without = compare(USE_CASE, REPORTS, NO_CHAMPION, ROWS)
    assert (comparison.id, comparison.digest()) == (without.id, without.digest())


def test_another_champion_is_compared_with_its_own_prompt() -> None:
    rows = ROWS | {"champion": make_rows(0.8, seed=5)}
    champion = make_report("champion", rows["champion"], prompt_digest="older prompt")

    comparison = compare(USE_CASE, REPORTS, ChampionEvaluation(number=1, report=champion), rows)

    assert comparison.champion == "champion"
    assert comparison.prompt_digest == "prompt"
    assert present(comparison.difference("exact_match", "tuned", "champion")).rows == 200


def test_a_candidate_without_the_metric_stands_last() -> None:
    silent = make_report("silent", make_rows(0.5, unanswered=200))
    assert [r.candidate for r in leaderboard([silent, REPORTS[0]], "exact_match")] == [
        "flash",
        "silent",
    ]


def test_the_pareto_front_leaves_out_who_is_beaten_in_everything() -> None:
    cheap = make_report("cheap", ROWS["flash"], cost_usd=0.001)
    good = make_report("good", ROWS["tuned"], cost_usd=0.1)
    dear = make_report("dear", ROWS["pro"], cost_usd=0.2)
    unknown = make_report("unknown", ROWS["tuned"], cost_usd=None)

    assert pareto([good, dear, cheap, unknown], "exact_match") == ["good", "cheap"]
