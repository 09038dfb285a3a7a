"""`genaiops generate`: one answer from the champion, or from any model."""

from __future__ import annotations

import difflib
import json
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.terminal import Terminal, styled, write
from genaiops_dagster.cli.umask import files_of_the_user
from genaiops_dagster.cli.working import reporting, working_on
from genaiops_dagster.use_case import UseCaseError, load_use_cases

if TYPE_CHECKING:
    from genaiops_dagster.orchestration.workspace import Workspace
    from genaiops_dagster.serving.answering.ask import Response
    from genaiops_dagster.serving.answering.one_question import QuestionOptions

_DEFAULT = "python_modules"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
Preset = Literal["deterministic", "balanced", "random"]


def generate(
    use_case: Annotated[
        str | None,
        typer.Argument(help=f"Name of the use case; {_DEFAULT} if it is left out before a text."),
    ] = None,
    text: Annotated[str | None, typer.Argument(help="What is asked.")] = None,
    use_case_option: Annotated[
        str | None, typer.Option("--use-case", hidden=True, help="The form of version 0.1.")
    ] = None,
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

    The tokens are counted and checked against the budget before anything is sent; the rules of
    serving.guardrails apply. Exits with 0 when an answer came, with 1 when it was refused or
    blocked, and with 2 when the question cannot be asked.
    """
    from google.genai.errors import APIError

    from genaiops_dagster.budget.limits import BudgetExceededError
    from genaiops_dagster.promotion.champion import ChampionError
    from genaiops_dagster.prompts.parity import PromptParityError
    from genaiops_dagster.prompts.rendering import PromptError
    from genaiops_dagster.records.chain import BrokenLogError
    from genaiops_dagster.serving.answering.ask import QuestionError
    from genaiops_dagster.serving.answering.one_question import QuestionOptions, RefusedError

    with reporting():
        name, text = _name_and_text(use_case, text, use_case_option)
    options = QuestionOptions(
        text, var or [], raw, model, file or [], system, preset, max_tokens, schema, search,
        candidates, safety or [],
    )  # fmt: skip
    refusals = (RefusedError, PromptParityError, ChampionError, BrokenLogError, BudgetExceededError)
    try:
        with working_on(name, folder, mistakes=(QuestionError, PromptError)) as here:
            _generate(here, options, json_file, Terminal())
    except refusals as error:
        fail(f"refused: {error}")
    except APIError as error:
        fail(f"the service did not answer: {error}")


def _name_and_text(
    first: str | None, second: str | None, option: str | None
) -> tuple[str, str | None]:
    """The use case and the text, of which the first may be left out, or be an option as before.

    Raises:
        UseCaseError: a single word is neither a text nor a use case; or there is one text too many.
    """
    if option is not None:
        Terminal(stderr=True).print(
            styled("--use-case will go with the next release;", "yellow"),
            f"write `genaiops generate {option} ...`",
            soft_wrap=True,
        )
        if second is not None:
            raise UseCaseError(f"one text is asked at a time, not {first!r} and {second!r}")
        return option, first
    if first is None:
        return _DEFAULT, None
    known = load_use_cases()
    if second is None and first not in known:
        if _NAME.fullmatch(first) and difflib.get_close_matches(first, known):
            raise UseCaseError(
                f"there is no use case {first}; there are: {', '.join(sorted(known))}. "
                f"To ask the word itself: genaiops generate {_DEFAULT} {first}"
            )
        return _DEFAULT, first
    return first, second


def _generate(
    here: Workspace, options: QuestionOptions, json_file: Path | None, console: Terminal
) -> None:
    from genaiops_dagster.budget.payment import Purse
    from genaiops_dagster.promotion.champion import gated_champion
    from genaiops_dagster.serving.answering.one_question import (
        RefusedError,
        ask,
        build_question,
        is_held_back,
    )

    use_case, store, models = here.use_case, here.store, here.models
    champion = None if options.model else gated_champion(store, use_case.name)
    question, findings, note = build_question(
        use_case, champion, options, store, models.model_address
    )
    purse = Purse(
        use_case.name,
        use_case.budget,
        store,
        here.warehouse,
        here.clock,
        f"command-{uuid.uuid4().hex}",
    )
    reply = ask(use_case, champion, question, models, purse, write)
    if is_held_back(use_case, question) and not reply.withheld:
        for number, text in enumerate(reply.texts, start=1):
            write(f"[{number}] {text}\n" if question.candidates > 1 else text)
    write("\n")
    _footer(console, reply.response, note, reply.cost_usd, models.emulated)
    answer, findings = reply.answer, [*findings, *reply.findings]
    if json_file is not None:
        record = {
            "use_case": use_case.name,
            "champion": champion.number if champion else None,
            "model": question.model.address,
            "request": {
                "contents": question.contents,
                "config": question.config().model_dump(mode="json", exclude_none=True),
            },
            "response": reply.response.content.model_dump(mode="json", exclude_none=True),
            "status": "blocked" if reply.withheld else answer.state,
            "reason": reply.withheld or answer.reason,
            "guardrails": [finding.model_dump() for finding in findings],
            "counted_tokens": reply.counted_tokens,
            "cost_usd": reply.cost_usd,
            "seconds": reply.response.seconds,
            "seconds_to_first_token": reply.response.seconds_to_first,
            "emulated": models.emulated,
        }
        with files_of_the_user():
            json_file.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n")
    for finding in findings:
        if finding.action == "redacted":
            console.print(styled(f"Redacted: {finding.sentence}", "yellow"))
    if reply.withheld:
        raise RefusedError(f"the answer is not shown: {reply.withheld}")
    if answer.state in ("blocked", "failed"):
        raise RefusedError(f"the service's answer is {answer.state}: {answer.reason}")


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
