"""The serving records: answers to prompts with their summary, and load tests."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from genaiops_dagster.records.record import Record

Status = Literal["answered", "refused", "blocked", "truncated", "failed"]
Place = Literal["input", "output"]


class Finding(Record):
    """The decision of one rule.

    Attributes:
        place: Whether the rule is of the input or of the output.
        rule: Field of the use case file, such as `blocked_topics.weapons`.
        action: Whether the text was blocked, or changed and let pass.
        detail: What was found, in words that do not repeat it.
    """

    place: Place
    rule: str
    action: Literal["blocked", "redacted"]
    detail: str

    @property
    def sentence(self) -> str:
        """The finding as a reason."""
        return f"guardrails.{self.place}.{self.rule}: {self.detail}"


class GeneratedRow(Record):
    """A prompt and how it ended.

    Attributes:
        id, source, source_row: Of the prompt; what it says stays where it came from.
        status: `refused`: not sent, by the budget or a rule of the input; `blocked`: by the
            service, or by a rule of the output; `failed`: no answer, or a prompt that cannot be
            rendered.
        reason: What explains a status but `answered`.
        answer: The model's text; None where a rule withholds it.
        guardrails: What the rules decided.
        finish_reason, safety, tool_calls, grounding: As the service said.
        model_version, response_id: What answered, in the service's own names.
        prompt_digest: Prompt that it was rendered with.
        input_tokens, output_tokens, cached_tokens: As billed; cached ones are some of the input.
        cost_usd: Price of the answer in US dollars; None when no price is known.
        latency_seconds: From request to complete response; 0 in a batch, which does not say.
        batch: Whether a batch job answered.
    """

    id: str
    source: str
    source_row: int
    status: Status
    reason: str | None = None
    answer: str | None = None
    guardrails: list[Finding] = Field(default_factory=list)
    finish_reason: str | None = None
    safety: dict[str, str] = Field(default_factory=dict)
    tool_calls: list[dict[str, Any]] = Field(default_factory=list)
    grounding: dict[str, Any] | None = None
    model_version: str = ""
    response_id: str | None = None
    prompt_digest: str
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    latency_seconds: float = 0.0
    batch: bool = False


class CacheUse(Record):
    """The effect of context caching in one run.

    Attributes:
        name: Resource name of the cached content; empty where none was used.
        action: What was done with it, or why there is none.
        prefix_tokens: Tokens of the shared start.
        cached_tokens: Tokens read from it instead of paid in full, all requests together.
        cost_usd: Price of creating and storing it; None when no price is known.
        saved_usd: What the requests cost less, `cost_usd` taken off; None likewise.
    """

    name: str = ""
    action: str
    prefix_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    saved_usd: float | None = None


class GeneratedContent(Record):
    """Content that one champion generated from the prompts of a day, or from the samples.

    Attributes:
        of: The day, or `samples`.
        digest: sha256 of all rows.
        champion: Number of the champion.
        model: Endpoint or base model that was called.
        model_versions: What the responses say answered.
        prompt_digest: Prompt that the champion is asked with.
        uri: `gs://` address of the rows, a Parquet file.
        rows: Prompts.
        states: Prompts by how they ended.
        input_tokens, output_tokens, cached_tokens: As the service billed them, for all answers.
        cost_usd: Price of all answers in US dollars, or None when no price is known.
        paid_requests, paid_usd: What this run paid; answers that were paid before are not in it.
        batch: Whether a batch job was asked.
        latency_seconds: Longest time from request to complete response.
        caching: What context caching came to.
        emulated: Whether the emulator answered; then nothing was charged.
    """

    of: str
    digest: str
    champion: int
    model: str
    model_versions: list[str]
    prompt_digest: str
    uri: str
    rows: int
    states: dict[Status, int]
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float | None
    paid_requests: int
    paid_usd: float | None
    batch: bool
    latency_seconds: float
    caching: CacheUse
    emulated: bool


class Percentiles(Record):
    """Percentiles of a duration in seconds; None when nothing was answered."""

    p50: float | None
    p95: float | None
    p99: float | None


class StepResult(Record):
    """One step of a load test.

    Attributes:
        load: What was sent, in words.
        users, rate: Users of a closed loop, or requests a second of an open one.
        requests, failed: Counts.
        errors: Failed requests by status.
        throughput: Answered requests a second.
        latency: From the intended time of sending to the complete answer.
        first_token: From the intended time of sending to the first part of the answer.
        lateness_p95_seconds: From the intended time of sending to the real one: how long requests
            waited for one of the generator's connections.
    """

    load: str
    users: int | None
    rate: float | None
    requests: int
    failed: int
    errors: dict[str, int]
    throughput: float
    latency: Percentiles
    first_token: Percentiles
    lateness_p95_seconds: float

    @property
    def error_rate(self) -> float:
        """Share of failed requests; 1 when there were none at all."""
        return self.failed / self.requests if self.requests else 1.0


class LoadTest(Record):
    """A load test of one model.

    Attributes:
        fingerprint: sha256 over model, prompt, config and policy.
        candidate: Its name in the use case, or `champion`.
        model: Resource name of what was called.
        prompt_digest: Prompt that it was asked with.
        steps: Every step.
        objective: What had to hold, in words; empty without one.
        met: Whether it did; None without an objective.
        reasons: Why not, or the figures.
        worst_latency_seconds: Latency that was judged, of the worst step.
        limit_seconds: What it was judged by.
        samples_uri: Every request, one JSON object a line.
        cost_usd: Price of all requests; None when none is known.
        created: ISO 8601 in UTC.
        emulated: Whether the emulator answered.
    """

    fingerprint: str
    candidate: str
    model: str
    prompt_digest: str
    steps: list[StepResult]
    objective: str
    met: bool | None
    reasons: list[str]
    worst_latency_seconds: float | None
    limit_seconds: float | None
    samples_uri: str
    cost_usd: float | None
    created: str
    emulated: bool


def load_test_subject(test: LoadTest) -> str:
    """Name of a load test in the measurement log."""
    return f"load_test/{test.samples_uri.rsplit('/', 1)[-1]}"
