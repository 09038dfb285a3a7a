"""Evaluating one candidate: plan what to ask, have it answered, score the answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.evaluation.asking.cache import CacheMode
from genaiops_dagster.evaluation.asking.concurrency import PaidService, Progress, map_in_order
from genaiops_dagster.evaluation.asking.inference import Responder, contents_key, contents_text
from genaiops_dagster.evaluation.evaluation_set import Questions, read_examples
from genaiops_dagster.evaluation.judging.judge import JudgePanel
from genaiops_dagster.evaluation.plan import (
    Counters,
    EvaluationPlan,
    count_questions,
    plan_evaluation,
    reserve,
)
from genaiops_dagster.evaluation.report import build_report, find_report, is_complete, write_report
from genaiops_dagster.evaluation.scored_row import score_row
from genaiops_dagster.evaluation.scoring.metrics import row_metrics
from genaiops_dagster.evaluation.scoring.service_metrics import score_by_service
from genaiops_dagster.evaluation.services import Services
from genaiops_dagster.evaluation.suite_report import ask_suites
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.prompts.tokens import api_counter
from genaiops_dagster.records.data import Example
from genaiops_dagster.records.evaluation import (
    Answer,
    EvaluationReport,
    Judgement,
    RowResult,
    SuiteReport,
)

_LOG = logging.getLogger(__name__)


def evaluate(
    task: EvaluationTask,
    store: ObjectStore,
    models: VertexAI,
    purse: Purse,
    progress: Progress,
    mode: CacheMode = "reuse",
    log: logging.Logger = _LOG,
) -> EvaluationReport:
    """The report of a candidate: the stored one if there is one, else made and stored now.

    A stored report stands unless rows of it failed or lack a score: those are tried again.

    Raises:
        BudgetExceededError: the budget does not allow what would have to be paid.
        ServiceUnusableError: the model or the judge cannot be called at all.
        CacheMissError: the run is strict and would have to pay.
        PromptError: the prompt needs a variable that a row does not have.
    """
    stored = find_report(store, task.use_case, task.fingerprint)
    if stored and is_complete(stored) and mode != "refresh":
        return stored
    examples = read_examples(store, task.evaluation_set)
    questions = Questions(task.prompt, examples)
    system = task.prompt.system_instruction
    with Services(task.use_case, task.evaluation, store, models, purse.clock, mode) as services:
        cache = services.answers(task.model, system, questions)
        missing = [n for n, one in enumerate(questions) if cache.lacks(contents_key(one))]
        cache.refuse_if_strict(len(missing), f"of {len(questions)} answers")
        counter = api_counter(models.genai, task.model.base_model)
        plan = plan_evaluation(
            task,
            questions,
            missing,
            sum(len(example.output) for example in examples),
            count_questions(questions, system, counter),
            purse.prices(),
        )
        with reserve(plan, task, purse, emulated=models.emulated) as counters:
            answers = services.paid(cache, counters.answers, quota=task.model.base_model)
            if plan.answers.batch:
                unanswered = (questions[index] for index in missing)
                services.answer_in_batch(
                    task.model, system, unanswered, answers, purse.warehouse, log
                )
            rows, suites = asyncio.run(
                _answer_and_score(task, plan, examples, services, answers, counters, progress)
            )
    report = build_report(task, rows, suites, store, purse.prices(), purse.clock.timestamp())
    if stored and stored == report.model_copy(update={"created": stored.created}):
        return stored
    write_report(store, report, rows)
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
    async with models.genai_in_loop() as client:
        responder = Responder(client, task.model, task.prompt.system_instruction, answers)
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
        return rows, await ask_suites(services, client, task, counters)
