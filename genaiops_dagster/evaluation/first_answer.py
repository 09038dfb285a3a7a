"""The first answer: every candidate is asked one row before what comes next is paid for.

A model that is not there, or whose thoughts leave no room for an answer, is found for the price of
one request. The answer is kept: the evaluation does not ask that row again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.budget.stage_costs import estimate_of, price_requests
from genaiops_dagster.evaluation.alone import alone
from genaiops_dagster.evaluation.asking.concurrency import ServiceUnusableError
from genaiops_dagster.evaluation.asking.counting import AnswerCounter
from genaiops_dagster.evaluation.asking.inference import Contents, Responder, contents_key
from genaiops_dagster.evaluation.evaluation_set import questions_of, read_examples
from genaiops_dagster.evaluation.services import Services
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.google_cloud.base_models import facts_of
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.prompts.tokens import TokenTotal, api_counter, user_message
from genaiops_dagster.records.budget import StageCost
from genaiops_dagster.records.evaluation import Answer

_MOST_ROWS = 3
"""A row whose answer a safety filter blocks says nothing about the model; the next one may."""


def first_answer(
    task: EvaluationTask, models: VertexAI, purse: Purse, log: logging.Logger
) -> tuple[Answer | None, str]:
    """A candidate's answer to its first row, and what is wrong with it; empty if nothing is.

    Args:
        task: The candidate and its evaluation set.
        models: Vertex AI.
        purse: Reserves and books the request; the answer is kept in its bucket.
        log: Receives what other runs make this one wait for.

    Raises:
        BudgetExceededError: the budget does not allow the request.
    """
    from google.genai.errors import ClientError

    examples = read_examples(purse.store, task.evaluation_set)[:_MOST_ROWS]
    questions = questions_of(task.prompt, examples)
    answer, problem = None, ""
    with alone(purse.store, task.use_case, task.configuration, purse.clock, log):
        for question in questions:
            try:
                answer = _answer(task, models, purse, question)
            except (ServiceUnusableError, ClientError) as error:
                return None, f"{_name(task)} cannot be asked: {error}"
            problem = _problem(task, answer)
            if answer.state != "blocked":
                break
    return answer, problem


def _answer(task: EvaluationTask, models: VertexAI, purse: Purse, question: Contents) -> Answer:
    """The cached answer, or the one that the model gives now."""
    model, system = task.model, task.prompt.system_instruction
    unjudged = task.evaluation.model_copy(update={"judge": None})
    with Services(unjudged, models, purse) as services:
        cache = services.answers(model, system, [question])
        missing = [question] if cache.lacks(contents_key(question)) else []
        cost = _price(task, models, purse, missing)
        with purse.paying(
            f"evaluation/first-{task.configuration}",
            stage="evaluation",
            model=model.base_model,
            estimate=estimate_of(task.use_case, [cost], emulated=models.emulated),
            tuned=model.tuned,
            grounded=_is_grounded(task),
        ) as payment:
            service = services.paid(cache, AnswerCounter(payment), quota=model.base_model)

            async def ask() -> Answer:
                async with models.serving(model.address).genai_in_loop() as client:
                    asked = model.as_served(models)
                    return await Responder(client, asked, system, service).respond(question)

            return asyncio.run(ask())


def _price(
    task: EvaluationTask, models: VertexAI, purse: Purse, missing: Sequence[Contents]
) -> StageCost:
    """What the one request may cost; nothing if it was paid for before."""
    model, system, tokens = task.model, task.prompt.system_instruction, 0
    if missing:
        count = api_counter(models, model.base_model)
        turns = [dict(turn) for contents in missing for turn in contents]
        tokens = count([*([user_message(system)] if system else []), *turns])
    calls, limit = len(missing), model.output_limit
    return price_requests(
        purse.prices(),
        stage="evaluation",
        candidate=task.candidate,
        model=model.base_model,
        calls=calls,
        prompts=TokenTotal(tokens),
        output_tokens=calls * limit,
        maximum_output_tokens=calls * limit,
        longest=(tokens, calls * limit),
        basis=f"{calls} row that is asked first",
        tuned=model.tuned,
        searches=calls if _is_grounded(task) else 0,
    )


def _is_grounded(task: EvaluationTask) -> bool:
    return "google_search" in task.model.generation.tools


def _name(task: EvaluationTask) -> str:
    return f"candidates.{task.candidate} ({task.model.base_model})"


def _problem(task: EvaluationTask, answer: Answer) -> str:
    """What is wrong with a candidate that answers so, and what to change; empty if nothing is."""
    if answer.text or answer.tool_calls:
        return ""
    generation = f"candidates.{task.candidate}.generation"
    if answer.state == "truncated":
        facts = facts_of(task.model.base_model)
        levels = ", ".join(facts.thinking_levels) if facts else ""
        lower = f"set {generation}.thinking_level lower ({levels}), or " if levels else ""
        return (
            f"{_name(task)} gave no text: it used {answer.output_tokens:,} tokens, and thoughts "
            f"took all of them; {lower}raise {generation}.max_output_tokens"
        )
    if answer.state == "blocked":
        return (
            f"{_name(task)} was asked {_MOST_ROWS} rows, and each answer was blocked: "
            f"{answer.reason}; change the prompt, or its safety settings in serving.guardrails"
        )
    return f"{_name(task)} gave no answer: {answer.reason}"
