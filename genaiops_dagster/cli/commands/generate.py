"""`genaiops generate`: one answer from the champion, or from any model."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.session import Session, SessionError, open_session
from genaiops_dagster.cli.terminal import Terminal, styled, write
from genaiops_dagster.cli.umask import files_of_the_user
from genaiops_dagster.use_case import UseCase, UseCaseError, known_use_case
from genaiops_dagster.use_case.candidates import PRESETS, GenerationConfig

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.records.promotion import Champion
    from genaiops_dagster.records.serving import Finding
    from genaiops_dagster.serving.answering.ask import Question, Response

Preset = Literal["deterministic", "balanced", "random"]


class RefusedError(RuntimeError):
    """The question is not sent, or its answer not shown; the message says why."""


@dataclass(frozen=True)
class Options:
    """What the command line says of a question; the names are those of its options."""

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


def generate(
    text: Annotated[str | None, typer.Argument(help="What is asked.")] = None,
    use_case: Annotated[str, typer.Option(help="Name of the use case.")] = "python_modules",
    var: Annotated[
        list[str] | None, typer.Option(help="Value of a variable of the prompt: `name=value`.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Ask the text itself, without prompt.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Ask this model or endpoint instead of the champion.")
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(help="Image, audio, video, PDF or text: `gs://...` or a path; may repeat."),
    ] = None,
    system: Annotated[str | None, typer.Option(help="Another system instruction.")] = None,
    preset: Annotated[Preset | None, typer.Option(help="How freely the model chooses.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer.")] = None,
    schema: Annotated[
        Path | None, typer.Option(help="File with the JSON schema of the answer.")
    ] = None,
    search: Annotated[bool, typer.Option("--search", help="Ground with Google Search.")] = False,
    candidates: Annotated[int, typer.Option(min=1, max=8, help="How many answers.")] = 1,
    safety: Annotated[
        list[str] | None,
        typer.Option(help="What the service blocks: `harassment=block_only_high`; may repeat."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the full response to this file.")
    ] = None,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Ask the champion of a use case, with the prompt that it was evaluated with.

    The tokens are counted and held against the budget before anything is sent; the rules of
    serving.guardrails apply. Exits with 0 when an answer came, with 1 when it was refused or
    blocked, and with 2 when the question cannot be asked.
    """
    from google.genai.errors import APIError

    from genaiops_dagster.budget.limits import BudgetExceededError
    from genaiops_dagster.promotion.champion import ChampionError
    from genaiops_dagster.promotion.log import BrokenLogError
    from genaiops_dagster.prompts.rendering import PromptError
    from genaiops_dagster.serving.answering.ask import QuestionError
    from genaiops_dagster.serving.answering.parity import PromptParityError

    options = Options(
        text, var or [], raw, model, file or [], system, preset, max_tokens, schema, search,
        candidates, safety or [],
    )  # fmt: skip
    try:
        chosen = known_use_case(use_case)
        with open_session(folder) as session:
            _generate(chosen, session, options, json_file, Terminal())
    except (UseCaseError, SessionError, QuestionError, PromptError) as error:
        fail(str(error), code=2)
    except (
        *(BudgetExceededError, RefusedError, PromptParityError),
        *(ChampionError, BrokenLogError),
    ) as error:
        fail(f"refused: {error}")
    except APIError as error:
        fail(f"the service did not answer: {error}")


def _generate(
    use_case: UseCase,
    session: Session,
    options: Options,
    json_file: Path | None,
    console: Terminal,
) -> None:
    from genaiops_dagster.budget.admission import Requests
    from genaiops_dagster.budget.payment import Purse
    from genaiops_dagster.budget.pricing import is_tuned
    from genaiops_dagster.cli.clients import object_store, vertex_ai, warehouse
    from genaiops_dagster.evaluation.asking.inference import read_answer
    from genaiops_dagster.promotion.champion import gated_champion
    from genaiops_dagster.prompts.tokens import api_counter
    from genaiops_dagster.serving.answering.ask import stream
    from genaiops_dagster.serving.answering.guardrails import has_rules
    from genaiops_dagster.serving.daily.generate import count_prompts, paying

    store, clients = object_store(session), vertex_ai(session)
    champion = None if options.model else gated_champion(store, use_case.name)
    question, findings, note = _question(use_case, champion, options, store, clients.model_address)
    base, generation = question.model.base_model, question.model.generation
    tokens = count_prompts(
        api_counter(clients.genai, base), question.system_instruction, {"it": question.contents}
    )
    requests = Requests(
        use_case=use_case.name,
        stage="generation",
        candidate=champion.candidate if champion else "",
        model=base,
        max_output_tokens=generation.max_output_tokens,
        tuned=is_tuned(question.model.address),
        grounded="google_search" in generation.tools,
        emulated=clients.emulated,
        answers=question.candidates,
    )
    run = uuid.uuid4().hex
    purse = Purse(use_case, store, warehouse(session), f"command-{run}")
    held_back = has_rules(use_case.serving.guardrails.output) or question.candidates > 1
    with paying(purse, f"generation/{run}", requests, tokens) as (payment, refused):
        if refused:
            raise RefusedError(refused["it"])
        response = stream(clients.genai, question, _nothing if held_back else write)
        answer = read_answer(response.content, response.seconds)
        payment.add(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)
        cost = payment.cost_usd
    texts, output_findings, reason = _checked(use_case, response, question)
    if held_back and not reason:
        for number, text in enumerate(texts, start=1):
            write(f"[{number}] {text}\n" if question.candidates > 1 else text)
    write("\n")
    _footer(console, response, note, cost, clients.emulated)
    if json_file is not None:
        record = {
            "use_case": use_case.name,
            "champion": champion.number if champion else None,
            "model": question.model.address,
            "request": {
                "contents": question.contents,
                "config": question.config().model_dump(mode="json", exclude_none=True),
            },
            "response": response.content.model_dump(mode="json", exclude_none=True),
            "status": "blocked" if reason else answer.state,
            "reason": reason or answer.reason,
            "guardrails": [finding.model_dump() for finding in [*findings, *output_findings]],
            "counted_tokens": tokens["it"],
            "cost_usd": cost,
            "seconds": response.seconds,
            "seconds_to_first_token": response.seconds_to_first,
            "emulated": clients.emulated,
        }
        with files_of_the_user():
            json_file.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n")
    for finding in [*findings, *output_findings]:
        if finding.action == "redacted":
            console.print(styled(f"Redacted: {finding.sentence}", "yellow"))
    if reason:
        raise RefusedError(f"the answer is not shown: {reason}")
    if answer.state in ("blocked", "failed"):
        raise RefusedError(f"the service's answer is {answer.state}: {answer.reason}")


def _question(
    use_case: UseCase,
    champion: Champion | None,
    options: Options,
    store: ObjectStore,
    address: Callable[[str], str],
) -> tuple[Question, list[Finding], str]:
    """What is asked, what the rules of the input found, and a note on who is asked with what."""
    from genaiops_dagster.evaluation.asking.inference import Model
    from genaiops_dagster.prompts.rendering import request_contents, version
    from genaiops_dagster.prompts.tokens import user_message
    from genaiops_dagster.serving.answering.ask import Question, QuestionError, attach, fill_in
    from genaiops_dagster.serving.answering.guardrails import screen_input
    from genaiops_dagster.serving.answering.parity import prompt_of

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
    asked = champion.model if champion else str(options.model)
    model = Model(
        address(asked),
        champion.base_model if champion else _base_model(use_case, store, asked),
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
    who = f"champion {champion.number} of {use_case.name}" if champion else asked
    own = options.raw or options.system is not None
    with_what = "no prompt of the use case" if own else f"prompt {prompt.digest[:12]}"
    changed = champion is not None and (own or model.generation != generation)
    note = f"{who}, {with_what}" + (", not as it was evaluated" if changed else "")
    return question, screened.findings, note


def _base_model(use_case: UseCase, store: ObjectStore, model: str) -> str:
    """What an endpoint was tuned from, as far as this use case made it; else the model itself."""
    from genaiops_dagster.records.record import read_record
    from genaiops_dagster.records.tuning import TunedModel

    for candidate in use_case.candidates.values():
        try:
            tuned = read_record(store, TunedModel, use_case.name, *candidate.tuned_model)
        except FileNotFoundError:
            continue
        if model in (tuned.endpoint, *(checkpoint.endpoint for checkpoint in tuned.checkpoints)):
            return tuned.base_model
    return model


def _pairs(option: str, given: list[str]) -> dict[str, str]:
    from genaiops_dagster.serving.answering.ask import QuestionError

    wrong = [one for one in given if "=" not in one]
    if wrong:
        raise QuestionError(f"{option} {wrong[0]}: expected name=value")
    return dict(one.split("=", 1) for one in given)


def _generation(generation: GenerationConfig, options: Options) -> GenerationConfig:
    changes: dict[str, Any] = dict(PRESETS[options.preset]) if options.preset else {}
    if options.max_tokens is not None:
        changes["max_output_tokens"] = options.max_tokens
    if options.search:
        changes["tools"] = ["google_search"]
    if options.candidates > 1 and options.preset is None and generation.temperature == 0:
        changes["temperature"] = PRESETS["balanced"]["temperature"]  # else all are the same
    return generation.model_copy(update=changes)


def _filters(use_case: UseCase, options: Options) -> Any:
    from pydantic import ValidationError

    from genaiops_dagster.serving.answering.ask import QuestionError
    from genaiops_dagster.use_case.guardrails import Filters

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
    from genaiops_dagster.serving.answering.ask import QuestionError

    if path is None:
        return None
    try:
        schema = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise QuestionError(f"--schema {path}: {error}") from error
    if not isinstance(schema, dict):
        raise QuestionError(f"--schema {path}: expected a JSON object")
    return schema


def _checked(
    use_case: UseCase, response: Response, question: Question
) -> tuple[list[str], list[Finding], str | None]:
    """The answers after the rules of the output, what these found, and why none may be shown."""
    from genaiops_dagster.serving.answering.guardrails import screen_output

    rules = use_case.serving.guardrails.output
    if question.schema is not None:
        rules = rules.model_copy(update={"json_schema": dict(question.schema)})
    screened = [screen_output(rules, text) for text in response.texts if text]
    findings = [finding for one in screened for finding in one.findings]
    reasons = [one.reason for one in screened if one.reason]
    return [one.value for one in screened], findings, "; ".join(reasons) or None


def _footer(
    console: Terminal, response: Response, note: str, cost: float | None, emulated: bool
) -> None:
    """Who answered, what it took and cost, and the sources."""
    content = response.content
    usage = content.usage_metadata
    read = (usage.prompt_token_count if usage else None) or 0
    written = ((usage.total_token_count if usage else None) or read) - read
    finish = [c.finish_reason.name for c in content.candidates or [] if c.finish_reason]
    price = "cost unknown" if cost is None else f"${cost:.6f}"
    free = ", emulated, nothing was charged" if emulated else ""
    lines = [
        f"{content.model_version or 'no model'}, {note}",
        f"{read:,} tokens in, {written:,} out, {price}{free}",
        f"{', '.join(finish) or 'no answer'} after {response.seconds:.2f} s, "
        f"first token after {response.seconds_to_first:.2f} s",
    ]
    for candidate in content.candidates or []:
        grounding = candidate.grounding_metadata
        if grounding is None:
            continue
        lines += [f"searched for: {query}" for query in grounding.web_search_queries or []]
        sources = [chunk.web for chunk in grounding.grounding_chunks or [] if chunk.web]
        lines += [f"source: {source.title} {source.uri}" for source in sources]
    for line in lines:
        console.print(styled(line, "dim"), soft_wrap=True)


def _nothing(_: str) -> None:
    pass
