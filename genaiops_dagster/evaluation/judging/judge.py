"""Judged metrics: a judge model of the evaluation service rates answers.

An error of the judge is an error, never a score. Judge model, criteria and number of ratings are
part of the report's fingerprint.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from genaiops_dagster.budget.stage_costs import judge_output_limit
from genaiops_dagster.evaluation.asking.concurrency import PaidService, RequestFailedError
from genaiops_dagster.evaluation.asking.threads import in_thread
from genaiops_dagster.google_cloud.vertex_ai import message_types
from genaiops_dagster.records.evaluation import Judgement
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case.evaluation import Judge, JudgedMetric

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI

R = TypeVar("R", bound=Record)

VERSION = 2
"""Raised when the same criteria would be put to the judge in other words than before."""

_TEMPLATE = """# Instruction
You are an expert evaluator. Rate the response of an AI model to the user's prompt by the criteria
below. Think through each criterion first; then give one rating of the rating rubric and explain it.

# Evaluation
## Criteria
{criteria}

## Rating Rubric
{rubric}

# User Inputs and AI-generated Response
## User Inputs
### Prompt
{{prompt}}

### Reference
{{reference}}

## AI-generated Response
{{response}}
"""


class JudgeError(RuntimeError):
    """The judge gave no usable rating; the message says what it gave instead."""


class UnknownTemplateError(ValueError):
    """A judged metric names a template that the SDK does not have, or one that lacks its data."""


def judge_digest(judge: Judge | None) -> str:
    """sha256 over judge model, judged metrics and number of ratings; empty without a judge."""
    if judge is None:
        return ""
    templates = {name: prompt_template(metric) for name, metric in judge.metrics.items()}
    return fingerprint(VERSION, judge.model, judge.metrics, templates, judge.repeats)


def prompt_template(metric: JudgedMetric) -> str | None:
    """The judge's instruction, with fields to fill in; None for the service's own metrics.

    Raises:
        UnknownTemplateError: the SDK has no template of that name.
    """
    if metric.template is not None:
        return sdk_template(metric.template, pairwise=False)
    if metric.criteria is None:
        return None
    lowest, highest = metric.scale
    ends = {highest: "Meets the criteria fully.", lowest: "Does not meet the criteria at all."}
    rubric = "\n".join(
        f"{level}: {ends.get(level, f'Between {lowest} and {highest}.')}"
        for level in range(highest, lowest - 1, -1)
    )
    return _TEMPLATE.format(criteria=metric.criteria.strip(), rubric=rubric)


@functools.cache
def sdk_template(name: str, *, pairwise: bool) -> str:
    """A metric prompt template of the Vertex AI SDK, for one answer or for two.

    Raises:
        UnknownTemplateError: the SDK has no template of that name, or only one of the other kind.
    """
    from vertexai.evaluation import MetricPromptTemplateExamples

    known = set(MetricPromptTemplateExamples.list_example_metric_names())
    fitting = sorted(name for name in known if name.startswith("pairwise_") == pairwise)
    if name not in fitting:
        raise UnknownTemplateError(
            f"judge template {name!r} is not in the Vertex AI SDK; it has: {', '.join(fitting)}"
        )
    return str(MetricPromptTemplateExamples.get_prompt_template(name))


def template_fields(template: str) -> set[str]:
    """Names of the fields that a template fills in."""
    return set(re.findall(r"{(\w+)}", template))


@dataclass(frozen=True)
class Rated:
    """Ratings of one answer in one metric, as many as could be had, and why the others failed."""

    ratings: list[float]
    explanation: str
    errors: list[str]

    @property
    def score(self) -> float | None:
        """Mean of the ratings; None when there is none."""
        return sum(self.ratings) / len(self.ratings) if self.ratings else None


def choose_fields(
    needed: Set[str], fields: Mapping[str, str], template: str, owner: str
) -> dict[str, str]:
    """The fields that a template needs, in order; `template` and `owner` are for the message.

    Raises:
        UnknownTemplateError: some are missing.
    """
    missing = sorted(needed - fields.keys())
    if missing:
        raise UnknownTemplateError(
            f"{template} needs {', '.join(missing)}; {owner} have: {', '.join(sorted(fields))}"
        )
    return {field: fields[field] for field in sorted(needed)}


class ServiceJudge(Generic[R]):
    """The judge of the evaluation service, asked within one event loop.

    Args:
        judge: Model, metrics and number of ratings.
        models: Vertex AI. Its evaluation client is built in a thread: importing it takes seconds.
        service: Quota, patience and cache.
    """

    def __init__(self, judge: Judge, models: VertexAI, service: PaidService[R]) -> None:
        self._judge = judge
        self._models = models
        self._service = service

    async def _get(self, key: str, ask: Callable[[float], R]) -> R | str:
        """The value cached under `key`, or what `ask` fetches in a thread, or why there is none."""
        try:
            return await self._service.get(key, lambda seconds: in_thread(lambda: ask(seconds)))
        except (RequestFailedError, JudgeError) as error:
            return str(error)

    def _autorater(self, repeat: int, **options: Any) -> Any:
        types = message_types()
        address = self._models.model_address(self._judge.model, self._judge.location)
        return types.AutoraterConfig(
            autorater_model=self._models.served_address(address),
            sampling_count=1,
            generation_config=types.GenerationConfig(
                seed=repeat, max_output_tokens=judge_output_limit(self._judge.model)
            ),
            **options,
        )

    def _send(self, timeout_seconds: float, **fields: Any) -> Any:
        """Send one request, once."""
        request = message_types().EvaluateInstancesRequest(location=self._models.parent, **fields)
        return self._models.evaluation.evaluate_instances(
            request, retry=None, timeout=timeout_seconds
        )


class JudgePanel(ServiceJudge[Judgement]):
    """The judge with its metrics, asked answer by answer; arguments as for `ServiceJudge`."""

    def __init__(self, judge: Judge, models: VertexAI, service: PaidService[Judgement]) -> None:
        super().__init__(judge, models, service)
        self._templates = {name: prompt_template(m) for name, m in judge.metrics.items()}

    async def rate(self, fields: Mapping[str, str]) -> dict[str, Rated]:
        """Ratings of one answer by metric.

        Args:
            fields: `prompt`, `reference`, `response` and the row's variables.

        Raises:
            ServiceUnusableError: there is no such judge, or no permission to call it.
            CacheMissError: the run is strict and a rating is not cached.
        """
        names = list(self._judge.metrics)
        found = await asyncio.gather(*(self.rate_in(name, fields) for name in names))
        return dict(zip(names, found, strict=True))

    async def rate_in(self, name: str, fields: Mapping[str, str]) -> Rated:
        """Ratings of one answer in the metric called `name`; fields and errors as for `rate`."""
        repeats = range(self._judge.repeats)
        found = await asyncio.gather(*(self._rating(name, fields, repeat) for repeat in repeats))
        given = [rating for rating in found if isinstance(rating, Judgement)]
        return Rated(
            ratings=[rating.score for rating in given],
            explanation=given[0].explanation if given else "",
            errors=[rating for rating in found if isinstance(rating, str)],
        )

    async def _rating(self, name: str, fields: Mapping[str, str], repeat: int) -> Judgement | str:
        """One rating, or why there is none."""
        metric, template = self._judge.metrics[name], self._templates[name]
        needed = (
            {"prompt", "reference", "response"} if template is None else template_fields(template)
        )
        instance = choose_fields(needed, fields, f"judged metric {name}: its template", "rows")
        ask = functools.partial(self._ask, metric, template, instance, repeat)
        return await self._get(fingerprint(metric, template, instance, repeat), ask)

    def _ask(
        self,
        metric: JudgedMetric,
        template: str | None,
        instance: Mapping[str, str],
        repeat: int,
        timeout_seconds: float,
    ) -> Judgement:
        types = message_types()
        autorater = self._autorater(repeat)
        if template is not None:
            pointwise = types.PointwiseMetricInput(
                metric_spec=types.PointwiseMetricSpec(metric_prompt_template=template),
                instance=types.PointwiseMetricInstance(json_instance=json.dumps(dict(instance))),
            )
            response = self._send(
                timeout_seconds, autorater_config=autorater, pointwise_metric_input=pointwise
            )
            return read_rating(response.pointwise_metric_result, metric.scale)
        spec = types.PredefinedMetricSpec(metric_spec_name=metric.predefined)
        data = types.EvaluationInstance.InstanceData
        response = self._send(
            timeout_seconds,
            autorater_config=autorater,
            metrics=[types.Metric(predefined_metric_spec=spec)],
            instance=types.EvaluationInstance(
                **{name: data(text=text) for name, text in instance.items()}
            ),
        )
        if not response.metric_results:
            raise JudgeError("the judge gave no result")
        return read_rating(response.metric_results[0], (0, 1))


def read_rating(result: Any, scale: tuple[int, int]) -> Judgement:
    """A rating of the service, if it is one.

    Raises:
        JudgeError: there is an error in its place, no score, or one outside the scale.
    """
    message = type(result).pb(result)
    if "error" in message.DESCRIPTOR.fields_by_name and message.HasField("error"):
        raise JudgeError(f"the judge failed: {message.error.message}"[:300])
    if not message.HasField("score"):
        raise JudgeError("the judge gave no score")
    lowest, highest = scale
    score = float(result.score)
    if not lowest <= score <= highest:  # also for NaN
        raise JudgeError(f"the judge gave {score:g}, which is not from {lowest} to {highest}")
    return Judgement(score=score, explanation=result.explanation)
