"""Evaluating one candidate: every row is asked, scored and accounted for."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.budget.pricing import is_tuned, token_cost
from genaiops_dagster.evaluation.asking.cache import CacheMode
from genaiops_dagster.evaluation.asking.concurrency import Progress, map_in_order
from genaiops_dagster.evaluation.asking.inference import (
    Contents,
    Model,
    Responder,
    contents_key,
    contents_text,
)
from genaiops_dagster.evaluation.evaluation_set import Questions, read_examples
from genaiops_dagster.evaluation.judging.judge import JudgePanel, judge_digest
from genaiops_dagster.evaluation.report import find_report, write_report
from genaiops_dagster.evaluation.scored_row import score_row
from genaiops_dagster.evaluation.scoring.classification import classify
from genaiops_dagster.evaluation.scoring.metrics import CLASS_METRICS, metrics_digest, row_metrics
from genaiops_dagster.evaluation.scoring.summary import (
    count_states,
    judge_quality,
    latency_percentiles,
    summarize_all,
    summarize_slices,
)
from genaiops_dagster.evaluation.session import Session
from genaiops_dagster.evaluation.spending import Asked, count_questions, spending
from genaiops_dagster.evaluation.suites.run import ask_suites, count_requests, suites_digest
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.prompts.tokens import api_counter
from genaiops_dagster.records.budget import Degradation
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.records.evaluation import EvaluationReport, RowResult, SuiteReport
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.use_case import UseCase

_LOG = logging.getLogger(__name__)

VERSION = 4
"""Raised when the same inputs would give another report than before."""


@dataclass(frozen=True)
class EvaluationTask:
    """What is evaluated on what.

    Attributes:
        use_case: Whose metrics and judge apply.
        candidate: Name under which the report stands.
        model: What answers.
        prompt: What it is told.
        evaluation_set: What it is asked.
        base: What `model` was tuned from; None for a base model.
        degradation: Why `evaluation_set` or judge are not the whole use case's; None: they are.
    """

    use_case: UseCase
    candidate: str
    model: Model
    prompt: PromptVersion
    evaluation_set: DatasetSplit
    base: Model | None = None
    degradation: Degradation | None = None

    @cached_property
    def configuration(self) -> str:
        """sha256 over all that decides an answer but the message."""
        return self.model.configuration(self.prompt.system_instruction)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over all that decides the report."""
        evaluation = self.use_case.evaluation
        return fingerprint(
            VERSION,
            self.candidate,
            self.configuration,
            self.prompt.digest,
            self.evaluation_set.digest,
            metrics_digest(evaluation.metrics),
            evaluation.computed_by,
            judge_digest(evaluation.judge),
            suites_digest(evaluation, self.prompt),
        )


def evaluate(
    task: EvaluationTask,
    store: ObjectStore,
    vertex_ai: VertexAI,
    purse: Purse,
    progress: Progress,
    mode: CacheMode = "reuse",
    log: logging.Logger = _LOG,
) -> EvaluationReport:
    """The report of a candidate: the stored one where there is one, else made and stored now.

    A stored report stands, unless rows of it failed or lack a score: those are tried again.

    Raises:
        BudgetExceededError: the budget does not allow what would have to be paid.
        ServiceUnusableError: the model or the judge cannot be called at all.
        CacheMissError: the run is strict and would have to pay.
        PromptError: the prompt needs a variable that a row does not have.
    """
    stored = find_report(store, task.use_case.name, task.fingerprint)
    if stored and is_complete(stored) and mode != "refresh":
        return stored
    examples = read_examples(store, task.evaluation_set)
    with Session(task.use_case, store, vertex_ai, mode, log) as session:
        rows, suites = _evaluate(session, task, examples, purse, progress)
    report = build_report(task, rows, suites, store)
    if stored and stored == report.model_copy(update={"created": stored.created}):
        return stored
    write_report(store, report, rows)
    return report


def _evaluate(
    session: Session,
    task: EvaluationTask,
    examples: Sequence[Example],
    purse: Purse,
    progress: Progress,
) -> tuple[list[RowResult], dict[str, SuiteReport]]:
    """Rows and suites, within the budget."""
    evaluation, vertex_ai = task.use_case.evaluation, session.vertex_ai
    questions = Questions(task.prompt, examples)
    system = task.prompt.system_instruction
    answers = session.answers(task.model, system, questions)
    judgements = session.judgements(task.configuration)
    missing = [n for n, asked in enumerate(questions) if answers.cache.lacks(contents_key(asked))]
    answers.cache.refuse_if_strict(len(missing), f"of {len(questions)} answers")
    counter = api_counter(vertex_ai.genai, task.model.base_model)
    suite_requests, base_suite_requests = count_requests(
        evaluation, task.prompt, with_base=task.base is not None
    )
    asked = Asked(
        use_case=task.use_case.name,
        candidate=task.candidate,
        work=task.fingerprint,
        base_model=task.model.base_model,
        tuned=is_tuned(task.model.address),
        system_instruction=system,
        questions=questions,
        prompts=count_questions(questions, system, counter),
        missing=len(missing),
        max_output_tokens=task.model.generation.max_output_tokens,
        evaluation=evaluation,
        grounded="google_search" in task.model.generation.tools,
        suite_requests=suite_requests,
        base_suite_requests=base_suite_requests,
        computed=len(evaluation.metrics_by_service()),
        reference_characters=sum(len(example.output) for example in examples),
    )

    async def work() -> tuple[list[RowResult], dict[str, SuiteReport]]:
        responder = session.responder(task.model, system, answers)
        panel = session.panel(evaluation.judge, judgements) if evaluation.judge else None
        rows = await evaluate_rows(task, examples, questions, responder, panel, progress)
        rows = await session.score_by_service(rows, evaluation.metrics_by_service(), meter.computed)
        return rows, await ask_suites(
            session,
            task.model,
            task.base,
            evaluation,
            task.prompt,
            meter.suite_answered,
            meter.base_suite_answered,
        )

    with spending(asked, purse, emulated=vertex_ai.emulated) as meter:
        answers.on_paid, judgements.on_paid = meter.answered, meter.judged
        if meter.batch:
            unanswered = (questions[place] for place in missing)
            session.answer_in_batch(task.model, system, unanswered, answers, purse.warehouse)
        return session.run(work)


def is_complete(report: EvaluationReport) -> bool:
    """Whether there is nothing in a report that another try could mend."""
    unsure = [*report.metrics.values(), *(suite.passed for suite in report.suites.values())]
    return not report.states["failed"] and not any(summary.errors for summary in unsure)


async def evaluate_rows(
    task: EvaluationTask,
    examples: Sequence[Example],
    questions: Sequence[Contents],
    responder: Responder,
    panel: JudgePanel | None,
    progress: Progress,
) -> list[RowResult]:
    """Every example with its answer and scores, in order.

    There are as many workers as there may be requests to model and judge together, and as many
    again, so that a row is judged while others are still asked, and others wait to be asked again
    or are scored.
    """
    evaluation = task.use_case.evaluation
    elsewhere = evaluation.metrics_by_service()
    metrics = row_metrics([metric for metric in evaluation.metrics if metric not in elsewhere])

    async def evaluate_row(place: int) -> RowResult:
        contents = questions[place]
        answer = await responder.respond(contents)
        return await score_row(examples[place], contents_text(contents), answer, metrics, panel)

    return await map_in_order(evaluate_row, len(examples), 3 * evaluation.concurrency, progress)


def build_report(
    task: EvaluationTask,
    rows: Sequence[RowResult],
    suites: dict[str, SuiteReport],
    store: ObjectStore,
) -> EvaluationReport:
    """Summary of an evaluation's rows."""
    evaluation = task.use_case.evaluation
    metrics, judge = evaluation.metric_names(), evaluation.judge
    versions = sorted({row.model_version for row in rows if row.model_version})
    median, slow = latency_percentiles(rows)
    layout = Layout(task.use_case.name)
    has_classes = any(metric in CLASS_METRICS for metric in evaluation.metrics)
    judging = (
        {name: judge_quality(rows, name, judge.repeats) for name in judge.metrics} if judge else {}
    )
    return EvaluationReport(
        use_case=task.use_case.name,
        candidate=task.candidate,
        model=task.model.address,
        model_version=", ".join(versions),
        fingerprint=task.fingerprint,
        evaluation_digest=task.evaluation_set.digest,
        prompt_digest=task.prompt.digest,
        judge_digest=judge_digest(judge),
        rows_uri=store.uri(layout.report_rows(task.fingerprint)),
        summary_uri=store.uri(layout.report(task.fingerprint)),
        rows=len(rows),
        states=count_states(rows),
        metrics=summarize_all(rows, metrics),
        slices=summarize_slices(rows, metrics),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        cost_usd=_cost(task, rows),
        latency_p50_seconds=median,
        latency_p95_seconds=slow,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        emulated=any("emulated" in version for version in versions),
        judging=judging,
        classification=classify(rows) if has_classes else None,
        suites=suites,
        rows_in_whole=task.degradation.evaluation_rows if task.degradation else None,
        done_with_less=task.degradation.done if task.degradation else [],
    )


def _cost(task: EvaluationTask, rows: Sequence[RowResult]) -> float | None:
    """Price of the answers in US dollars, or None when it is not known."""
    total, model = 0.0, task.model
    for batch in (False, True):
        paid = [row for row in rows if row.batch == batch and row.input_tokens]
        cost = token_cost(
            model.base_model,
            sum(row.input_tokens for row in paid),
            sum(row.output_tokens for row in paid),
            tuned=is_tuned(model.address),
            requests=len(paid),
            searches=len(paid) * ("google_search" in model.generation.tools),
            batch=batch,
            prices=task.use_case.budget.prices,
        )
        if cost is None:
            return None
        total += cost
    return total
