"""The budget asset's record: the cost of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.record import Record

Stage = Literal[
    "tuning",
    "checkpoints",
    "evaluation",
    "metrics",
    "suites",
    "judging",
    "generation",
    "load_test",
]


class StageCost(Record):
    """Estimate of what one model is paid in one stage of a run.

    Attributes:
        stage: Part of the run.
        candidate: Candidate that the stage is about, or variant of a sweep; empty for the tuned
            model.
        model: Base model that is paid; a tuned model is priced as its base.
        calls: Requests.
        input_tokens: Tokens in, all requests together (for tuning: tokens trained on).
        output_tokens: Tokens out, as expected from the reference answers.
        maximum_output_tokens: Tokens out if every answer is as long as it may be.
        cost_usd: Expected price in US dollars, or None when no price is known.
        maximum_usd: Price with `maximum_output_tokens` and the sampling error on top.
        largest_request_tokens: Tokens in and out of the longest request, at most; 0 for tuning.
        largest_request_usd: Price of that request, at most.
        basis: What the figures rest on.
        batch: Whether the requests are a batch job.
    """

    stage: Stage
    candidate: str = ""
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    maximum_output_tokens: int
    cost_usd: float | None
    maximum_usd: float | None
    largest_request_tokens: int = 0
    largest_request_usd: float = 0.0
    basis: str = ""
    batch: bool = False

    @property
    def maximum_tokens(self) -> int:
        """Tokens in and out, at most."""
        return self.input_tokens + self.maximum_output_tokens

    def scaled(self, share: float) -> StageCost:
        """The same stage with a `share` of its requests."""
        counts = ("calls", "input_tokens", "output_tokens", "maximum_output_tokens")
        prices = ("cost_usd", "maximum_usd")
        return self.model_copy(
            update={
                **{name: math.ceil(getattr(self, name) * share) for name in counts},
                **{
                    name: None if (usd := getattr(self, name)) is None else usd * share
                    for name in prices
                },
            }
        )


class Degradation(Record):
    """The reductions of a run that would break a limit.

    Attributes:
        evaluation_digest, evaluation_rows: Of the whole evaluation set.
        sample: The part of it that candidates answer; None for all of it.
        judge: Model that judges instead of the use case's; None for the use case's own.
        done: What is done and why, in sentences.
    """

    evaluation_digest: str
    evaluation_rows: int
    sample: DatasetSplit | None
    judge: str | None
    done: list[str]


class CostEstimate(Record):
    """Estimate of a whole run, stage by stage.

    Attributes:
        use_case: Whose run.
        training_digest, evaluation_digest, prompt_digest: What was counted; an estimate of other
            data says nothing about a run.
        stages: One for each model that would be paid in a stage.
        cost_usd: Sum of the expected prices that are known, in US dollars.
        maximum_usd: The highest sum; budgets are compared with this.
        tokens: Sum of expected tokens.
        maximum_tokens: Sum of tokens at most.
        error_share: Half width of the 95 % interval of the counted tokens, as a share of them;
            0 when every row was counted.
        unknown_prices: Models whose price is not known.
        emulated: Whether the calls go to the emulator, where nothing is charged.
        degradation: What is done with less so that it fits the budget; None if nothing is.
    """

    use_case: str
    training_digest: str
    evaluation_digest: str
    prompt_digest: str
    stages: list[StageCost]
    cost_usd: float
    maximum_usd: float
    tokens: int
    maximum_tokens: int
    error_share: float
    unknown_prices: list[str]
    emulated: bool
    degradation: Degradation | None = None

    @property
    def largest_request_tokens(self) -> int:
        """Tokens in and out of the longest request of all stages, at most."""
        return max((stage.largest_request_tokens for stage in self.stages), default=0)

    @property
    def largest_request_usd(self) -> float:
        """Price of the most expensive request of all stages, at most."""
        return max((stage.largest_request_usd for stage in self.stages), default=0.0)

    def of_stages(self, *names: Stage, candidate: str | None = None) -> CostEstimate:
        """The same estimate with the stages of these names alone, of one candidate if given."""
        stages = [
            stage
            for stage in self.stages
            if stage.stage in names and candidate in (None, stage.candidate)
        ]
        return self.model_copy(update={"stages": stages, **totals(stages)})

    def scaled(self, share: float) -> CostEstimate:
        """The same estimate for a `share` of its requests, from 0 to 1."""
        stages = [stage.scaled(share) for stage in self.stages] if share else []
        return self.model_copy(update={"stages": stages, **totals(stages)})


def totals(stages: Sequence[StageCost]) -> dict[str, Any]:
    """Sums over stages, as the fields of a `CostEstimate`."""
    return {
        "cost_usd": sum(stage.cost_usd or 0.0 for stage in stages),
        "maximum_usd": sum(stage.maximum_usd or 0.0 for stage in stages),
        "tokens": sum(stage.input_tokens + stage.output_tokens for stage in stages),
        "maximum_tokens": sum(stage.maximum_tokens for stage in stages),
        "unknown_prices": sorted({stage.model for stage in stages if stage.cost_usd is None}),
    }
