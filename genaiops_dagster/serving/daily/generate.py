"""Content from the champion: every prompt ends answered, refused, blocked, truncated or failed.

What was paid is kept by what decided it, so that the same prompts cost nothing the second time.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genaiops_dagster.budget.admission import Requests, refuse_over_budget
from genaiops_dagster.budget.ledger import Ledger
from genaiops_dagster.budget.limits import BudgetExceededError
from genaiops_dagster.budget.payment import Payment, Purse
from genaiops_dagster.budget.pricing import is_tuned
from genaiops_dagster.evaluation.asking.concurrency import PaidService, Progress, map_in_order
from genaiops_dagster.evaluation.asking.inference import (
    CachedPrefix,
    Contents,
    Model,
    contents_key,
)
from genaiops_dagster.evaluation.session import Session
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.prompts.rendering import PromptError, request_contents
from genaiops_dagster.prompts.tokens import CountTokens, api_counter, user_message
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
from genaiops_dagster.serving.answering.costs import answer_cost
from genaiops_dagster.serving.answering.guardrails import guard, screen_input
from genaiops_dagster.serving.answering.parity import prompt_of
from genaiops_dagster.serving.daily.context_cache import CacheBook, use_cache
from genaiops_dagster.serving.daily.incoming import Incoming
from genaiops_dagster.serving.daily.tables import to_parquet
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

_LOG = logging.getLogger(__name__)
_COUNTERS = 16
_RESERVATIONS = 5


@dataclass(frozen=True)
class Prepared:
    """A prompt as it is to be asked, or why it is not.

    Attributes:
        incoming: As it came in.
        contents: What is asked; None where it is not.
        key: Under what its answer is kept; empty where nothing is asked.
        findings: What the rules of the input decided.
        status, reason: How it ended already; None where it is to be asked.
    """

    incoming: Incoming
    contents: Contents | None = None
    key: str = ""
    findings: list[Finding] = field(default_factory=list)
    status: Status | None = None
    reason: str | None = None


@dataclass
class Generation:
    """What a run of prompts came to.

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


def model_of(use_case: UseCase, champion: Champion, vertex_ai: VertexAI) -> Model:
    """The champion as it is asked, with the filters of the use case."""
    return Model(
        vertex_ai.model_address(champion.model),
        champion.base_model,
        champion.generation,
        use_case.serving.guardrails.filters,
    )


def generate(
    use_case: UseCase,
    champion: Champion,
    incoming: Sequence[Incoming],
    store: ObjectStore,
    vertex_ai: VertexAI,
    purse: Purse,
    progress: Progress,
    log: logging.Logger = _LOG,
) -> Generation:
    """Ask the champion for every prompt that may be asked.

    Args:
        use_case: Its rules, budget and limits.
        champion: Who is asked, with its own prompt and config.
        incoming: The prompts.
        store: Bucket of the answers that are kept.
        vertex_ai: Vertex AI.
        purse: The run's.
        progress: Told how many are done.
        log: Told of batch jobs and caches.

    Raises:
        PromptParityError: the prompt is not the one that was judged; nothing was asked.
        ServiceUnusableError: the model cannot be called at all.
        BatchFailedError: the batch job failed, or is not done in time.
    """
    prompt = prompt_of(champion, store)
    model = model_of(use_case, champion, vertex_ai)
    system = prompt.system_instruction
    prepared = [prepare(use_case, prompt, one) for one in incoming]
    asked = {one.key: one.contents for one in prepared if one.contents is not None}
    generation = Generation()
    with Session(use_case, store, vertex_ai, "reuse", log) as session:
        answers = session.answers(model, system, asked.values())
        missing = {key: contents for key, contents in asked.items() if answers.cache.lacks(key)}
        least = use_case.serving.daily.batch_from_rows
        generation.batch = least is not None and len(missing) >= least
        counter = api_counter(vertex_ai.genai, champion.base_model)
        requests = _requests(
            use_case, champion, emulated=vertex_ai.emulated, batch=generation.batch
        )
        work = f"generation/{fingerprint(model.configuration(system), sorted(missing))}"
        tokens = count_prompts(counter, system, missing)
        with paying(purse, work, requests, tokens) as (payment, refused):
            answers.on_paid = functools.partial(_count, payment)
            admitted = {key: value for key, value in missing.items() if key not in refused}
            if generation.batch and admitted:
                session.answer_in_batch(model, system, admitted.values(), answers, purse.warehouse)
                admitted = {k: v for k, v in admitted.items() if answers.cache.lacks(k)}
            book = CacheBook(use_case, store, vertex_ai.genai, model, system)
            with use_cache(book, list(admitted.values()), counter, payment, log) as cached:
                found = _ask(
                    session,
                    (model, system, answers, cached.prefix),
                    {key: asked[key] for key in asked if key not in refused},
                    use_case.evaluation.concurrency,
                    progress,
                )
            generation.caching = cached.use
            generation.paid_requests = payment.total.requests
            generation.paid_usd = payment.cost_usd
    cost = answer_cost(use_case, champion)
    for one in prepared:
        generation.rows.append(
            _row(use_case, one, found.get(one.key), refused.get(one.key), prompt, cost)
        )
    return generation


def prepare(use_case: UseCase, prompt: PromptVersion, incoming: Incoming) -> Prepared:
    """A prompt through the rules of the input and the renderer."""
    if incoming.variables is None:
        return Prepared(incoming, status="failed", reason=f"not readable: {incoming.error}")
    screened = screen_input(use_case.serving.guardrails.input, incoming.variables)
    if screened.reason:
        return Prepared(
            incoming, findings=screened.findings, status="refused", reason=screened.reason
        )
    try:
        contents = request_contents(prompt, screened.value)
        key = contents_key(contents)
    except (PromptError, ValueError) as error:
        return Prepared(
            incoming, findings=screened.findings, status="failed", reason=f"not rendered: {error}"
        )
    return Prepared(incoming, contents, key, screened.findings)


def count_prompts(
    count: CountTokens, system_instruction: str, asked: dict[str, Contents]
) -> dict[str, int]:
    """Tokens of each prompt with the system instruction, several counted at a time."""
    if not asked:
        return {}
    instruction = count([user_message(system_instruction)]) if system_instruction else 0
    with ThreadPoolExecutor(_COUNTERS, thread_name_prefix="count-tokens") as pool:
        counts = pool.map(lambda contents: count([dict(turn) for turn in contents]), asked.values())
        return {key: tokens + instruction for key, tokens in zip(asked, counts, strict=True)}


def _requests(use_case: UseCase, champion: Champion, *, emulated: bool, batch: bool) -> Requests:
    return Requests(
        use_case=use_case.name,
        stage="generation",
        candidate=champion.candidate,
        model=champion.base_model,
        max_output_tokens=champion.generation.max_output_tokens,
        tuned=is_tuned(champion.model),
        batch=batch,
        grounded="google_search" in champion.generation.tools,
        emulated=emulated,
    )


@contextmanager
def paying(
    purse: Purse, work: str, requests: Requests, tokens: dict[str, int]
) -> Iterator[tuple[Payment, dict[str, str]]]:
    """Reserve what the admitted prompts may cost; the payment, and why others are refused.

    Another run may reserve between the look at the ledger and the reservation: then prompts are
    admitted anew, by what is left.
    """
    budget = purse.use_case.budget
    ledger = Ledger(purse.store, purse.use_case.name, budget)
    for attempt in range(1, _RESERVATIONS + 1):
        run, month = ledger.taken(work, purse.run_id)
        reasons = refuse_over_budget(list(tokens.values()), requests, budget, run, month)
        refused = {key: reason for key, reason in zip(tokens, reasons, strict=True) if reason}
        admitted = [count for key, count in tokens.items() if key not in refused]
        with ExitStack() as stack:
            try:
                payment = stack.enter_context(
                    purse.paying(
                        work,
                        stage=requests.stage,
                        model=requests.model,
                        estimate=requests.estimate(admitted, budget.prices),
                        tuned=requests.tuned,
                        batch=requests.batch,
                        grounded=requests.grounded,
                        of_lifecycle=False,
                    )
                )
            except BudgetExceededError:
                if attempt == _RESERVATIONS:
                    raise
                continue
            yield payment, refused
            return


def _count(payment: Payment, answer: Answer) -> None:
    payment.add(
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        cached_tokens=answer.cached_tokens,
    )


def _ask(
    session: Session,
    model: tuple[Model, str, PaidService[Answer], CachedPrefix | None],
    asked: dict[str, Contents],
    workers: int,
    progress: Progress,
) -> dict[str, Answer]:
    """Answers by key; what is kept is not asked again."""
    keys = list(asked)

    async def work() -> list[Answer]:
        responder = session.responder(*model)
        return await map_in_order(
            lambda place: responder.respond(asked[keys[place]]), len(keys), workers, progress
        )

    return dict(zip(keys, session.run(work), strict=True)) if keys else {}


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
        "id": one.incoming.id,
        "source": one.incoming.source,
        "source_row": one.incoming.row,
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
