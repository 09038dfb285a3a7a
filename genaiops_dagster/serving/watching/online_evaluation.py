"""Evaluation of real traffic: a sample of a day's requests, scored as the candidates were.

Metrics that need an expected output score the answers that somebody corrected; a judge scores all
of the sample. Inputs and scores are compared with the evaluation set, to notice when they drift.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.data.sensitive import redacted
from genaiops_dagster.evaluation.asking.concurrency import map_in_order
from genaiops_dagster.evaluation.asking.inference import Model, contents_text
from genaiops_dagster.evaluation.evaluation_set import read_examples
from genaiops_dagster.evaluation.judge_work import paid_judge
from genaiops_dagster.evaluation.judging.judge import JudgePanel
from genaiops_dagster.evaluation.report import read_rows
from genaiops_dagster.evaluation.scored_row import score_row
from genaiops_dagster.evaluation.scoring.metrics import row_metrics
from genaiops_dagster.evaluation.scoring.summary import summarize_all
from genaiops_dagster.evaluation.services import Services
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.promotion.champion import read_champion
from genaiops_dagster.prompts.rendering import request_contents, template_variables
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.records.evaluation import Answer, EvaluationReport, MetricSummary, RowResult
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.promotion import Champion
from genaiops_dagster.records.record import Record, find_object, read_record
from genaiops_dagster.serving.answering.parity import prompt_of
from genaiops_dagster.serving.watching.drift import DriftTest, find_drift
from genaiops_dagster.serving.watching.feedback import RATED_REQUESTS, ensure_rated_requests
from genaiops_dagster.serving.watching.tables import ONLINE_SCORES
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.serving import Monitoring


class OnlineEvaluation(Record):
    """A day of real traffic.

    Attributes:
        day: The day (UTC), ISO 8601.
        champion: Number of the champion, with whose evaluation the day was compared; None if
            there was none.
        requests, failed, blocked, refused: All of the day's requests that users saw.
        cost_usd: Their price, as far as it is known.
        latency_p95_seconds: Of the answered ones.
        sampled: Requests that were scored: those of the sample whose texts are kept.
        metrics: Scores of the sample by metric, and `rating` by users.
        reference: Means of the same metrics in the evaluation that the champion was promoted by.
        drift: Every comparison with the evaluation set.
    """

    day: str
    champion: int | None
    requests: int
    failed: int
    blocked: int
    refused: int = 0
    cost_usd: float | None
    latency_p95_seconds: float | None
    sampled: int
    metrics: dict[str, MetricSummary]
    reference: dict[str, float]
    drift: list[DriftTest]

    def alarms(self, kind: str) -> list[DriftTest]:
        """Comparisons of inputs or of scores that ask for somebody's attention."""
        return [test for test in self.drift if test.kind == kind and test.alarm]


def evaluate_day(
    use_case: UseCase,
    policy: Monitoring,
    day: dt.date,
    store: ObjectStore,
    warehouse: Warehouse,
    models: VertexAI,
    purse: Purse,
) -> OnlineEvaluation:
    """Score a sample of a day, compare it with the evaluation set, and keep the scores.

    The judge's ratings are kept by what it was shown: evaluating a day again pays for nothing new.

    Raises:
        BudgetExceededError: the budget does not allow what the judge would have to be paid.
        FileNotFoundError: there is no evaluation set to compare with.
    """
    ensure_rated_requests(warehouse)
    parameters = {"use_case": use_case.name, "day": day}
    figures = next(warehouse.rows(_FIGURES.format(view=_view(warehouse)), parameters))
    champion, sample = read_champion(store, use_case.name), []
    if champion is not None:
        limited = {**parameters, "rows": policy.sample_rows}
        sample = [*warehouse.rows(_SAMPLE.format(view=_view(warehouse)), limited)]
    scored = _score(use_case, champion, sample, models, purse)
    warehouse.merge(ONLINE_SCORES, _score_rows(use_case.name, sample, scored))
    reference = _reference_rows(store, champion)
    names = [name for name in use_case.evaluation.metric_names() if _has(scored, name)]
    examples = read_examples(
        store, read_record(store, DatasetSplit, use_case.name, "evaluation_set")
    )
    of_champion = [
        row
        for row, request in zip(scored, sample, strict=True)
        if champion is not None and request["decision"] == champion.decision_id
    ]
    drift = find_drift(
        policy,
        [_input_text(use_case, json.loads(request["variables"])) for request in sample],
        [_input_text(use_case, redacted(example.variables)) for example in examples],
        _by_metric(of_champion, names),
        _by_metric(reference, names),
    )
    ratings = [
        row.model_copy(update={"scores": {"rating": request["rating"]}})
        for row, request in zip(scored, sample, strict=True)
        if request["rating"] is not None
    ]
    return OnlineEvaluation(
        day=day.isoformat(),
        champion=champion.number if champion else None,
        requests=figures["requests"],
        failed=figures["failed"],
        blocked=figures["blocked"],
        refused=figures["refused"],
        cost_usd=figures["cost_usd"],
        latency_p95_seconds=figures["latency"],
        sampled=len(sample),
        metrics={
            **summarize_all(scored, names),
            **summarize_all(ratings, ["rating"] * bool(ratings)),
        },
        reference={
            name: sum(scores) / len(scores)
            for name, scores in _by_metric(reference, names).items()
            if scores
        },
        drift=drift,
    )


_SHOWN = "use_case = @use_case AND DATE(created) = @day AND arm IN ('champion', 'candidate')"

_FIGURES = f"""
    SELECT COUNT(*) AS requests,
      COUNTIF(state = 'failed') AS failed,
      COUNTIF(state = 'blocked') AS blocked,
      COUNTIF(state = 'refused') AS refused,
      SUM(cost_usd) AS cost_usd,
      APPROX_QUANTILES(
        IF(state IN ('answered', 'truncated'), latency_seconds, NULL), 100
      )[OFFSET(95)] AS latency
    FROM `{{view}}` WHERE {_SHOWN}
"""  # noqa: S608 - names come from Table constants

_SAMPLE = f"""
    SELECT * FROM `{{view}}`
    WHERE {_SHOWN} AND state IN ('answered', 'truncated')
      AND variables IS NOT NULL AND answer IS NOT NULL
    ORDER BY FARM_FINGERPRINT(request_id), request_id LIMIT @rows
"""  # noqa: S608 - names come from Table constants


def _view(warehouse: Warehouse) -> str:
    return warehouse.table_id(RATED_REQUESTS)


def _score(
    use_case: UseCase,
    champion: Champion | None,
    sample: Sequence[Mapping[str, Any]],
    models: VertexAI,
    purse: Purse,
) -> list[RowResult]:
    """The sample with its scores, in order."""
    if champion is None or not sample:
        return []
    evaluation, prompt = use_case.evaluation, prompt_of(champion)
    metrics, judge = row_metrics(evaluation.metrics), evaluation.judge
    model = Model(champion.model, champion.base_model, champion.generation)

    async def score(panel: JudgePanel | None) -> list[RowResult]:
        async def score_request(index: int) -> RowResult:
            example, answer = _as_evaluated(sample[index])
            question = contents_text(request_contents(prompt, example.variables))
            computed = {} if sample[index]["correction"] is None else metrics
            return await score_row(example, question, answer, computed, panel)

        return await map_in_order(
            score_request, len(sample), evaluation.concurrency, lambda *_: None
        )

    if judge is None:
        return asyncio.run(score(None))
    ratings = len(judge.metrics) * judge.repeats
    shown = sum(len(row["variables"]) + len(row["answer"]) for row in sample)
    with Services(evaluation, models, purse) as services:
        cache = services.judgements(model.configuration(f"online {prompt.digest}"))
        paying = paid_judge(
            services,
            cache,
            work=f"online/{fingerprint([row['request_id'] for row in sample])}",
            judge_model=judge.model,
            calls=len(sample) * ratings,
            characters=shown * ratings,
        )
        with paying as service:
            return asyncio.run(score(JudgePanel(judge, models, service)))


def _as_evaluated(request: Mapping[str, Any]) -> tuple[Example, Answer]:
    """A logged request as an example, and the answer that was given."""
    example = Example(
        id=request["request_id"],
        group=request["user_digest"] or request["request_id"],
        slices={},
        variables=json.loads(request["variables"]),
        output=request["correction"] or "",
    )
    answer = Answer(
        state=request["state"],
        text=request["answer"],
        input_tokens=request["input_tokens"] or 0,
        output_tokens=request["output_tokens"] or 0,
        latency_seconds=request["latency_seconds"] or 0.0,
        model_version=request["model_version"] or "",
    )
    return example, answer


def _score_rows(
    use_case: str, sample: Sequence[Mapping[str, Any]], scored: Sequence[RowResult]
) -> list[dict[str, Any]]:
    """Rows of the table `online_scores`."""
    return [
        {
            "use_case": use_case,
            "request_id": row.id,
            "metric": metric,
            "created": request["created"].isoformat(),
            "score": score,
            "arm": request["arm"],
            "decision": request["decision"],
            "model": request["model"],
        }
        for request, row in zip(sample, scored, strict=True)
        for metric, score in row.scores.items()
    ]


def _reference_rows(store: ObjectStore, champion: Champion | None) -> list[RowResult]:
    """Rows of the report that the champion was promoted by; none if it is gone."""
    if champion is None:
        return []
    report = find_object(store, store.name_of(champion.report_uri), EvaluationReport)
    return read_rows(store, report) if report else []


def _input_text(use_case: UseCase, variables: Mapping[str, Any]) -> str:
    """The variables that the prompt shows, which differ between requests."""
    names = template_variables(use_case.prompt.template)
    return "\n".join(str(variables[name]) for name in names if variables.get(name) is not None)


def _has(rows: Sequence[RowResult], metric: str) -> bool:
    return any(metric in row.scores for row in rows)


def _by_metric(rows: Sequence[RowResult], metrics: Sequence[str]) -> dict[str, list[float]]:
    return {
        metric: [score for row in rows if (score := row.scores.get(metric)) is not None]
        for metric in metrics
    }
