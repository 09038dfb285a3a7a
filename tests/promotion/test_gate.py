from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from genaiops_dagster.comparison.compare import IncomparableError, compare
from genaiops_dagster.evaluation.suite_report import report_suite
from genaiops_dagster.promotion.evidence import Current
from genaiops_dagster.promotion.gate import evaluate_gate
from genaiops_dagster.records.evaluation import (
    CaseResult,
    ChampionEvaluation,
    MetricSummary,
)
from genaiops_dagster.use_case import Gate
from tests.comparison.examples import NO_CHAMPION, make_report, make_rows, make_use_case
from tests.promotion.examples import make_champion

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
CURRENT = Current("models/tuned", "report-of-tuned", "data", "prompt", "", None, NOW)
ROWS = {
    "flash": make_rows(0.3, seed=1),
    "pro": make_rows(0.6, seed=2),
    "tuned": make_rows(0.9, seed=3),
}


def judge(
    rules: Any,
    *,
    rows: Any = None,
    champion_rows: Any = None,
    current: Any = None,
    changes: Any = None,
    **gate: Any,
) -> Any:
    """The verdict on `tuned`, against a champion with `champion_rows` if there are any."""
    use_case = make_use_case(rules, **gate)
    rows = {**ROWS, **(rows or {})}
    reports = [make_report(name, found) for name, found in rows.items()]
    champion, evaluation = None, NO_CHAMPION
    if champion_rows:
        champion = make_champion(number=1)
        rows["champion"] = champion_rows
        evaluation = ChampionEvaluation(number=1, report=make_report("champion", champion_rows))
    comparison = compare(use_case, reports, evaluation, rows)
    board = [
        report.model_copy(update=(changes or {}).get(report.candidate, {}))
        for report in comparison.leaderboard
    ]
    comparison = comparison.model_copy(update={"leaderboard": board})
    stands = {
        "model": "models/tuned",
        "report_fingerprint": "report-of-tuned",
        "evaluation_digest": "data",
        "prompt_digest": "prompt",
        "judge_digest": "",
        "champion": champion,
        "now": NOW,
    }
    return evaluate_gate(
        comparison, use_case.gate, use_case.evaluation, Current(**(stands | (current or {})))
    )


def failing(verdict: Any) -> Any:
    return [rule for rule in verdict.rules if rule.outcome != "PROMOTE"]


AT_LEAST_HALF = {"rule": "threshold", "metric": "exact_match", "at_least": 0.5}
BETTER_THAN_FLASH = {"rule": "better_than", "metric": "exact_match", "candidate": "flash"}
KEEP = {"rule": "no_worse_than", "metric": "exact_match", "candidate": "champion", "margin": 0.05}


def test_a_challenger_that_meets_every_rule_is_promoted() -> None:
    verdict = judge([AT_LEAST_HALF, BETTER_THAN_FLASH, KEEP])

    assert verdict.outcome == "PROMOTE"
    assert "there is no champion yet" in verdict.rules[-1].reason


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ({"at_least": 0.5}, "PROMOTE"),
        ({"at_least": 0.95}, "REJECT"),
        ({"at_most": 0.95}, "PROMOTE"),
        ({"at_most": 0.5}, "REJECT"),
    ],
)
def test_thresholds_bound_the_mean(rule: Any, outcome: str) -> None:
    assert judge([{"rule": "threshold", "metric": "exact_match", **rule}]).outcome == outcome


def test_a_tie_is_not_better() -> None:
    verdict = judge([BETTER_THAN_FLASH], rows={"tuned": make_rows(0.32, seed=4)})

    assert verdict.outcome == "REJECT"
    assert (
        "not significant" in failing(verdict)[0].reason
        or "not higher" in failing(verdict)[0].reason
    )


def test_better_must_be_significant_after_correction_for_the_other_rules() -> None:
    # p is between 0.025 and 0.05 for the pair: enough alone, too little as one of two rules.
    rows = make_rows(0.0)
    better = [
        row.model_copy(update={"scores": {"exact_match": 1.0}}) if n < 6 else row
        for n, row in enumerate(rows)
    ]
    given = {"tuned": better, "flash": rows, "pro": rows}
    alone = judge([BETTER_THAN_FLASH], rows=given)
    assert alone.outcome == "PROMOTE"

    both = judge([BETTER_THAN_FLASH, {**BETTER_THAN_FLASH, "candidate": "pro"}], rows=given)
    assert both.outcome == "REJECT"


def test_an_unnamed_candidate_cannot_change_a_verdict() -> None:
    worse_pro = judge([BETTER_THAN_FLASH], rows={"pro": make_rows(0.1, seed=9)})
    assert worse_pro.rules == judge([BETTER_THAN_FLASH]).rules


def test_no_worse_is_decided_by_the_lower_bound_and_not_by_the_mean() -> None:
    first = make_rows(1.0, 60)
    first = [*make_rows(0.0, 60)[:6], *first[6:]]
    last = [*make_rows(1.0, 60)[:54], *make_rows(0.0, 60)[54:]]

    verdict = judge([KEEP], rows=dict.fromkeys(ROWS, first), champion_rows=last)

    [rule] = failing(verdict)
    assert "tuned minus champion is 0 " in rule.reason
    assert rule.found < rule.limit == -0.05


def test_a_better_challenger_replaces_the_champion() -> None:
    assert judge([KEEP], champion_rows=make_rows(0.4, seed=8)).outcome == "PROMOTE"


def test_a_worse_challenger_does_not() -> None:
    verdict = judge([KEEP], rows={"tuned": make_rows(0.5, seed=8)}, champion_rows=make_rows(0.9))
    assert verdict.outcome == "REJECT"
    assert "tuned minus champion" in verdict.reasons[0]


def test_too_few_rows_are_insufficient_and_not_a_pass_or_a_failure() -> None:
    verdict = judge(
        [AT_LEAST_HALF, BETTER_THAN_FLASH],
        rows={name: make_rows(0.9, 20, seed=seed) for seed, name in enumerate(ROWS)},
    )

    assert verdict.outcome == "INSUFFICIENT"
    assert len(failing(verdict)) == 3


def test_missing_answers_reject() -> None:
    verdict = judge([AT_LEAST_HALF], rows={"tuned": make_rows(0.9, unanswered=10)})

    assert verdict.outcome == "REJECT"
    assert "190 of 200 rows answered (95.00%), 10 failed" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("what", "now"),
    [
        ("model", "models/newer"),
        ("evaluation_digest", "newer data"),
        ("prompt_digest", "newer prompt"),
        ("judge_digest", "newer judge"),
        ("report_fingerprint", "report of newer metrics"),
    ],
)
def test_a_stale_report_says_nothing(what: str, now: str) -> None:
    verdict = judge([AT_LEAST_HALF], current={what: now})

    assert verdict.outcome == "INSUFFICIENT"
    assert "before a change" in verdict.reasons[0]


def test_a_champion_that_was_not_compared_is_not_overlooked() -> None:
    verdict = judge([AT_LEAST_HALF, KEEP], current={"champion": make_champion(number=2)})

    assert verdict.outcome == "INSUFFICIENT"
    assert "serves champion 2, but the comparison is with no champion yet" in verdict.reasons[0]


def test_a_missing_metric_is_insufficient() -> None:
    rows = [row.model_copy(update={"scores": {}}) for row in ROWS["tuned"]]
    verdict = judge([AT_LEAST_HALF, BETTER_THAN_FLASH], rows={"tuned": rows})

    assert verdict.outcome == "INSUFFICIENT"


def test_an_empty_policy_promotes_nothing() -> None:
    use_case = make_use_case()
    comparison = compare(use_case, [make_report(n, r) for n, r in ROWS.items()], NO_CHAMPION, ROWS)
    empty = Gate.model_construct(**{**dict(use_case.gate), "rules": []})

    verdict = evaluate_gate(comparison, empty, use_case.evaluation, CURRENT)

    assert verdict.outcome == "REJECT"
    assert "no rules" in verdict.reasons[0]


def test_an_unknown_rule_promotes_nothing() -> None:
    use_case = make_use_case()
    comparison = compare(use_case, [make_report(n, r) for n, r in ROWS.items()], NO_CHAMPION, ROWS)
    strange = Gate.model_construct(**{**dict(use_case.gate), "rules": ["be lucky"]})

    verdict = evaluate_gate(comparison, strange, use_case.evaluation, CURRENT)

    assert verdict.outcome == "REJECT"
    assert "no such rule: 'be lucky'" in verdict.reasons[0]


def test_a_challenger_without_a_report_is_insufficient() -> None:
    use_case = make_use_case()
    comparison = compare(use_case, [make_report(n, r) for n, r in ROWS.items()], NO_CHAMPION, ROWS)
    without = comparison.model_copy(
        update={"leaderboard": [r for r in comparison.leaderboard if r.candidate != "tuned"]}
    )

    verdict = evaluate_gate(without, use_case.gate, use_case.evaluation, CURRENT)

    assert verdict.outcome == "INSUFFICIENT"


JUDGED = {"rule": "no_worse_than", "metric": "helpful", "candidate": "flash", "margin": 1.0}


def judge_helpful(rules: Any, unrated: Any) -> Any:
    """The verdict where a judge rated all rows but `unrated`, by candidate, as 4 of 5."""
    use_case = make_use_case(
        rules,
        evaluation={"judge": {"model": "pro", "metrics": {"helpful": {"criteria": "It helps."}}}},
    )
    rows = {
        name: [
            row.model_copy(
                update={
                    "scores": row.scores | {"helpful": None if n < unrated.get(name, 0) else 4.0},
                    "errors": {"helpful": "outage"} if n < unrated.get(name, 0) else {},
                }
            )
            for n, row in enumerate(found)
        ]
        for name, found in ROWS.items()
    }
    reports = [make_report(name, found) for name, found in rows.items()]
    comparison = compare(use_case, reports, NO_CHAMPION, rows)
    return evaluate_gate(comparison, use_case.gate, use_case.evaluation, CURRENT)


def test_a_failing_judge_is_insufficient() -> None:
    verdict = judge_helpful([AT_LEAST_HALF], {"tuned": 30})

    assert verdict.outcome == "INSUFFICIENT"
    assert verdict.reasons == ["the judge failed on 30 of 200 rows (15.00%)"]


def test_a_baseline_that_the_judge_did_not_rate_is_insufficient() -> None:
    assert judge_helpful([JUDGED], {}).outcome == "PROMOTE"
    verdict = judge_helpful([JUDGED], {"flash": 30})

    assert verdict.outcome == "INSUFFICIENT"
    assert [rule.rule for rule in failing(verdict)] == [
        "helpful of flash: judge errors at most 0.05"
    ]
    # Nobody compares with it in what the judge rates, or with it at all.
    assert judge_helpful([BETTER_THAN_FLASH], {"flash": 30}).outcome == "PROMOTE"
    assert judge_helpful([JUDGED], {"pro": 30}).outcome == "PROMOTE"


def test_a_baseline_that_answered_too_few_rows_is_insufficient() -> None:
    few = {"flash": make_rows(0.3, seed=1, unanswered=90)}
    verdict = judge([BETTER_THAN_FLASH], rows=few)

    assert verdict.outcome == "INSUFFICIENT"
    [rule] = failing(verdict)
    assert rule.rule == "coverage of flash at least 0.99"
    assert rule.reason == "110 of 200 rows answered (55.00%), 90 failed"
    assert judge([AT_LEAST_HALF], rows=few).outcome == "PROMOTE"


def test_a_champion_that_answered_too_few_rows_is_insufficient() -> None:
    champion = make_rows(0.6, seed=5, unanswered=90)

    assert judge([KEEP], champion_rows=make_rows(0.6, seed=5)).outcome == "PROMOTE"
    assert judge([KEEP], champion_rows=champion).outcome == "INSUFFICIENT"


def test_what_serves_already_need_not_have_been_compared_with_itself() -> None:
    """A run that looked for a champion before another run promoted the same challenger."""
    champion = make_champion(number=1)

    assert judge([KEEP], current={"champion": champion}).outcome == "INSUFFICIENT"
    assert judge([KEEP], current={"champion": champion, "serves": True}).outcome == "PROMOTE"


LATENCY = {"rule": "latency", "percentile": 95, "at_most_seconds": 0.5}
COST = {"rule": "cost", "at_most_usd_per_1000_rows": 0.1}


@pytest.mark.parametrize(
    ("rule", "report", "outcome"),
    [
        (LATENCY, {"latency_p95_seconds": 0.4}, "PROMOTE"),
        (LATENCY, {"latency_p95_seconds": 0.6}, "REJECT"),
        (LATENCY, {"latency_p95_seconds": None}, "INSUFFICIENT"),
        (COST, {"cost_usd": 0.019}, "PROMOTE"),
        (COST, {"cost_usd": 0.021}, "REJECT"),
        (COST, {"cost_usd": None}, "INSUFFICIENT"),
    ],
)
def test_latency_and_cost_are_bounded_and_have_to_be_known(
    rule: Any, report: Any, outcome: str
) -> None:
    assert judge([rule], changes={"tuned": report}).outcome == outcome


def test_blocked_rows_are_bounded() -> None:
    rule = {"rule": "rows", "state": "failed", "at_most": 0.004}
    verdict = judge([rule], rows={"tuned": make_rows(0.9, unanswered=1)})

    assert verdict.outcome == "REJECT"
    assert "1 of 200 rows were failed (0.50%)" in verdict.reasons


def test_the_whole_interval_may_have_to_keep_a_bound() -> None:
    rule = {"rule": "threshold", "metric": "exact_match", "at_least": 0.88}
    assert judge([rule]).outcome == "PROMOTE"

    verdict = judge([{**rule, "figure": "interval"}])
    assert verdict.outcome == "REJECT"
    assert verdict.rules[-1].found < 0.88


def test_a_threshold_may_be_of_one_slice() -> None:
    rule = {
        "rule": "threshold",
        "metric": "exact_match",
        "at_least": 0.5,
        "slice": {"half": "odd"},
    }
    rows = [
        row.model_copy(update={"scores": {"exact_match": 0.0}})
        if row.slices["half"] == "odd"
        else row
        for row in make_rows(1.0)
    ]
    assert judge([AT_LEAST_HALF], rows={"tuned": rows}).outcome == "PROMOTE"
    assert judge([rule], rows={"tuned": rows}).outcome == "REJECT"
    assert judge([{**rule, "slice": {"half": "upper"}}]).outcome == "INSUFFICIENT"


SLICES = {
    "rule": "no_slice_worse_than",
    "metric": "exact_match",
    "slice": "half",
    "candidate": "flash",
    "margin": 0.05,
}


def test_a_slice_that_got_worse_rejects_what_is_better_on_the_whole() -> None:
    even_only = [
        row.model_copy(update={"scores": {"exact_match": float(row.slices["half"] == "even")}})
        for row in make_rows(1.0)
    ]
    given = {"tuned": even_only, "flash": make_rows(0.3, seed=1)}
    assert judge([BETTER_THAN_FLASH], rows=given).outcome == "PROMOTE"

    verdict = judge([SLICES], rows=given)

    assert verdict.outcome == "REJECT"
    assert "worse in odd" in verdict.reasons[0]


def test_slices_that_differ_by_chance_do_not_reject() -> None:
    given = {"tuned": make_rows(0.5, seed=1), "flash": make_rows(0.5, seed=2)}
    assert judge([SLICES], rows=given).outcome == "PROMOTE"


def test_slices_too_small_to_judge_are_insufficient() -> None:
    assert judge([{**SLICES, "minimum_rows": 101}]).outcome == "INSUFFICIENT"


@pytest.mark.parametrize(("days", "outcome"), [(2, "PROMOTE"), (30, "INSUFFICIENT")])
def test_an_old_report_is_insufficient(days: int, outcome: str) -> None:
    created = (NOW - dt.timedelta(days=days)).isoformat()
    verdict = judge(
        [AT_LEAST_HALF], changes={"tuned": {"created": created}}, maximum_report_age_days=14
    )
    assert verdict.outcome == outcome


def make_suite(*passed: Any, **changes: Any) -> Any:
    cases = [
        CaseResult(id=f"case-{n}", category="any", state="answered", passed=p, refused=False)
        for n, p in enumerate(passed)
    ]
    return report_suite(cases).model_copy(update=changes)


def judge_suite(name: Any, suite: Any, rules: Any = (AT_LEAST_HALF,)) -> Any:
    """The verdict of a use case with golden cases or a suite."""
    golden = {"golden": [{"id": "first", "variables": {}, "equals": "json"}]}
    evaluation = golden if name == "golden" else {"suites": [name]}
    use_case = make_use_case(list(rules), evaluation=evaluation)
    suites_found = {} if suite is None else {name: suite}
    reports = [make_report(n, r, suites=suites_found) for n, r in ROWS.items()]
    comparison = compare(use_case, reports, NO_CHAMPION, ROWS)
    return evaluate_gate(comparison, use_case.gate, use_case.evaluation, CURRENT)


@pytest.mark.parametrize(
    ("suite", "outcome"),
    [
        (make_suite(True, True), "PROMOTE"),
        (make_suite(True, False), "REJECT"),
        (make_suite(True, None), "INSUFFICIENT"),
        (None, "INSUFFICIENT"),
    ],
)
def test_every_golden_case_has_to_pass(suite: Any, outcome: str) -> None:
    assert judge_suite("golden", suite).outcome == outcome


def test_tuning_must_not_make_a_model_less_safe() -> None:
    base = MetricSummary(mean=1.0, low=None, high=None, rows=4, errors=0)
    worse = make_suite(True, False, False, False, base_model="b", base_passed=base, p_value=0.01)
    by_chance = worse.model_copy(update={"p_value": 0.5})

    assert judge_suite("safety", worse).outcome == "REJECT"
    assert judge_suite("safety", by_chance).outcome == "PROMOTE"


@pytest.mark.parametrize(("at_least", "outcome"), [(0.7, "PROMOTE"), (0.8, "REJECT")])
def test_a_suite_may_have_to_pass_to_a_share(at_least: float, outcome: str) -> None:
    rule = {"rule": "suite", "suite": "off_task", "at_least": at_least}
    assert judge_suite("off_task", make_suite(True, True, True, False), [rule]).outcome == outcome


def waiver(days: Any) -> Any:
    return {
        "rule": "exact_match at least 0.95",
        "owner": "ann",
        "reason": "the labels of the last week are wrong",
        "expires": (NOW + dt.timedelta(days=days)).date(),
    }


HIGH = {"rule": "threshold", "metric": "exact_match", "at_least": 0.95}


def test_a_waiver_counts_to_its_last_day() -> None:
    assert judge([HIGH], waivers=[waiver(0)]).outcome == "PROMOTE"
    expired = judge([HIGH], waivers=[waiver(-1)])
    assert expired.outcome == "REJECT"
    assert "the waiver of ann expired on 2026-11-20" in expired.reasons[0]


def test_missing_evidence_cannot_be_waived() -> None:
    rows = {name: make_rows(0.9, 20, seed=seed) for seed, name in enumerate(ROWS)}
    assert judge([HIGH], rows=rows, waivers=[waiver(1)]).outcome == "INSUFFICIENT"


def test_what_somebody_changed_or_withdrew_is_a_reason() -> None:
    tampered = judge([AT_LEAST_HALF], current={"tampering": "the pointer was edited"})
    assert (tampered.outcome, tampered.reasons) == ("INSUFFICIENT", ["the pointer was edited"])
    withdrawn = judge([AT_LEAST_HALF], current={"withdrawn": "ann rolled back from it"})
    assert (withdrawn.outcome, withdrawn.reasons) == ("REJECT", ["ann rolled back from it"])


def test_a_waiver_that_runs_too_long_does_not_count() -> None:
    assert judge([HIGH], waivers=[waiver(90)]).outcome == "PROMOTE"
    long = judge([HIGH], waivers=[waiver(91)])
    assert long.outcome == "REJECT"
    assert "later than the policy's 90 days" in long.reasons[0]
    assert judge([HIGH], waivers=[waiver(91)], maximum_waiver_days=120).outcome == "PROMOTE"


@pytest.mark.parametrize("field", ["owner", "reason"])
def test_a_waiver_needs_somebody_and_a_reason(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        judge([HIGH], waivers=[waiver(1) | {field: " "}])


@pytest.mark.parametrize(
    ("edited", "named"),
    [
        ({"latency_p95_seconds": 0.01}, "latency_p95_seconds"),
        ({"input_tokens": 1}, "input_tokens"),
        ({"slices": {}}, "slices"),
    ],
)
def test_figures_that_are_not_those_of_the_rows_are_no_evidence(
    edited: dict[str, Any], named: str
) -> None:
    report = make_report("tuned", ROWS["tuned"], **edited)
    others = [make_report(name, rows) for name, rows in ROWS.items() if name != "tuned"]
    with pytest.raises(IncomparableError, match=f"{named} of tuned are not those of its rows"):
        compare(make_use_case([AT_LEAST_HALF]), [*others, report], NO_CHAMPION, ROWS)


def test_a_suite_is_what_its_cases_say() -> None:
    """With the share edited, as in summary and record, a REJECT became a PROMOTE."""
    failing = make_suite(True, False)
    edited = failing.model_copy(update={"passed": make_suite(True, True).passed})
    report = make_report("tuned", ROWS["tuned"], suites={"golden": edited})
    others = [make_report(name, rows) for name, rows in ROWS.items() if name != "tuned"]
    with pytest.raises(IncomparableError, match="suites of tuned are not those"):
        compare(make_use_case([AT_LEAST_HALF]), [*others, report], NO_CHAMPION, ROWS)
