"""Asking the suites: a candidate, and for a tuned model also what it was tuned from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from genaiops_dagster.evaluation.asking.counting import AnswerCounter
from genaiops_dagster.evaluation.asking.inference import Model, Responder
from genaiops_dagster.evaluation.plan import Counters
from genaiops_dagster.evaluation.scoring.statistics import mean_interval, paired_difference
from genaiops_dagster.evaluation.services import Services
from genaiops_dagster.evaluation.suites.cases import GOLDEN, Case, check_case, suites_of
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.prompts.tokens import user_message
from genaiops_dagster.records.evaluation import CaseResult, MetricSummary, SuiteReport


async def ask_suites(
    services: Services, task: EvaluationTask, counters: Counters
) -> dict[str, SuiteReport]:
    """The results of a candidate, and of the model that it was tuned from, in the suites.

    Only the candidate answers the golden cases. The system instruction of its prompt is that
    of all suites except the off-task one, which has none.
    """
    found = {}
    for name, cases in suites_of(task.evaluation, task.prompt).items():
        system = "" if name == "off_task" else task.prompt.system_instruction
        base = None if name == GOLDEN else task.base
        own = await _ask(services, task.model, system, cases, counters.suites)
        of_base = await _ask(services, base, system, cases, counters.base_suites) if base else []
        found[name] = report_suite(own, of_base, base.base_model if base else None)
    return found


async def _ask(
    services: Services,
    model: Model,
    system_instruction: str,
    cases: Sequence[Case],
    counter: AnswerCounter | None,
) -> list[CaseResult]:
    """A model's results in a suite's cases."""
    questions = [[user_message(case.message)] for case in cases]
    cache = services.answers(model, system_instruction, questions)
    service = services.paid(cache, counter, quota=model.base_model)
    async with services.models.serving(model.address).genai_in_loop() as client:
        asked = model.as_served(services.models)
        responder = Responder(client, asked, system_instruction, service)
        answers = await asyncio.gather(*(responder.respond(contents) for contents in questions))
    return [check_case(case, answer) for case, answer in zip(cases, answers, strict=True)]


def report_suite(
    own: Sequence[CaseResult], of_base: Sequence[CaseResult] = (), base_model: str | None = None
) -> SuiteReport:
    """Summary of a suite, and its comparison with the base model's results if there are any."""
    difference = paired_difference(_scores(own), _scores(of_base), {})
    passed, blocked, refused = _figures(own)
    base = _figures(of_base) if of_base else (None, None, None)
    return SuiteReport(
        cases=list(own),
        passed=passed,
        blocked=blocked,
        refused=refused,
        base_model=base_model,
        base_passed=base[0],
        base_blocked=base[1],
        base_refused=base[2],
        p_value=difference.p_value,
    )


def _figures(cases: Sequence[CaseResult]) -> tuple[MetricSummary, int, int]:
    """Share of cases passed, and how many were blocked and refused."""
    blocked = sum(case.state == "blocked" for case in cases)
    return _share(cases), blocked, sum(case.refused for case in cases)


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
