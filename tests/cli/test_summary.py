"""What `genaiops run` prints fits a terminal, and shows every outcome of a rule."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest

from genaiops_dagster.cli.lifecycle import RunOutcome, StepProgress
from genaiops_dagster.cli.summary import RunSummary, print_summary, progress_table, summarize
from genaiops_dagster.cli.terminal import Terminal
from genaiops_dagster.comparison.compare import compare
from genaiops_dagster.google_cloud.object_store import StoredObject
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.promotion import Decision, RuleResult, Verdict
from genaiops_dagster.records.record import to_json
from tests.comparison.examples import NO_CHAMPION, make_report, make_rows, make_use_case


def make_comparison(metrics: int = 1) -> Comparison:
    """A comparison by exact_match and `metrics - 1` more."""
    rows = {"flash": make_rows(0.3), "pro": make_rows(0.5), "tuned": make_rows(0.8)}
    reports = [make_report(name, found) for name, found in rows.items()]
    comparison = compare(make_use_case(), reports, NO_CHAMPION, rows)
    more = [f"quality_number_{n}" for n in range(1, metrics)]
    return comparison.model_copy(
        update={
            "leaderboard": [
                r.model_copy(update={"metrics": dict.fromkeys(["exact_match", *more], summary)})
                for r in comparison.leaderboard
                for summary in r.metrics.values()
            ]
        }
    )


def printed(comparison: Comparison, width: int, decision: Decision | None = None) -> str:
    summary = RunSummary(
        use_case="modules",
        run_id="run",
        completed=True,
        errors=[],
        assets={},
        comparison=comparison,
        decision=decision,
        tuned_model=None,
        champion=None,
    )
    console = Terminal(width=width, record=True, file=io.StringIO())
    print_summary(summary, console)
    return console.export_text()


def test_many_metrics_leave_the_primary_one_readable() -> None:
    narrow = printed(make_comparison(metrics=9), width=80)

    assert "0.770 (0.71 to 0.82)" in narrow
    assert "quality number" not in narrow
    assert "and 8 more metrics: `genaiops report modules`" in narrow
    assert "…" not in narrow
    assert "quality number 8" in printed(make_comparison(metrics=9), width=300)


def make_decision(rule: RuleResult) -> Decision:
    return Decision(
        id="d",
        use_case="modules",
        challenger="tuned",
        model="m",
        verdict=Verdict(outcome="PROMOTE", rules=[rule]),
        comparison_id="c",
        comparison_digest="c",
        report_fingerprint="f",
        report_uri="u",
        policy_digest="p",
        prompt_digest="p",
        evaluation_digest="e",
        champion_before=None,
        created="2026-11-21T12:00:00+00:00",
    )


def test_a_waived_rule_is_shown_as_waived() -> None:
    rule = RuleResult(rule="exact_match at least 0.9", outcome="WAIVED", reason="waived by ann")

    assert "waived  exact_match at least 0.9: waived by ann" in printed(
        make_comparison(), 80, make_decision(rule)
    )


def test_a_step_that_runs_says_how_far_it_is() -> None:
    note = "JOB_STATE_RUNNING, epoch 2 of 4"
    steps = {
        "a": StepProgress("a", "running", note, started=1.0, seconds=2.0),
        "b": StepProgress("b", "done", note, started=1.0, seconds=2.0),
    }
    stream = io.StringIO()
    Terminal(file=stream, width=80).print(progress_table(steps, {}, set()))
    running, done = stream.getvalue().splitlines()
    assert note in running
    assert note not in done


class Records:
    """A bucket that holds one decision."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def read(self, path: str) -> bytes | None:
        is_decision = path == "modules/assets/promotion_decision.json"
        return to_json(self.decision) if is_decision else None

    def list(self, prefix: str) -> Sequence[StoredObject]:
        return []

    def uri(self, path: str) -> str:
        return f"gs://bucket/{path}"


@pytest.mark.parametrize("waits", [True, False])
def test_a_decision_that_waits_for_approval_says_so(waits: bool) -> None:
    rule = RuleResult(rule="exact_match at least 0.9", outcome="PROMOTE", reason="it is 0.95")
    asked = "the decision waits for approval by ann: `genaiops approve modules`"
    outcome = RunOutcome(
        "run",
        steps={"decide": StepProgress("promotion_decision", status="done")},
        failed_checks={"gate": f"PROMOTE: {asked}"} if waits else {},
    )
    names = {"decide": "promotion_decision"}
    summary = summarize("modules", outcome, names, Records(make_decision(rule)))  # type: ignore[arg-type]
    console = Terminal(width=120, record=True, file=io.StringIO())
    print_summary(summary, console)

    assert ("`genaiops approve modules`" in console.export_text()) == waits
    assert summary.as_json()["waits"] == (asked if waits else None)
