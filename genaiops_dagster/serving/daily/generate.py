"""Content from the champion: every prompt ends answered, refused, blocked, truncated or failed.

Answers are cached by what decided them, so that the same prompts cost nothing the second time.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genaiops_dagster.budget.admission import Requests
from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.evaluation.asking.concurrency import PaidService, Progress, map_in_order
from genaiops_dagster.evaluation.asking.counting import AnswerCounter
from genaiops_dagster.evaluation.asking.inference import (
    CachedPrefix,
    Contents,
    Model,
    Responder,
    contents_key,
)
from genaiops_dagster.evaluation.services import Services
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.prompts.rendering import PromptError, request_contents
from genaiops_dagster.prompts.tokens import api_counter
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.promotion import Champion
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.serving import (
    CacheUse,
    Finding,
    GeneratedContent,
    GeneratedRow,
    Status,
)
from genaiops_dagster.serving.answering.admission import count_prompts, paying
from genaiops_dagster.serving.answering.costs import answer_cost
from genaiops_dagster.serving.answering.guardrails import guard, screen_input
from genaiops_dagster.serving.answering.parity import prompt_of
from genaiops_dagster.serving.daily.context_cache import CacheBook, use_cache
from genaiops_dagster.serving.daily.day_prompts import DayPrompt
from genaiops_dagster.serving.daily.tables import to_parquet
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A prompt ready to be sent, or why it is not sent.

    Attributes:
        source: The prompt as it was given.
        contents: The turns to send; None if there is nothing to send.
        key: Key of its answer in the cache; empty if there is nothing to send.
        findings: What the rules of the input decided.
        status, reason: How it has ended already; None if it is to be sent.
    """

    source: DayPrompt
    contents: Contents | None = None
    key: str = ""
    findings: list[Finding] = field(default_factory=list)
    status: Status | None = None
    reason: str | None = None


@dataclass
class Generation:
    """The outcome of a run of prompts.

    Attributes:
        rows: One for each prompt, in order.
        paid: What this run paid.
        caching: What context caching came to.
        batch: Whether a batch job was asked.
    """

    rows: list[GeneratedRow] = field(default_factory=list)
    paid_requests: int = 0
    paid_usd: float | None = 0.0
    caching: CacheUse = field(default_factory=lambda: CacheUse(action="nothing was asked"))
    batch: bool = False


def model_of(use_case: UseCase, champion: Champion, models: VertexAI) -> Model:
    """The champion as it is asked, with the filters of the use case."""
    return Model(
        models.model_address(champion.model),
        champion.base_model,
        champion.generation,
        use_case.serving.guardrails.filters,
        champion.registered_model,
    )


def generate(
    use_case: UseCase,
    champion: Champion,
    of: dt.date | str,
    requested: Sequence[DayPrompt],
    store: ObjectStore,
    models: VertexAI,
    purse: Purse,
    progress: Progress,
    log: logging.Logger = _LOG,
) -> Generation:
    """Ask the champion for every prompt that may be asked.

    Args:
        use_case: Its rules, budget and limits.
        champion: Who is asked, with its own prompt and config.
        of: The day, or `samples`; with the champion it identifies the work in the ledger.
        requested: The prompts.
        store: Bucket of the cached answers.
        models: Vertex AI.
        purse: The run's.
        progress: Takes how many are done.
        log: Receives what batch jobs and caches do.

    Raises:
        PromptParityError: the prompt is not the one that was judged; nothing was asked.
        ServiceUnusableError: the model cannot be called at all.
        BatchFailedError: the batch job failed, or is not done in time.
    """
    prompt = prompt_of(champion, store)
    model = model_of(use_case, champion, models)
    system = prompt.system_instruction
    prepared = [prepare(use_case, prompt, one) for one in requested]
    prompts = {one.key: one.contents for one in prepared if one.contents is not None}
    generation = Generation()
    found: dict[str, Answer] = {}
    evaluation = use_case.evaluation
    with Services(evaluation, models, purse) as services:
        cache = services.answers(model, system, prompts.values())
        missing = {key: contents for key, contents in prompts.items() if cache.lacks(key)}
        least = use_case.serving.daily.batch_from_rows
        many = least is not None and len(missing) >= least
        generation.batch = many and model.in_batch is not None
        count = api_counter(models, champion.base_model)
        requests = _requests(
            use_case, champion, model, emulated=models.emulated, batch=generation.batch
        )
        work = f"generation/{fingerprint(model.configuration(system), str(of))}"
        tokens = count_prompts(count, system, missing)
        with paying(purse, work, requests, tokens) as (payment, refused):
            answers = services.paid(cache, AnswerCounter(payment), quota=model.base_model)
            admitted = {key: value for key, value in missing.items() if key not in refused}
            if generation.batch and admitted:
                services.answer_in_batch(model, system, admitted.values(), answers, log)
                admitted = {k: v for k, v in admitted.items() if cache.lacks(k)}
            client, asked = models.serving(model.address).genai, model.as_served(models)
            book = CacheBook(use_case, store, client, asked, system, purse.clock)
            with use_cache(book, list(admitted.values()), count, payment, log) as cached:
                allowed = {key: prompts[key] for key in prompts if key not in refused}
                if allowed:
                    found = asyncio.run(
                        _ask(
                            models,
                            model,
                            system,
                            answers,
                            cached.prefix,
                            allowed,
                            evaluation.concurrency,
                            progress,
                        )
                    )
            generation.caching = cached.use
            generation.paid_requests = payment.total.requests
            generation.paid_usd = payment.cost_usd
    cost = answer_cost(purse.prices(), champion)
    for one in prepared:
        generation.rows.append(
            _row(use_case, one, found.get(one.key), refused.get(one.key), prompt, cost)
        )
    return generation


def prepare(use_case: UseCase, prompt: PromptVersion, source: DayPrompt) -> Prepared:
    """A prompt through the rules of the input and the renderer."""
    if source.variables is None:
        return Prepared(source, status="failed", reason=f"not readable: {source.error}")
    screened = screen_input(use_case.serving.guardrails.input, source.variables)
    if screened.reason:
        return Prepared(
            source, findings=screened.findings, status="refused", reason=screened.reason
        )
    try:
        contents = request_contents(prompt, screened.value)
        key = contents_key(contents)
    except (PromptError, ValueError) as error:
        return Prepared(
            source, findings=screened.findings, status="failed", reason=f"not rendered: {error}"
        )
    return Prepared(source, contents, key, screened.findings)


def _requests(
    use_case: UseCase, champion: Champion, model: Model, *, emulated: bool, batch: bool
) -> Requests:
    return Requests(
        use_case=use_case.name,
        stage="generation",
        candidate=champion.candidate,
        model=champion.base_model,
        max_output_tokens=model.output_limit,
        tuned=model.tuned,
        batch=batch,
        grounded="google_search" in champion.generation.tools,
        emulated=emulated,
    )


async def _ask(
    models: VertexAI,
    model: Model,
    system_instruction: str,
    service: PaidService[Answer],
    prefix: CachedPrefix | None,
    prompts: dict[str, Contents],
    workers: int,
    progress: Progress,
) -> dict[str, Answer]:
    """Answers by key; cached ones are not asked for again."""
    keys = list(prompts)
    async with models.serving(model.address).genai_in_loop() as client:
        responder = Responder(client, model.as_served(models), system_instruction, service, prefix)
        answers = await map_in_order(
            lambda index: responder.respond(prompts[keys[index]]), len(keys), workers, progress
        )
    return dict(zip(keys, answers, strict=True))


def _row(
    use_case: UseCase,
    one: Prepared,
    answer: Answer | None,
    refused: str | None,
    prompt: PromptVersion,
    cost: Callable[[Answer], float | None],
) -> GeneratedRow:
    """How a prompt ended."""
    place = {
        "id": one.source.id,
        "source": one.source.source,
        "source_row": one.source.row,
        "prompt_digest": prompt.digest,
        "guardrails": one.findings,
    }
    if answer is None:
        status: Status = one.status or "refused"
        return GeneratedRow.model_validate(
            {**place, "status": status, "reason": one.reason or refused}
        )
    shown, found = guard(use_case.serving.guardrails.output, answer)
    return GeneratedRow.model_validate(
        {
            **place,
            **shown.model_dump(exclude={"state", "text"}),
            "status": shown.state,
            "answer": shown.text,
            "guardrails": [*one.findings, *found],
            "cost_usd": cost(answer),
        }
    )


def keep(
    use_case: UseCase,
    champion: Champion,
    of: dt.date | str,
    generation: Generation,
    store: ObjectStore,
    *,
    emulated: bool,
) -> GeneratedContent:
    """Write the rows under their digest, once, and sum them up.

    Args:
        use_case: Whose content.
        champion: What generated it.
        of: The day, or `samples`.
        generation: The rows, and what they cost.
        store: Bucket.
        emulated: Whether the emulator answered.
    """
    rows, name = generation.rows, str(of)
    digest = fingerprint(rows)
    path = Layout(use_case.name).generated(name, digest)
    store.write_once(path, to_parquet(rows), "application/vnd.apache.parquet")
    return GeneratedContent(
        of=name,
        digest=digest,
        champion=champion.number,
        model=champion.model,
        model_versions=sorted({row.model_version for row in rows} - {""}),
        prompt_digest=champion.prompt_digest,
        uri=store.uri(path),
        rows=len(rows),
        states=dict(Counter(row.status for row in rows)),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        cached_tokens=sum(row.cached_tokens for row in rows),
        cost_usd=_total(row.cost_usd for row in rows if row.model_version),
        paid_requests=generation.paid_requests,
        paid_usd=generation.paid_usd,
        batch=generation.batch,
        latency_seconds=max((row.latency_seconds for row in rows), default=0.0),
        caching=generation.caching,
        emulated=emulated,
    )


def _total(costs: Iterable[float | None]) -> float | None:
    """Their sum; None when one is not known."""
    total = 0.0
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total
