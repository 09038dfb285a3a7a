"""Two candidates' answers side by side: which one a judge likes better.

Every pair is shown in both orders, and as often as the use case says, so that a judge who favours
a position is seen and moves nothing (Zheng et al. 2023, "Judging LLM-as-a-Judge",
https://arxiv.org/abs/2306.05685, section 3.3).
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from genaiops_dagster.evaluation.asking.concurrency import PaidService
from genaiops_dagster.evaluation.judging.judge import (
    JudgeError,
    ServiceJudge,
    choose_fields,
    sdk_template,
    template_fields,
)
from genaiops_dagster.evaluation.scoring.statistics import mean_interval
from genaiops_dagster.google_cloud.vertex_ai import message_types
from genaiops_dagster.records.evaluation import Choice, MetricSummary
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.use_case.evaluation import Judge, PairwiseMetric

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI

VERSION = 2
"""Raised when the same criteria would be put to the judge in other words than before."""

_TEMPLATE = """# Instruction
You are an expert evaluator. Two AI models responded to the same user prompt. Say which response is
better by the criteria below, or that they are equally good. Judge each response for itself first;
do not let the order in which they are shown or their length decide.

# Evaluation
## Criteria
{criteria}

## Rating Rubric
"A": Response A is better by the criteria.
"SAME": Both are equally good by the criteria.
"B": Response B is better by the criteria.

# User Inputs and AI-generated Responses
## User Inputs
### Prompt
{{prompt}}

### Reference
{{reference}}

## AI-generated Responses
### Response A
{{baseline_model_response}}

### Response B
{{response}}
"""


@dataclass(frozen=True)
class Pair:
    """Two answers to one row."""

    id: str
    group: str
    prompt: str
    reference: str
    challenger: str
    baseline: str


@dataclass(frozen=True)
class Judged:
    """Choices for one pair: 1 for the challenger, -1 for the baseline, 0 for neither.

    Attributes:
        shown_first: By repeat, with the challenger's answer shown first; None is an error.
        shown_second: Likewise, with it shown second.
        errors: Why choices are missing.
    """

    shown_first: list[int | None]
    shown_second: list[int | None]
    errors: list[str]

    @property
    def choices(self) -> list[int]:
        """All choices there are."""
        return [choice for choice in self.shown_first + self.shown_second if choice is not None]

    @property
    def score(self) -> float | None:
        """Mean of the orders' means, so that a missing choice favours no position; None without."""
        orders = [_mean(order) for order in (self.shown_first, self.shown_second)]
        known = [order for order in orders if order is not None]
        return sum(known) / len(known) if len(known) == len(orders) else None


def pairwise_digest(judge: Judge, metric: PairwiseMetric) -> str:
    """sha256 over judge model, criteria and number of choices."""
    return fingerprint(VERSION, judge.model, pairwise_template(metric), judge.repeats)


def pairwise_template(metric: PairwiseMetric) -> str:
    """The judge's instruction, with fields to fill in.

    Raises:
        UnknownTemplateError: the SDK has no template of that name.
    """
    if metric.template is not None:
        return sdk_template(metric.template, pairwise=True)
    return _TEMPLATE.format(criteria=(metric.criteria or "").strip())


class PairwiseJudge(ServiceJudge[Choice]):
    """The judge, asked pair by pair by the criteria of `metric`; else as `ServiceJudge`."""

    def __init__(
        self, judge: Judge, metric: PairwiseMetric, models: VertexAI, service: PaidService[Choice]
    ) -> None:
        super().__init__(judge, models, service)
        self._repeats = range(judge.repeats)
        self._template = pairwise_template(metric)
        self._fields = template_fields(self._template)

    async def judge(self, pair: Pair) -> Judged:
        """Choices for one pair, in both orders."""
        first = [self._choice(pair, pair.challenger, pair.baseline, n) for n in self._repeats]
        second = [self._choice(pair, pair.baseline, pair.challenger, n) for n in self._repeats]
        found = await asyncio.gather(*first, *second)
        votes = [_VOTES[c.choice] if isinstance(c, Choice) else None for c in found]
        half = len(first)
        return Judged(
            shown_first=votes[:half],
            shown_second=[None if vote is None else -vote for vote in votes[half:]],
            errors=[error for error in found if isinstance(error, str)],
        )

    async def _choice(self, pair: Pair, first: str, second: str, repeat: int) -> Choice | str:
        """One choice, or why there is none."""
        fields = {
            "prompt": pair.prompt,
            "reference": pair.reference,
            "baseline_model_response": first,
            "response": second,
        }
        instance = choose_fields(self._fields, fields, "the pairwise template", "pairs")
        ask = functools.partial(self._ask, instance, repeat)
        return await self._get(fingerprint(self._template, instance, repeat), ask)

    def _ask(self, instance: Mapping[str, str], repeat: int, timeout_seconds: float) -> Choice:
        types = message_types()
        response = self._send(
            timeout_seconds,
            pairwise_metric_input=types.PairwiseMetricInput(
                metric_spec=types.PairwiseMetricSpec(
                    metric_prompt_template=self._template,
                    baseline_response_field_name="baseline_model_response",
                    candidate_response_field_name="response",
                ),
                instance=types.PairwiseMetricInstance(json_instance=json.dumps(dict(instance))),
            ),
            # Both orders are asked for here, so that bias can be seen.
            autorater_config=self._autorater(repeat, flip_enabled=False),
        )
        result = response.pairwise_metric_result
        choices_by_name: dict[str, Choice] = {
            "BASELINE": Choice(choice="first", explanation=result.explanation),
            "CANDIDATE": Choice(choice="second", explanation=result.explanation),
            "TIE": Choice(choice="tie", explanation=result.explanation),
        }
        name = types.PairwiseChoice(result.pairwise_choice).name
        if name not in choices_by_name:
            raise JudgeError("the judge made no choice")
        return choices_by_name[name]


_VOTES = {"first": 1, "second": -1, "tie": 0}


def preference(pairs: Sequence[Pair], judged: Sequence[Judged]) -> MetricSummary:
    """Share of choices for the challenger, 0.5 for no preference, with its interval."""
    return _summary(pairs, [None if j.score is None else (j.score + 1) / 2 for j in judged])


def position_bias(pairs: Sequence[Pair], judged: Sequence[Judged]) -> MetricSummary:
    """Choices for the answer shown first minus those for the second, as a share, by pair."""
    found: list[float | None] = []
    for one in judged:
        first, second = _mean(one.shown_first), _mean(one.shown_second)
        found.append(None if first is None or second is None else (first - second) / 2)
    return _summary(pairs, found)


def consistency(judged: Sequence[Judged]) -> float | None:
    """Share of choices that stay the same when the order is turned around."""
    same = [
        first == second
        for one in judged
        for first, second in zip(one.shown_first, one.shown_second, strict=True)
        if first is not None and second is not None
    ]
    return sum(same) / len(same) if same else None


def self_agreement(judged: Sequence[Judged]) -> float | None:
    """Share of pairs of repeated choices, in the same order, that are equal."""
    same = [
        a == b
        for one in judged
        for order in (one.shown_first, one.shown_second)
        for a, b in combinations([choice for choice in order if choice is not None], 2)
    ]
    return sum(same) / len(same) if same else None


def _mean(choices: Sequence[int | None]) -> float | None:
    known = [choice for choice in choices if choice is not None]
    return sum(known) / len(known) if known else None


def _summary(pairs: Sequence[Pair], values: Sequence[float | None]) -> MetricSummary:
    known = {pair.id: value for pair, value in zip(pairs, values, strict=True) if value is not None}
    groups = {pair.id: pair.group for pair in pairs}
    estimate = mean_interval(known, groups, kind="continuous")
    return MetricSummary(
        mean=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        rows=estimate.rows,
        errors=len(pairs) - estimate.rows,
    )
