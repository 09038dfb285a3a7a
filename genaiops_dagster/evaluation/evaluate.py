"""Evaluating one candidate: plan what to ask, have it answered, score the answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.evaluation.alone import alone
from genaiops_dagster.evaluation.asking.cache import CacheMode
from genaiops_dagster.evaluation.asking.concurrency import PaidService, Progress, map_in_order
from genaiops_dagster.evaluation.asking.inference import Responder, contents_text
from genaiops_dagster.evaluation.evaluation_set import questions_of, read_examples
from genaiops_dagster.evaluation.judging.judge import JudgePanel
from genaiops_dagster.evaluation.plan import (
    Counters,
    EvaluationPlan,
    plan_evaluation,
    reserve,
    works_of,
)
from genaiops_dagster.evaluation.report import build_report, find_report, is_settled, write_report
from genaiops_dagster.evaluation.scored_row import score_row
from genaiops_dagster.evaluation.scoring.metrics import row_metrics
from genaiops_dagster.evaluation.scoring.service_metrics import score_by_service
from genaiops_dagster.evaluation.services import Services
from genaiops_dagster.evaluation.suite_report import ask_suites
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.prompts.tokens import api_counter
from genaiops_dagster.records.data import Example
from genaiops_dagster.records.evaluation import (
    Answer,
    EvaluationReport,
    Judgement,
    RowResult,
    SuiteReport,
    report_subject,
)
from genaiops_dagster.records.measurements import anchor, measured

_LOG = logging.getLogger(__name__)


def evaluate(
    task: EvaluationTask,
    models: VertexAI,
    purse: Purse,
    progress: Progress,
    mode: CacheMode = "reuse",
    log: logging.Logger = _LOG,
) -> EvaluationReport:
    """The report of a candidate: the stored one if there is one, else made and stored now.

    A stored report is kept unless rows of it failed or lack a score: those are tried again. One
    that the measurement log does not know is made again, from cached answers.

    Args:
        task: What is evaluated on what.
        models: Vertex AI.
        purse: Pays; report and answers go to its bucket.
        progress: Takes how many rows are done.
        mode: How cached answers are used.
        log: Receives what batch jobs and other runs make this one wait for.

    Raises:
        BudgetExceededError: the budget does not allow what would have to be paid.
        ServiceUnusableError: the model or the judge cannot be called at all.
        CacheMissError: the run is strict and would have to pay.
        PromptError: the prompt needs a variable that a row does not have.
    """
    store = purse.store
    with alone(store, task.use_case, task.configuration, purse.clock, log):
        stored = find_report(store, task.use_case, task.fingerprint)
        if stored and report_subject(stored) not in measured(store, task.use_case):
            stored = None  # an earlier release, or a run that was killed, made it
        if stored and is_settled(stored) and mode != "refresh":
            purse.close(works_of(task), emulated=models.emulated)
            return stored
        services = Services(task.evaluation, models, purse, mode)
        return _make_report(task, services, progress, log, stored)


def _make_report(
    task: EvaluationTask,
    services: Services,
    progress: Progress,
    log: logging.Logger,
    stored: EvaluationReport | None,
) -> EvaluationReport:
    """The report made now; the stored one if it is the same."""
    models, purse, store = services.models, services.purse, services.purse.store
    examples = read_examples(store, task.evaluation_set)
    questions = questions_of(task.prompt, examples)
    system = task.prompt.system_instruction
    with services:
        cache = services.answers(task.model, system, questions)
        count = api_counter(models, task.model.base_model)
        plan = plan_evaluation(task, examples, questions, cache, count, purse.prices())
        with reserve(plan, task, purse, emulated=models.emulated) as counters:
            answers = services.paid(cache, counters.answers, quota=task.model.base_model)
            if plan.answers.batch:
                unanswered = (questions[index] for index in plan.missing)
                services.answer_in_batch(task.model, system, unanswered, answers, log)
            rows, suites = asyncio.run(
                _answer_and_score(task, plan, examples, services, answers, counters, progress)
            )
    report = build_report(task, rows, suites, store, purse.prices(), purse.clock.timestamp())
    if stored and stored == report.model_copy(update={"created": stored.created}):
        return stored
    digests = {report_subject(report): write_report(store, report, rows), **services.manifests()}
    anchor(store, task.use_case, digests, purse.clock)
    return report


async def _answer_and_score(
    task: EvaluationTask,
    plan: EvaluationPlan,
    examples: Sequence[Example],
    services: Services,
    answers: PaidService[Answer],
    counters: Counters,
    progress: Progress,
) -> tuple[list[RowResult], dict[str, SuiteReport]]:
    """Every row with its answer and scores, in order, and the suites.

    There are as many workers as there may be requests to model and judge together, and as many
    again, so that a row is judged while others are still asked, and others wait to be asked again
    or are scored.
    """
    evaluation, models = task.evaluation, services.models
    by_service = evaluation.metrics_by_service()
    metrics = row_metrics([metric for metric in evaluation.metrics if metric not in by_service])
    async with models.serving(task.model.address).genai_in_loop() as client:
        asked = task.model.as_served(models)
        responder = Responder(client, asked, task.prompt.system_instruction, answers)
        panel = None
        if evaluation.judge is not None:
            ratings = services.paid(services.judgements(task.configuration), counters.judging)
            panel = JudgePanel(evaluation.judge, models, ratings)

        async def evaluate_row(index: int) -> RowResult:
            contents = plan.questions[index]
            answer = await responder.respond(contents)
            return await score_row(examples[index], contents_text(contents), answer, metrics, panel)

        workers = 3 * evaluation.concurrency
        rows = await map_in_order(evaluate_row, len(examples), workers, progress)
        if counters.metrics is not None:
            computed = services.paid(services.cache("computed", Judgement))
            rows = await score_by_service(rows, by_service, models, computed, counters.metrics)
        return rows, await ask_suites(services, task, counters)
