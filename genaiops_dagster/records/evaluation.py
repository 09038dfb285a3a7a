"""The evaluation's records: every row's answer and scores, and their summary."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from genaiops_dagster.records.record import Record

RowState = Literal["answered", "blocked", "truncated", "failed"]


class Answer(Record):
    """How one request ended, with all that the service said; what the response cache keeps.

    Attributes:
        state: How the request ended; exactly one of the four.
        reason: Safety category, finish reason or error that explains a state but `answered`.
        text: The model's text, if any; the calls are in `tool_calls`.
        tool_calls: Function calls of the answer, as `{"name": ..., "arguments": {...}}`.
        finish_reason: The API's own; None when there was no answer.
        safety: Probability by harm category, where the service rated it.
        input_tokens, output_tokens: As the service billed them, thinking included.
        cached_tokens: How many of `input_tokens` were read from a context cache.
        latency_seconds: From request to complete response, the successful attempt alone; 0 in a
            batch, which does not say.
        model_version: What the response says answered.
        response_id: The service's own name of the response.
        batch: Whether it comes from a batch job, which costs less.
        grounding: What a search brought, in the form of the API; None where there was none.
    """

    state: RowState
    reason: str | None = None
    text: str | None = None
    tool_calls: list[dict[str, Any]] = Field(default_factory=list)
    finish_reason: str | None = None
    safety: dict[str, str] = Field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    latency_seconds: float = 0.0
    model_version: str = ""
    response_id: str | None = None
    batch: bool = False
    grounding: dict[str, Any] | None = None


class Judgement(Record):
    """A judge's score of one answer, and its words."""

    score: float
    explanation: str = ""


class Choice(Record):
    """A judge's choice between two answers, by the place in which they were shown."""

    choice: Literal["first", "second", "tie"]
    explanation: str = ""


class RowResult(Record):
    """One evaluation row: what was answered and how it scored.

    Attributes:
        id, group, slices: Of the example.
        reference: The expected output.
        state: How the request ended; exactly one of the four.
        reason: Safety category, finish reason or error that explains a state but `answered`.
        answer: The model's text, if any.
        tool_calls: Function calls of the answer, as `{"name": ..., "arguments": {...}}`.
        scores: By metric; None where the metric could not be computed, never 0 in its place.
        errors: Why a metric could not be computed, by metric.
        ratings: The judge's single ratings, by judged metric; the score is their mean.
        explanations: The judge's words, by judged metric.
        input_tokens, output_tokens: As the service billed them.
        latency_seconds: From request to complete response, the successful attempt alone; 0 in a
            batch, which does not say.
        model_version: What the response says answered.
        batch: Whether the answer comes from a batch job, which costs less.
    """

    id: str
    group: str
    slices: dict[str, str]
    reference: str
    state: RowState
    reason: str | None = None
    answer: str | None = None
    tool_calls: list[dict[str, Any]] = Field(default_factory=list)
    scores: dict[str, float | None] = Field(default_factory=dict)
    errors: dict[str, str] = Field(default_factory=dict)
    ratings: dict[str, list[float]] = Field(default_factory=dict)
    explanations: dict[str, str] = Field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0
    latency_seconds: float = 0.0
    model_version: str = ""
    batch: bool = False


class MetricSummary(Record):
    """Mean of one metric over the rows that have it, with its confidence interval.

    Attributes:
        mean: None when no row has a score.
        low, high: Bounds of the 95 % interval; None with fewer than two groups of rows.
        rows: Rows with a score.
        errors: Rows that have an answer and no score; rows without an answer are not counted here.
        detectable: Smallest true difference to a candidate of the same spread that this number
            of rows finds with 80 % power; None where low and high are None.
    """

    mean: float | None
    low: float | None
    high: float | None
    rows: int
    errors: int
    detectable: float | None = None


class JudgeQuality(Record):
    """How a judge did in one metric.

    Attributes:
        ratings: Ratings that it gave.
        errors: Ratings that it was asked for and did not give.
        self_agreement: Share of pairs of ratings of the same answer that are equal; None when no
            answer was rated twice.
        spread: Standard deviation of ratings of the same answer; None likewise.
    """

    ratings: int
    errors: int
    self_agreement: float | None = None
    spread: float | None = None


class ClassQuality(Record):
    """How well one class was recognized; None where there is nothing to divide by."""

    precision: float | None
    recall: float | None
    f1: float | None
    rows: int


class Classification(Record):
    """Answers as classes.

    Attributes:
        classes: Quality by class of the expected outputs.
        confusion: Rows by expected class and answered class; answers that are not an expected class
            count as `(other)`.
    """

    classes: dict[str, ClassQuality]
    confusion: dict[str, dict[str, int]]


class CaseResult(Record):
    """One case of a suite.

    Attributes:
        passed: None when there was no response, so that nothing can be said.
        refused: Whether the service blocked it or the model declined.
        reason: Why it did not pass.
    """

    id: str
    category: str
    state: RowState
    passed: bool | None
    refused: bool
    reason: str | None = None


class SuiteReport(Record):
    """A suite as a candidate did it, and as its base model does it.

    Attributes:
        cases: Every case.
        passed: Share of cases that passed, with its interval.
        blocked, refused: Cases that the service blocked, and those or that the model declined.
        base_model: What a tuned model was tuned from; None for a base model and for golden cases.
        base_passed, base_blocked, base_refused: The same of the base model.
        p_value: Of no difference to the base model, two-sided, by McNemar's exact test.
    """

    cases: list[CaseResult]
    passed: MetricSummary
    blocked: int
    refused: int
    base_model: str | None = None
    base_passed: MetricSummary | None = None
    base_blocked: int | None = None
    base_refused: int | None = None
    p_value: float | None = None

    @property
    def worse_than_base(self) -> bool:
        """Whether tuning made it worse, beyond chance at the 5 % level."""
        if self.base_passed is None or self.p_value is None:
            return False
        mine, base = self.passed.mean or 0.0, self.base_passed.mean or 0.0
        return mine < base and self.p_value < 0.05


class EvaluationReport(Record):
    """Summary of one candidate on one evaluation set; the rows are in Parquet.

    Attributes:
        use_case, candidate: What was evaluated; `champion` is what production served then.
        model: Resource name or base model name that was called.
        model_version: What the responses said answered.
        fingerprint: sha256 over all that decides the report.
        evaluation_digest: Digest of the evaluation set.
        prompt_digest: Digest of the prompt.
        judge_digest: Digest of judge model and judged metrics; empty without a judge.
        rows_uri, summary_uri: `gs://` addresses.
        rows: Rows of the evaluation set.
        states: Rows by final state.
        metrics: Summary by metric.
        slices: Summary by slice name, slice value and metric.
        input_tokens, output_tokens: Totals of the answers, cached ones included.
        cost_usd: Price of all answers in US dollars; None if no price is known.
        latency_p50_seconds, latency_p95_seconds: None when nothing was answered.
        created: When it was computed, ISO 8601 in UTC.
        emulated: Whether the emulator answered; then nothing was charged.
        judging: How the judge did, by judged metric.
        classification: Where the use case has a metric of classes.
        suites: `golden`, `safety` and `off_task`, as far as the use case has them.
        rows_in_whole: Rows of the whole evaluation set, where the budget made the run do with less.
        done_with_less: What was done with less then, and why.
    """

    use_case: str
    candidate: str
    model: str
    model_version: str
    fingerprint: str
    evaluation_digest: str
    prompt_digest: str
    judge_digest: str
    rows_uri: str
    summary_uri: str
    rows: int
    states: dict[RowState, int]
    metrics: dict[str, MetricSummary]
    slices: dict[str, dict[str, dict[str, MetricSummary]]]
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    latency_p50_seconds: float | None
    latency_p95_seconds: float | None
    created: str
    emulated: bool
    judging: dict[str, JudgeQuality] = Field(default_factory=dict)
    classification: Classification | None = None
    suites: dict[str, SuiteReport] = Field(default_factory=dict)
    rows_in_whole: int | None = None
    done_with_less: list[str] = Field(default_factory=list)

    def mean(self, metric: str) -> float | None:
        """Mean of a metric; None without one."""
        summary = self.metrics.get(metric)
        return summary.mean if summary else None


class PreferenceReport(Record):
    """Which of two candidates' answers a judge likes better, row by row in both orders.

    Attributes:
        challenger, baseline: Candidates.
        fingerprint: sha256 over all that decides the report.
        judge_digest: sha256 over judge model, criteria and number of choices.
        pairs: Rows that both answered.
        wins, losses, ties: Pairs by the sign of the choices' mean, the challenger's view.
        preference: Share of choices for the challenger, a tie counting half; 0.5 means none.
        p_value: Of no preference, two-sided.
        position_bias: Share of choices for the answer shown first minus that for the second; 0
            means none. Each pair is shown in both orders, so that it moves no preference.
        consistency: Share of pairs with the same choice in both orders.
        self_agreement: Share of pairs of repeated choices, in the same order, that are equal; None
            without repeats.
    """

    challenger: str
    baseline: str
    fingerprint: str
    judge_digest: str
    pairs: int
    wins: int
    losses: int
    ties: int
    preference: MetricSummary
    p_value: float | None
    position_bias: MetricSummary
    consistency: float | None
    self_agreement: float | None
    created: str
    emulated: bool


class Agreement(Record):
    """How well a judge agrees with people in one metric.

    Attributes:
        rows, errors: Rated answers, and those that the judge did not rate.
        exact: Share of equal ratings.
        kappa: Cohen's kappa with quadratic weights, and its 95 % interval; None with too few rows
            or where all ratings are the same.
        bias: Mean of the judge's ratings minus people's.
    """

    rows: int
    errors: int
    exact: float | None
    kappa: float | None
    low: float | None
    high: float | None
    bias: float | None


class JudgeCalibration(Record):
    """A judge compared with people, on answers that people rated.

    Attributes:
        metrics: By judged metric, as far as people rated them.
        labels_digest: sha256 of the labels.
    """

    judge_digest: str
    labels_digest: str
    metrics: dict[str, Agreement]


def report_subject(report: EvaluationReport) -> str:
    """Name of a report in the measurement log."""
    return f"report/{report.fingerprint}"


class ChampionEvaluation(Record):
    """The report of what production serves now, on the current evaluation set, if it serves.

    Attributes:
        number: The champion's number; None when nothing was promoted yet.
        report: None when nothing was promoted yet; its `candidate` is `champion`.
    """

    number: int | None
    report: EvaluationReport | None
