"""The worked examples of docs/how-to/gate-policy.md come out as the page says."""

from __future__ import annotations

import datetime as dt
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from genaiops_dagster.comparison.compare import compare
from genaiops_dagster.evaluation.suite_report import report_suite
from genaiops_dagster.promotion.evidence import Current
from genaiops_dagster.promotion.gate import evaluate_gate
from genaiops_dagster.records.evaluation import (
    CaseResult,
    ChampionEvaluation,
    RowResult,
    SuiteReport,
)
from genaiops_dagster.records.promotion import Verdict
from genaiops_dagster.use_case.gate import Gate
from tests.comparison.examples import NO_CHAMPION, make_report, make_use_case
from tests.promotion.examples import make_champion

PAGE = Path(__file__).parents[2] / "docs/how-to/gate-policy.md"
DAY = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


@dataclass
class Example:
    heading: str
    evidence: dict[str, Any]
    gate: dict[str, Any]
    verdict: str


def read_examples() -> list[Example]:
    """Each policy with the evidence above it: what its section says over what the page says."""
    page = PAGE.read_text().partition("## Worked examples")[2]
    common: dict[str, Any] = {}
    examples = []
    for section in page.partition("\n## ")[0].split("\n### "):
        heading = section.splitlines()[0]
        evidence, gate = dict(common), {}
        for kind, body in re.findall(
            r"```\w+ (evidence|gate|verdict)\n(.*?)```", section, re.DOTALL
        ):
            if kind == "evidence":
                evidence |= yaml.safe_load(body)
            elif kind == "gate":
                gate = yaml.safe_load(body)
            else:
                examples.append(Example(heading, dict(evidence), gate, body.strip()))
        common = common or evidence
    return examples


EXAMPLES = read_examples()


def make_rows(evidence: dict[str, Any], candidate: str) -> list[RowResult]:
    first, last = evidence["right"].get(candidate, (0, 0))
    return [
        RowResult(
            id=f"row-{number:03d}",
            group=f"row-{number:03d}",
            slices={
                name: value
                for name, values in evidence.get("slice", {}).items()
                for value, (start, end) in values.items()
                if start <= number <= end
            },
            reference="json",
            state="answered",
            answer="json" if first <= number <= last else "csv",
            scores={"exact_match": float(first <= number <= last)},
        )
        for number in range(1, evidence["rows"] + 1)
    ]


def make_golden(cases: dict[str, bool]) -> SuiteReport:
    return report_suite(
        [
            CaseResult(id=name, category="golden", state="answered", passed=passed, refused=False)
            for name, passed in cases.items()
        ]
    )


def verdict_of(example: Example) -> Verdict:
    evidence = example.evidence
    golden = evidence.get("golden", {})
    use_case = make_use_case(
        evaluation={"golden": [{"id": name, "variables": {}, "equals": "json"} for name in golden]}
    )
    gate = Gate.model_validate(example.gate)
    use_case = use_case.model_copy(update={"gate": gate})
    gate.require_names({"flash", "pro", "tuned"}, {"exact_match"}, {"topic"}, {"golden"})
    names = [*use_case.candidates, *(["champion"] if "champion" in evidence["right"] else [])]
    rows = {name: make_rows(evidence, name) for name in names}
    figures: dict[str, Any] = {
        name: evidence[name] for name in ("latency_p95_seconds", "cost_usd") if name in evidence
    }
    reports = {
        name: make_report(
            name,
            found,
            suites={"golden": make_golden(golden)} if golden else {},
        )
        for name, found in rows.items()
    }
    champion = make_champion() if "champion" in reports else None
    compared = ChampionEvaluation(number=1, report=reports.pop("champion")) if champion else None
    comparison = compare(use_case, [*reports.values()], compared or NO_CHAMPION, rows)
    board = [
        report.model_copy(update=figures if report.candidate == "tuned" else {})
        for report in comparison.leaderboard
    ]
    comparison = comparison.model_copy(update={"leaderboard": board})
    current = Current("models/tuned", "report-of-tuned", "data", "prompt", "", champion, DAY)

    return evaluate_gate(comparison, gate, use_case.evaluation, current)


def as_text(verdict: Verdict, gate: Gate) -> str:
    """A verdict as the page shows it: the rules that decided, or those of the policy."""
    policy = {rule.words for rule in gate.rules}
    deciding = [r for r in verdict.rules if r.outcome not in ("PROMOTE", "WAIVED")]
    shown = deciding or [r for r in verdict.rules if r.rule in policy]
    lines = [f"{rule.rule}: {rule.reason}" for rule in shown]
    return "\n".join([verdict.outcome, *(wrapped for line in lines for wrapped in wrap(line))])


def wrap(line: str) -> list[str]:
    return textwrap.wrap(line, 105, initial_indent="- ", subsequent_indent="  ")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.heading)
def test_a_documented_policy_comes_out_as_documented(example: Example) -> None:
    assert as_text(verdict_of(example), Gate.model_validate(example.gate)) == example.verdict


def test_the_page_has_examples_of_every_verdict() -> None:
    assert len(EXAMPLES) == 10
    assert {example.verdict.split()[0] for example in EXAMPLES} == {
        "PROMOTE",
        "REJECT",
        "INSUFFICIENT",
    }
