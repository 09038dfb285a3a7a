"""The cost of requests of one kind, as a stage of a run or as a step of its own."""

from __future__ import annotations

from collections.abc import Sequence

from genaiops_dagster.budget.pricing import (
    EVALUATION_SERVICE,
    PriceList,
    computed_metrics_cost,
    token_cost,
)
from genaiops_dagster.google_cloud.thinking import output_limit, thinking_of
from genaiops_dagster.prompts.tokens import TokenTotal
from genaiops_dagster.records.budget import CostEstimate, Stage, StageCost, totals
from genaiops_dagster.use_case.evaluation import Evaluation

JUDGE_INSTRUCTION_TOKENS = 400
"""Tokens that a judge's own instruction adds to prompt and answer."""

JUDGE_MAXIMUM_ANSWER_TOKENS = 1024
"""Tokens that a judge writes at most, besides its thoughts."""

MOST_CHARACTERS_PER_TOKEN = 8
"""Characters of a token at most, on the mean of an answer; English text has about 4.

Source: https://ai.google.dev/gemini-api/docs/tokens
"""

SERVICE_ROWS = 100
"""Answers that the evaluation service is sent in one request."""

SUITE_PROMPT_TOKENS = 300
"""More than any shipped case has, with a system instruction."""

SUITE_CASES = {"safety": 18, "off_task": 14}
"""Cases of the suites that are shipped with the evaluation."""


def price_requests(
    prices: PriceList,
    *,
    stage: Stage,
    candidate: str,
    model: str,
    calls: int,
    prompts: TokenTotal,
    output_tokens: int,
    maximum_output_tokens: int,
    longest: tuple[int, int],
    basis: str,
    tuned: bool = False,
    batch: bool = False,
    searches: int = 0,
    maximum_input_tokens: int | None = None,
) -> StageCost:
    """Price the requests of one stage.

    Args:
        prices: What applies.
        stage: Part of the run.
        candidate: Candidate that answers.
        model: Base model that is paid.
        calls: How many requests.
        prompts: Tokens of all prompts together.
        output_tokens: Expected tokens of all answers together.
        maximum_output_tokens: The same at most.
        longest: Tokens in and, at most, out of the longest request.
        basis: What the figures rest on, for a reader.
        tuned: Whether requests go to a model that was tuned from `model`.
        batch: Whether the requests are a batch job, which costs less.
        searches: Web searches that ground answers, one for each request that may search.
        maximum_input_tokens: Of all prompts at most, where more than sampling makes them unsure.
    """
    input_tokens = round(prompts.tokens)
    at_most = round(prompts.at_most) if maximum_input_tokens is None else maximum_input_tokens

    def price(tokens_in: int, tokens_out: int) -> float | None:
        return token_cost(
            model,
            tokens_in,
            tokens_out,
            tuned=tuned,
            requests=calls,
            searches=searches,
            batch=batch,
            prices=prices,
        )

    most = token_cost(model, *longest, tuned=tuned, searches=min(searches, 1), prices=prices)

    return StageCost(
        stage=stage,
        candidate=candidate,
        model=model,
        calls=calls,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        maximum_output_tokens=maximum_output_tokens,
        cost_usd=price(input_tokens, output_tokens),
        maximum_usd=price(at_most, maximum_output_tokens),
        largest_request_tokens=sum(longest),
        largest_request_usd=most or 0.0,
        basis=basis,
        batch=batch,
    )


def judge_output_limit(model: str) -> int:
    """Tokens out that a judge is allowed for one judgement, thoughts included.

    The service does not tell what a judge read and wrote: this is what is recorded as spent.
    """
    thinking = thinking_of(model, None, None, tuned=False)
    return output_limit(model, JUDGE_MAXIMUM_ANSWER_TOKENS, thinking)


def price_judgements(
    prices: PriceList,
    model: str,
    calls: int,
    shown: TokenTotal,
    *,
    longest: int,
    basis: str,
    candidate: str = "",
    shown_at_most: int | None = None,
) -> StageCost:
    """Price what a judge is asked; arguments as for `price_requests`.

    `shown` are the tokens of everything that the judge reads besides its own instruction, and
    `longest` those of one judgement at most. `candidate` is empty if several are judged, or none.
    """
    instructions, limit = calls * JUDGE_INSTRUCTION_TOKENS, judge_output_limit(model)
    return price_requests(
        prices,
        stage="judging",
        candidate=candidate,
        model=model,
        calls=calls,
        prompts=TokenTotal(instructions) + shown,
        maximum_input_tokens=None if shown_at_most is None else instructions + shown_at_most,
        output_tokens=calls * limit,
        maximum_output_tokens=calls * limit,
        longest=(longest + JUDGE_INSTRUCTION_TOKENS, limit) if calls else (0, 0),
        basis=basis,
    )


def price_computed(
    prices: PriceList,
    *,
    candidate: str,
    metrics: int,
    rows: int,
    references: int,
    max_output_tokens: int,
) -> StageCost:
    """Price the metrics of one candidate that the evaluation service computes without a judge.

    `references` are the characters of all expected outputs together.
    """
    answers_at_most = max(references, rows * max_output_tokens * MOST_CHARACTERS_PER_TOKEN)
    at_most = references + answers_at_most
    return StageCost(
        stage="metrics",
        candidate=candidate,
        model=EVALUATION_SERVICE,
        calls=metrics * -(-rows // SERVICE_ROWS),
        input_tokens=0,
        output_tokens=0,
        maximum_output_tokens=0,
        cost_usd=computed_metrics_cost(2 * references * metrics, rows * metrics, prices=prices),
        maximum_usd=computed_metrics_cost(at_most * metrics, rows * metrics, prices=prices),
        basis=f"{rows} answers x {metrics} metrics, by characters",
    )


def cheaper_way(
    evaluation: Evaluation, rows: int, singly: StageCost, batch: StageCost
) -> StageCost:
    """The cost of `rows` answers as they are requested: one by one, or in a batch job.

    A batch job is chosen by `batch_from_rows` and `batch_from_saving_usd` of the use case; where no
    price is known, no saving can be shown.
    """
    saving = evaluation.batch_from_saving_usd
    if evaluation.batch_from_rows is None and saving is None:
        return singly
    if rows < (evaluation.batch_from_rows or 1):
        return singly
    if saving is None:
        return batch
    if singly.maximum_usd is None or batch.maximum_usd is None:
        return singly
    return batch if singly.maximum_usd - batch.maximum_usd >= saving else singly


def estimate_of(
    use_case: str,
    stages: Sequence[StageCost],
    *,
    emulated: bool,
    error_share: float = 0.0,
    training_digest: str = "",
    evaluation_digest: str = "",
    prompt_digest: str = "",
) -> CostEstimate:
    """Stages as an estimate; digests are empty where it is of one step's requests alone."""
    return CostEstimate(
        use_case=use_case,
        training_digest=training_digest,
        evaluation_digest=evaluation_digest,
        prompt_digest=prompt_digest,
        stages=list(stages),
        error_share=error_share,
        emulated=emulated,
        **totals(stages),
    )
