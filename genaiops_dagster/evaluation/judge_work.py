"""A judge's work besides reports: comparing two candidates' answers, agreeing with people."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from genaiops_dagster.budget.stage_costs import (
    JUDGE_INSTRUCTION_TOKENS,
    estimate_of,
    price_judgements,
)
from genaiops_dagster.evaluation.asking.cache import RecordCache
from genaiops_dagster.evaluation.asking.concurrency import PaidService, Progress, map_in_order
from genaiops_dagster.evaluation.asking.counting import JudgementCounter
from genaiops_dagster.evaluation.asking.inference import contents_text
from genaiops_dagster.evaluation.judging.calibration import agreement, find_labels, read_labels
from genaiops_dagster.evaluation.judging.judge import JudgePanel, judge_digest
from genaiops_dagster.evaluation.judging.pairwise import (
    Pair,
    PairwiseJudge,
    consistency,
    pairwise_digest,
    position_bias,
    preference,
    self_agreement,
)
from genaiops_dagster.evaluation.scoring.statistics import paired_difference
from genaiops_dagster.evaluation.services import Services
from genaiops_dagster.prompts.rendering import request_contents
from genaiops_dagster.prompts.tokens import TokenTotal
from genaiops_dagster.records.data import Example
from genaiops_dagster.records.evaluation import (
    Choice,
    EvaluationReport,
    JudgeCalibration,
    Judgement,
    PreferenceReport,
    RowResult,
)
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case.evaluation import Calibration, Judge, PairwiseMetric

R = TypeVar("R", bound=Record)

NO_PREFERENCE = 0.5

_CHARACTERS_PER_TOKEN = 4
"""Source: https://ai.google.dev/gemini-api/docs/tokens (about 4 characters of English text)."""

_FEWEST_CHARACTERS_PER_TOKEN = 3
"""So that the reservation is on the safe side."""


@contextmanager
def paid_judge(
    services: Services,
    cache: RecordCache[R],
    *,
    work: str,
    judge_model: str,
    calls: int,
    characters: int,
) -> Iterator[PaidService[R]]:
    """Reserve what a judge may cost; the service through which it is asked.

    Args:
        services: Their purse pays.
        cache: Judgements that were paid for before.
        work: Identifies it in the ledger.
        judge_model: Base model name of the judge.
        calls: Requests that have to be paid.
        characters: What the judge is shown in all of them together.

    Raises:
        BudgetExceededError: it may not be spent; nothing was sent.
    """
    purse = services.purse
    per_call = characters // max(calls, 1)
    read = per_call // _CHARACTERS_PER_TOKEN + JUDGE_INSTRUCTION_TOKENS
    at_most = per_call // _FEWEST_CHARACTERS_PER_TOKEN
    stage = price_judgements(
        purse.prices(),
        judge_model,
        calls,
        TokenTotal(calls * at_most),
        longest=at_most,
        basis=f"{calls} judgements",
    )
    estimate = estimate_of(purse.use_case, [stage], emulated=services.models.emulated)
    with purse.paying(
        f"judging/{work}", stage="judging", model=judge_model, estimate=estimate
    ) as payment:
        yield services.paid(cache, JudgementCounter(payment, judge_model, read))


def pairs_of(
    examples: Sequence[Example],
    prompt: PromptVersion,
    challenger: Sequence[RowResult],
    baseline: Sequence[RowResult],
) -> list[Pair]:
    """The rows that both candidates answered, with what they were asked."""
    theirs = {row.id: row.answer for row in baseline if row.answer is not None}
    ours = {row.id: row.answer for row in challenger if row.answer is not None}
    return [
        Pair(
            id=example.id,
            group=example.group,
            prompt=contents_text(request_contents(prompt, example.variables)),
            reference=example.output,
            challenger=ours[example.id],
            baseline=theirs[example.id],
        )
        for example in examples
        if example.id in ours and example.id in theirs
    ]


def prefer(
    services: Services,
    judge: Judge,
    metric: PairwiseMetric,
    challenger: EvaluationReport,
    baseline: EvaluationReport,
    pairs: Sequence[Pair],
    progress: Progress,
) -> PreferenceReport:
    """Which of two candidates' answers the judge likes better.

    Raises:
        BudgetExceededError: the budget does not allow it; nothing was sent.
        ServiceUnusableError: the judge cannot be called at all.
    """
    digest = pairwise_digest(judge, metric)
    work = fingerprint(digest, challenger.fingerprint, baseline.fingerprint)
    cache = services.cache(f"preferred-{work}", Choice)
    left = max(0, 2 * judge.repeats * len(pairs) - len(cache))
    shown = sum(len(p.prompt + p.reference + p.challenger + p.baseline) for p in pairs)

    with paid_judge(
        services,
        cache,
        work=work,
        judge_model=judge.model,
        calls=left,
        characters=2 * judge.repeats * shown,
    ) as service:
        pairwise = PairwiseJudge(judge, metric, services.models, service)
        workers = services.evaluation.concurrency
        judged = asyncio.run(
            map_in_order(lambda n: pairwise.judge(pairs[n]), len(pairs), workers, progress)
        )
    scores = {
        pair.id: (one.score + 1) / 2
        for pair, one in zip(pairs, judged, strict=True)
        if one.score is not None
    }
    even = dict.fromkeys(scores, NO_PREFERENCE)
    difference = paired_difference(scores, even, {pair.id: pair.group for pair in pairs})
    return PreferenceReport(
        challenger=challenger.candidate,
        baseline=baseline.candidate,
        fingerprint=work,
        judge_digest=digest,
        pairs=len(pairs),
        wins=sum(score > NO_PREFERENCE for score in scores.values()),
        losses=sum(score < NO_PREFERENCE for score in scores.values()),
        ties=sum(score == NO_PREFERENCE for score in scores.values()),
        preference=preference(pairs, judged),
        p_value=difference.p_value,
        position_bias=position_bias(pairs, judged),
        consistency=consistency(judged),
        self_agreement=self_agreement(judged),
        created=services.purse.clock.timestamp(),
        emulated=challenger.emulated or baseline.emulated,
    )


def calibrate(
    services: Services, judge: Judge, calibration: Calibration, progress: Progress
) -> JudgeCalibration:
    """How well the judge agrees with people, by metric.

    Raises:
        LabelsError: people's ratings cannot be used.
        BudgetExceededError: the budget does not allow it; nothing was sent.
        ServiceUnusableError: the judge cannot be called at all.
    """
    address, content = find_labels(services.purse.store, calibration.labels)
    labels = read_labels(address, content, judge)
    digest = hashlib.sha256(content or b"").hexdigest()
    cache = services.cache(f"calibrated-{judge_digest(judge)}", Judgement)
    with paid_judge(
        services,
        cache,
        work=fingerprint(judge_digest(judge), digest),
        judge_model=judge.model,
        calls=max(0, judge.repeats * len(labels) - len(cache)),
        characters=judge.repeats * sum(len("".join(label.fields.values())) for label in labels),
    ) as service:
        panel = JudgePanel(judge, services.models, service)
        rated = asyncio.run(
            map_in_order(
                lambda n: panel.rate_in(labels[n].metric, labels[n].fields),
                len(labels),
                services.evaluation.concurrency,
                progress,
            )
        )
    indexes = {
        metric: [n for n, label in enumerate(labels) if label.metric == metric]
        for metric in judge.metrics
    }
    return JudgeCalibration(
        judge_digest=judge_digest(judge),
        labels_digest=digest,
        metrics={
            metric: agreement([labels[n] for n in found], [rated[n] for n in found])
            for metric, found in indexes.items()
            if found
        },
    )
