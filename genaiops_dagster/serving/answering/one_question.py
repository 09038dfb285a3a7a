"""One question of a person to the champion or to any model: built, paid for and screened."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from genaiops_dagster.budget.admission import Requests
from genaiops_dagster.budget.ledger import Usage
from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.budget.pricing import is_tuned
from genaiops_dagster.evaluation.asking.inference import Model, read_answer
from genaiops_dagster.prompts.rendering import request_contents, version
from genaiops_dagster.prompts.tokens import api_counter, user_message
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.records.promotion import Champion
from genaiops_dagster.records.record import read_record
from genaiops_dagster.records.serving import Finding
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.serving.answering.admission import count_prompts, paying
from genaiops_dagster.serving.answering.ask import (
    Question,
    QuestionError,
    Response,
    attach,
    fill_in,
    stream,
)
from genaiops_dagster.serving.answering.guardrails import has_rules, screen_input, screen_output
from genaiops_dagster.serving.answering.parity import prompt_of
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.candidates import PRESETS, GenerationConfig
from genaiops_dagster.use_case.guardrails import Filters

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI


class RefusedError(RuntimeError):
    """The question is not sent, or its answer not shown; the message says why."""


@dataclass(frozen=True)
class QuestionOptions:
    """A person's choices for a question, by the names of `genaiops generate`'s options."""

    text: str | None
    variables: list[str]
    raw: bool
    model: str | None
    file: list[str]
    system: str | None
    preset: str | None
    max_tokens: int | None
    schema: Path | None
    search: bool
    candidates: int
    safety: list[str]


@dataclass(frozen=True)
class Reply:
    """The outcome of a question.

    Attributes:
        response: The service's.
        answer: How it ended, with its tokens.
        texts: What may be shown of each candidate.
        findings: What the rules of the output decided.
        withheld: Why nothing may be shown; None if it may.
        counted_tokens: Tokens of the request, counted before it was sent.
        cost_usd: Its price; None if it is not known.
    """

    response: Response
    answer: Answer
    texts: list[str]
    findings: list[Finding]
    withheld: str | None
    counted_tokens: int
    cost_usd: float | None


def is_held_back(use_case: UseCase, question: Question) -> bool:
    """Whether no text may be shown before all of it is there and has been screened."""
    return has_rules(use_case.serving.guardrails.output) or question.candidates > 1


def ask(
    use_case: UseCase,
    champion: Champion | None,
    question: Question,
    models: VertexAI,
    purse: Purse,
    on_text: Callable[[str], None],
) -> Reply:
    """Ask within the budget, and screen what comes.

    Args:
        use_case: Its rules of the output apply.
        champion: Who is asked; None for any other model.
        question: What is asked.
        models: Vertex AI.
        purse: Pays.
        on_text: Takes the text as it comes, unless it is held back.

    Raises:
        RefusedError, BudgetExceededError: the budget does not allow it; nothing was sent.
        google.genai.errors.APIError: the service did not answer.
    """
    base, generation = question.model.base_model, question.model.generation
    counter = api_counter(models, base)
    tokens = count_prompts(counter, question.system_instruction, {"it": question.contents})
    requests = Requests(
        use_case=use_case.name,
        stage="generation",
        candidate=champion.candidate if champion else "",
        model=base,
        max_output_tokens=question.model.output_limit,
        tuned=is_tuned(question.model.address),
        grounded="google_search" in generation.tools,
        emulated=models.emulated,
        answers=question.candidates,
    )
    shown = (lambda _: None) if is_held_back(use_case, question) else on_text
    with paying(purse, f"generation/{uuid.uuid4().hex}", requests, tokens) as (payment, refused):
        if refused:
            raise RefusedError(refused["it"])
        client = models.serving(question.model.address).genai
        asked = dataclasses.replace(question, model=question.model.as_served(models))
        response = stream(client, asked, shown, purse.clock)
        answer = read_answer(response.content, response.seconds)
        payment.add(Usage(1, answer.input_tokens, answer.output_tokens))
        cost = payment.cost_usd
    texts, findings, withheld = _screened(use_case, response, question)
    return Reply(response, answer, texts, findings, withheld, tokens["it"], cost)


def build_question(
    use_case: UseCase,
    champion: Champion | None,
    options: QuestionOptions,
    store: ObjectStore,
    address: Callable[[str], str],
) -> tuple[Question, list[Finding], str]:
    """The question, what the rules of the input found, and a note on who is asked with what.

    Args:
        use_case: Its prompt, defaults and rules apply.
        champion: Who is asked; None if the options name a model.
        options: What the person chose.
        store: Where files are uploaded to, and tuned models are recorded.
        address: Resource name of a model.

    Raises:
        QuestionError: the question cannot be asked as it is.
        RefusedError: a rule of the input forbids to send it.
    """
    if champion is None and options.model is None:
        raise QuestionError(
            f"{use_case.name} has no champion yet: `genaiops run {use_case.name}` makes one, "
            "or ask a model with --model"
        )
    prompt = prompt_of(champion, store) if champion else version(use_case.prompt)
    if options.raw and options.text is None:
        raise QuestionError("--raw needs a text")
    variables = (
        {"text": options.text}
        if options.raw
        else fill_in(
            prompt, options.text, _pairs("--var", options.variables), use_case.serving.defaults
        )
    )
    screened = screen_input(use_case.serving.guardrails.input, variables)
    if screened.reason:
        raise RefusedError(screened.reason)
    contents = (
        [user_message(screened.value["text"])]
        if options.raw
        else request_contents(prompt, screened.value)
    )
    system = "" if options.raw else prompt.system_instruction
    generation = champion.generation if champion else GenerationConfig()
    name = champion.model if champion else str(options.model)
    model = Model(
        address(name),
        champion.base_model if champion else _base_model(use_case, store, name),
        _generation(generation, options),
        _filters(use_case, options),
    )
    question = Question(
        model,
        system if options.system is None else options.system,
        attach(contents, options.file, store, use_case.name),
        options.candidates,
        _schema(options.schema),
    )
    who = f"champion {champion.number} of {use_case.name}" if champion else name
    own = options.raw or options.system is not None
    with_what = "no prompt of the use case" if own else f"prompt {prompt.digest[:12]}"
    changed = champion is not None and (own or model.generation != generation)
    note = f"{who}, {with_what}" + (", not as it was evaluated" if changed else "")
    return question, screened.findings, note


def _base_model(use_case: UseCase, store: ObjectStore, model: str) -> str:
    """The base model of an endpoint that this use case tuned; otherwise the model itself."""
    for candidate in use_case.candidates.values():
        try:
            tuned = read_record(store, TunedModel, use_case.name, *candidate.tuned_model)
        except FileNotFoundError:
            continue
        if model in (tuned.endpoint, *(checkpoint.endpoint for checkpoint in tuned.checkpoints)):
            return tuned.base_model
    return model


def _pairs(option: str, given: list[str]) -> dict[str, str]:
    wrong = [one for one in given if "=" not in one]
    if wrong:
        raise QuestionError(f"{option} {wrong[0]}: expected name=value")
    return dict(one.split("=", 1) for one in given)


def _generation(generation: GenerationConfig, options: QuestionOptions) -> GenerationConfig:
    changes: dict[str, Any] = dict(PRESETS[options.preset]) if options.preset else {}
    if options.max_tokens is not None:
        changes["max_output_tokens"] = options.max_tokens
    if options.search:
        changes["tools"] = ["google_search"]
    if options.candidates > 1 and options.preset is None and generation.temperature == 0:
        changes["temperature"] = PRESETS["balanced"]["temperature"]  # else all are the same
    return generation.model_copy(update=changes)


def _filters(use_case: UseCase, options: QuestionOptions) -> Any:

    own = use_case.serving.guardrails
    if not options.safety:
        return own.filters
    try:
        return Filters.model_validate(
            {
                "safety": {**own.safety, **_pairs("--safety", options.safety)},
                "model_armor": own.model_armor,
            }
        )
    except ValidationError as error:
        problem = error.errors()[0]
        raise QuestionError(f"--safety: {problem['msg']}") from error


def _schema(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        schema = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise QuestionError(f"--schema {path}: {error}") from error
    if not isinstance(schema, dict):
        raise QuestionError(f"--schema {path}: expected a JSON object")
    return schema


def _screened(
    use_case: UseCase, response: Response, question: Question
) -> tuple[list[str], list[Finding], str | None]:
    """The answers after the rules of the output, what these found, and why none may be shown."""
    rules = use_case.serving.guardrails.output
    if question.schema is not None:
        rules = rules.model_copy(update={"json_schema": dict(question.schema)})
    screened = [screen_output(rules, text) for text in response.texts if text]
    findings = [finding for one in screened for finding in one.findings]
    reasons = [one.reason for one in screened if one.reason]
    return [one.value for one in screened], findings, "; ".join(reasons) or None
