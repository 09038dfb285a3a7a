"""Exact match, BLEU and ROUGE by the evaluation service: many rows a request.

The figures are those of `metrics.py`, as tests make sure.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from genaiops_dagster.budget.ledger import Usage
from genaiops_dagster.budget.payment import Receipt
from genaiops_dagster.budget.stage_costs import SERVICE_ROWS
from genaiops_dagster.evaluation.asking.concurrency import (
    PaidService,
    RequestFailedError,
    persist,
)
from genaiops_dagster.evaluation.asking.counting import Counter, Texts
from genaiops_dagster.evaluation.asking.threads import in_thread
from genaiops_dagster.evaluation.scoring.metrics import ROUGE, VERSION
from genaiops_dagster.google_cloud.vertex_ai import message_types
from genaiops_dagster.records.evaluation import Judgement, RowResult
from genaiops_dagster.records.fingerprint import fingerprint

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI


async def score_by_service(
    rows: Sequence[RowResult],
    metrics: Iterable[str],
    models: VertexAI,
    service: PaidService[Judgement],
    counter: Counter[Sequence[Texts]],
) -> list[RowResult]:
    """Rows with the service's scores in `metrics` besides those that they have.

    Args:
        rows: Rows with their answers; those without one stay as they are.
        metrics: Some of those that the service has.
        models: Vertex AI, whose evaluation client is called in threads.
        service: Quota, patience and cache.
        counter: Counts the texts of each request that was answered.
    """
    scored = list(rows)
    for metric in metrics:
        ask = functools.partial(_scores, models, metric)
        texts = {i: _texts(row) for i, row in enumerate(rows) if row.answer is not None}
        needed = [text for text in set(texts.values()) if service.cache.lacks(_key(metric, text))]
        service.cache.refuse_if_strict(len(needed), f"scores in {metric}")
        failed = await _score_all(metric, sorted(needed), ask, service, counter)
        for index, text in texts.items():
            found = None if text in failed else service.cache.get(_key(metric, text))
            scored[index] = _with_score(scored[index], metric, found, failed.get(text))
    return scored


async def _score_all(
    metric: str,
    texts: Sequence[Texts],
    ask: Callable[[Sequence[Texts], float], list[float]],
    service: PaidService[Judgement],
    counter: Counter[Sequence[Texts]],
) -> dict[Texts, str]:
    """Cache the scores of all `texts`; why there is none, for those of failed requests."""
    failed: dict[Texts, str] = {}

    async def score(chunk: Sequence[Texts]) -> None:
        def send(timeout_seconds: float) -> asyncio.Future[list[float]]:
            return in_thread(lambda: ask(chunk, timeout_seconds))

        try:
            scores, requests = await persist(send, service.limit, service.patience)
        except RequestFailedError as error:
            failed.update(dict.fromkeys(chunk, str(error)))
            return
        used = sum([counter.used(chunk)] * requests, Usage())
        receipt: Receipt | None = counter.payment.receipt(used)
        for text, value in zip(chunk, scores, strict=True):
            service.cache.put(_key(metric, text), Judgement(score=value), receipt)
            receipt = None  # of the whole request; stored once
        counter.payment.add(used)

    starts = range(0, len(texts), SERVICE_ROWS)
    await asyncio.gather(*(score(texts[start : start + SERVICE_ROWS]) for start in starts))
    return failed


def _scores(
    models: VertexAI, metric: str, texts: Sequence[Texts], timeout_seconds: float
) -> list[float]:
    """Send one request, once; a score for each text, in order."""
    types = message_types()
    request = types.EvaluateInstancesRequest(location=models.parent)
    if metric == "exact_match":
        request.exact_match_input = types.ExactMatchInput(
            metric_spec=types.ExactMatchSpec(),
            instances=_instances(types.ExactMatchInstance, texts),
        )
    elif metric == "bleu":
        request.bleu_input = types.BleuInput(
            metric_spec=types.BleuSpec(),
            instances=_instances(types.BleuInstance, texts),
        )
    else:
        request.rouge_input = types.RougeInput(
            metric_spec=types.RougeSpec(rouge_type=ROUGE[metric]),
            instances=_instances(types.RougeInstance, texts),
        )
    response = models.evaluation.evaluate_instances(request, retry=None, timeout=timeout_seconds)
    found = (
        response.exact_match_results.exact_match_metric_values
        or response.bleu_results.bleu_metric_values
        or response.rouge_results.rouge_metric_values
    )
    return [float(value.score) for value in found]


def _instances(kind: Any, texts: Iterable[Texts]) -> list[Any]:
    return [kind(prediction=answer, reference=reference) for answer, reference in texts]


def _texts(row: RowResult) -> Texts:
    return (row.answer or "").strip(), row.reference.strip()


def _key(metric: str, text: Texts) -> str:
    return fingerprint(VERSION, metric, text)


def _with_score(
    row: RowResult, metric: str, found: Judgement | None, error: str | None
) -> RowResult:
    errors = row.errors if error is None else row.errors | {metric: error}
    scores = row.scores | {metric: found.score if found else None}
    return row.model_copy(update={"scores": scores, "errors": errors})
