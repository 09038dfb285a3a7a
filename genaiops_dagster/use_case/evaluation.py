"""The `evaluation` section of a use case file: metrics, judge, suites and limits."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from genaiops_dagster.use_case.section import Fraction, Name, Section

COMPUTED_METRICS = (
    *("exact_match", "bleu", "rouge_1", "rouge_2", "rouge_l", "rouge_l_sum"),
    *("accuracy", "macro_precision", "macro_recall", "macro_f1"),
    *("json_valid", "json_match"),
    *("tool_call_valid", "tool_name_match", "tool_parameter_key_match", "tool_parameter_kv_match"),
)
SERVICE_METRICS = ("exact_match", "bleu", "rouge_1", "rouge_2", "rouge_l", "rouge_l_sum")
"""Computed metrics that the evaluation service has, too, with the same figures."""

FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[a-z][a-z0-9_]{0,62}")


def _known_metric(value: str) -> str:
    if value in COMPUTED_METRICS or FUNCTION.fullmatch(value):
        return value
    raise PydanticCustomError(
        "wrong_name",
        "allowed: {allowed}, or a function of yours as module:function",
        {"allowed": ", ".join(COMPUTED_METRICS)},
    )


ComputedMetric = Annotated[str, AfterValidator(_known_metric)]


class JudgedMetric(Section):
    """A metric that a judge model scores; what a good answer is comes from exactly one source."""

    criteria: str | None = Field(None, min_length=1, description="In your own words.")
    template: str | None = Field(
        None, description="Name of one of the Vertex AI SDK's metric prompt templates."
    )
    predefined: str | None = Field(
        None,
        pattern=r"_v\d+$",
        description="Name of one of the service's metrics with its version; scores are 0 to 1.",
    )
    scale: tuple[int, int] = Field((1, 5), description="Lowest and highest rating.")

    @model_validator(mode="after")
    def _one_source(self) -> JudgedMetric:
        if (
            sum(source is not None for source in (self.criteria, self.template, self.predefined))
            != 1
        ):
            raise ValueError("give exactly one of criteria, template and predefined")
        if self.scale[0] >= self.scale[1]:
            raise ValueError("scale: the lowest rating must be below the highest")
        return self


class PairwiseMetric(Section):
    """A judge's choice between the challenger's answers and another candidate's."""

    criteria: str | None = Field(
        None, min_length=1, description="What makes an answer better, in your own words."
    )
    template: str | None = Field(
        None, description="Name of one of the Vertex AI SDK's pairwise metric prompt templates."
    )
    baseline: str = Field(description="Candidate that the challenger is compared with.")

    @model_validator(mode="after")
    def _one_source(self) -> PairwiseMetric:
        if (self.criteria is None) == (self.template is None):
            raise ValueError("give either criteria or template")
        return self


class Calibration(Section):
    """How well the judge agrees with people, on answers that people rated."""

    labels: str = Field(
        description="People's ratings, JSON lines: a file next to the use case files, or an object."
    )
    minimum_kappa: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.4, description="Less agreement than this blocks."
    )


class Judge(Section):
    """The model that scores answers, and what it scores."""

    model: str = Field(min_length=1, description="Pinned name of the judge model.")
    location: str | None = Field(
        None,
        min_length=1,
        description="Where the judge is asked; default where it is served nearest to "
        "GOOGLE_CLOUD_LOCATION.",
    )
    metrics: dict[Name, JudgedMetric] = Field(min_length=1)
    repeats: PositiveInt = Field(1, description="Ratings for each answer; the score is their mean.")
    pairwise: PairwiseMetric | None = None
    calibration: Calibration | None = None


class GoldenCase(Section):
    """An input whose answer must be right, or nothing is promoted."""

    id: Name
    variables: dict[str, Any] = Field(description="Variables of the prompt template.")
    equals: str | None = Field(
        None, description="The whole answer, apart from white space around it."
    )
    contains: list[str] = Field(default_factory=list, description="Texts that the answer contains.")

    @model_validator(mode="after")
    def _expects(self) -> GoldenCase:
        if self.equals is None and not self.contains:
            raise ValueError("give equals or contains")
        return self


class Evaluation(Section):
    """How candidates are scored on the evaluation set."""

    metrics: list[ComputedMetric] = Field(["exact_match"], min_length=1)
    computed_by: Literal["here", "service"] = Field(
        "here", description="Who computes exact match, BLEU and ROUGE: this machine, or Vertex AI."
    )
    primary_metric: str = Field("exact_match", description="Metric that orders the leaderboard.")
    judge: Judge | None = None
    golden: list[GoldenCase] = Field(default_factory=list)
    suites: list[Literal["safety", "off_task"]] = Field(
        default_factory=list, description="Shipped suites that each candidate is asked, too."
    )
    minimum_coverage: Fraction = Field(0.99, description="Least share of rows answered.")
    maximum_judge_errors: Fraction = Field(0.05, description="Largest share of judge errors.")
    concurrency: PositiveInt = Field(32, description="Most requests in flight at once.")
    request_seconds: Annotated[float, Field(gt=0)] = Field(
        120.0, description="Longest wait for one response."
    )
    row_seconds: Annotated[float, Field(gt=0)] = Field(
        900.0, description="Longest time for one row, all attempts together."
    )
    batch_from_rows: PositiveInt | None = Field(
        None,
        description="From this many rows on, answers come from a batch job: later, and cheaper.",
    )
    batch_from_saving_usd: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Answers come from a batch job where that saves so much at least, in US "
        "dollars, by the most that they may cost; with `batch_from_rows` both have to hold.",
    )
    batch_through: Literal["cloud_storage", "bigquery"] = Field(
        "cloud_storage", description="Where batch jobs find requests and leave answers."
    )
    batch_wait_seconds: PositiveInt = Field(
        86_400, description="How long a step waits for the batch job; then it goes on by itself."
    )
    experiment: str | None = Field(
        None, description="Vertex AI experiment that gets a run for each report."
    )
    show_texts: bool = Field(
        False, description="Whether the worst rows' texts are shown in Dagster."
    )

    def metrics_by_service(self) -> list[str]:
        """Computed metrics that the evaluation service computes."""
        served = SERVICE_METRICS if self.computed_by == "service" else ()
        return [metric for metric in self.metrics if metric in served]

    def metric_names(self) -> list[str]:
        """Computed and judged metrics, in order; a function's name is the part after the colon."""
        judged = list(self.judge.metrics) if self.judge else []
        return [*(metric.rpartition(":")[2] for metric in self.metrics), *judged]

    @model_validator(mode="after")
    def _names_differ(self) -> Evaluation:
        names = self.metric_names()
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"metrics have the same name: {', '.join(doubled)}")
        return self
