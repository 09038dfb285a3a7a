"""What serving hands on: content that the champion generated."""

from __future__ import annotations

from genaiops_dagster.evaluation.records import Answer, RowState
from genaiops_dagster.record import Record


class Generation(Record):
    """One line of the generated content: a request by its place, and the whole answer.

    Attributes:
        sample: Place of the sample in the use case file, from 0.
        prompt_digest: Prompt that the sample was rendered with.
        answer: What the model said, with usage, finish reason, safety and model version.
    """

    sample: int
    prompt_digest: str
    answer: Answer


class GeneratedContent(Record):
    """Content that one champion generated from the samples of its use case.

    Attributes:
        fingerprint: sha256 over champion, prompt and samples; the same is generated once.
        champion: Number of the champion.
        model: Endpoint or base model that was called.
        model_versions: What the responses say answered.
        prompt_digest: Prompt that the samples were rendered with.
        uri: `gs://` address of the answers, one JSON object a line.
        rows: Samples.
        states: Samples by how their request ended.
        input_tokens, output_tokens: As the service billed them.
        cost_usd: Price in US dollars, or None when no price is known.
        latency_seconds: Longest time from request to complete response.
        emulated: Whether the emulator answered; then nothing was charged.
    """

    fingerprint: str
    champion: int
    model: str
    model_versions: list[str]
    prompt_digest: str
    uri: str
    rows: int
    states: dict[RowState, int]
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    latency_seconds: float
    emulated: bool
