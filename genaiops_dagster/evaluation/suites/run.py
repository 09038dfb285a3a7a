"""Asking the suites: a candidate, and for a tuned model also what it was tuned from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from genaiops_dagster.evaluation.asking.inference import Model
from genaiops_dagster.evaluation.scoring.statistics import mean_interval, paired_difference
from genaiops_dagster.evaluation.session import Session
from genaiops_dagster.evaluation.suites.cases import (
    GOLDEN,
    Case,
    golden_cases,
    judge_case,
    shipped_cases,
)
from genaiops_dagster.prompts.tokens import user_message
from genaiops_dagster.records.evaluation import Answer, CaseResult, MetricSummary, SuiteReport
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.use_case.evaluation import Evaluation


def suites_of(evaluation: Evaluation, prompt: PromptVersion) -> dict[str, tuple[Case, ...]]:
    """Cases of each suite that the use case has, by the suite's name."""
    suites: dict[str, tuple[Case, ...]] = {name: shipped_cases(name) for name in evaluation.suites}
    if evaluation.golden:
        suites[GOLDEN] = golden_cases(evaluation.golden, prompt)
    return suites


def suites_digest(evaluation: Evaluation, prompt: PromptVersion) -> str:
    """sha256 over all cases."""
    suites = suites_of(evaluation, prompt)
    return fingerprint({name: list(cases) for name, cases in suites.items()})


def count_requests(
    evaluation: Evaluation, prompt: PromptVersion, *, with_base: bool
) -> tuple[int, int]:
    """How many requests the suites are, at most: to the candidate, and to its base model."""
    counts = {name: len(cases) for name, cases in suites_of(evaluation, prompt).items()}
    shipped = sum(count for name, count in counts.items() if name != GOLDEN)
    return sum(counts.values()), shipped if with_base else 0


async def ask_suites(
    session: Session,
    model: Model,
    base: Model | None,
    evaluation: Evaluation,
    prompt: PromptVersion,
    on_paid: Callable[[Answer], None],
    on_base_paid: Callable[[Answer], None],
) -> dict[str, SuiteReport]:
    """What a candidate made of the suites.

    Args:
        session: Under way.
        model: The candidate.
        base: What it was tuned from, which is asked the same; None for a base model.
        evaluation: Which suites there are.
        prompt: For golden cases; its system instruction is that of all but the off-task suite.
        on_paid: Called with each answer of the candidate that was paid for.
        on_base_paid: The same of `base`.
    """
    found = {}
    for name, cases in suites_of(evaluation, prompt).items():
        system = "" if name == "off_task" else prompt.system_instruction
        mine = await _ask(session, model, system, cases, on_paid)
        against = None if base is None or name == GOLDEN else base
        theirs = await _ask(session, against, system, cases, on_base_paid) if against else []
        found[name] = report_suite(mine, theirs, against.base_model if against else None)
    return found


async def _ask(
    session: Session,
    model: Model,
    system: str,
    cases: Sequence[Case],
    on_paid: Callable[[Answer], None],
) -> list[CaseResult]:
    questions = [[user_message(case.message)] for case in cases]
    answers = session.answers(model, system, questions)
    answers.on_paid = on_paid
    responder = session.responder(model, system, answers)
    found = await asyncio.gather(*(responder.respond(contents) for contents in questions))
    return [judge_case(case, answer) for case, answer in zip(cases, found, strict=True)]


def report_suite(
    mine: Sequence[CaseResult], theirs: Sequence[CaseResult] = (), base_model: str | None = None
) -> SuiteReport:
    """Summary of a suite, and its comparison with the base model's results if there are any."""
    difference = paired_difference(_scores(mine), _scores(theirs), {})
    return SuiteReport(
        cases=list(mine),
        passed=_share(mine),
        blocked=_blocked(mine),
        refused=_refused(mine),
        base_model=base_model,
        base_passed=_share(theirs) if theirs else None,
        base_blocked=_blocked(theirs) if theirs else None,
        base_refused=_refused(theirs) if theirs else None,
        p_value=difference.p_value,
    )


def _blocked(cases: Sequence[CaseResult]) -> int:
    return sum(case.state == "blocked" for case in cases)


def _refused(cases: Sequence[CaseResult]) -> int:
    return sum(case.refused for case in cases)


def _scores(cases: Sequence[CaseResult]) -> dict[str, float]:
    return {case.id: float(case.passed) for case in cases if case.passed is not None}


def _share(cases: Sequence[CaseResult]) -> MetricSummary:
    estimate = mean_interval(_scores(cases), {})
    return MetricSummary(
        mean=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        rows=estimate.rows,
        errors=len(cases) - estimate.rows,
        detectable=estimate.detectable,
    )
