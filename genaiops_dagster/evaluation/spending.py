"""What an evaluation pays: reserved before the first request, counted answer by answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from genaiops_dagster.budget.payment import Payment, Purse
from genaiops_dagster.budget.pricing import EVALUATION_SERVICE, computed_metrics_cost
from genaiops_dagster.budget.stage_costs import (
    JUDGE_ANSWER_TOKENS,
    JUDGE_INSTRUCTION_TOKENS,
    JUDGE_MAXIMUM_ANSWER_TOKENS,
    SUITE_PROMPT_TOKENS,
    cheaper_way,
    estimate_of,
    price_computed,
    price_requests,
)
from genaiops_dagster.evaluation.asking.inference import Contents, contents_text
from genaiops_dagster.prompts.tokens import (
    CountTokens,
    TokenTotal,
    count_sample,
    sample,
    user_message,
)
from genaiops_dagster.records.budget import CostEstimate, StageCost
from genaiops_dagster.records.evaluation import Answer, Judgement
from genaiops_dagster.use_case.budget import ModelPrice
from genaiops_dagster.use_case.evaluation import Evaluation, Judge

_SAMPLE_ROWS = 20


@dataclass(frozen=True)
class Asked:
    """What will be asked of a candidate and, about its answers, of the judge.

    Attributes:
        use_case, candidate: Whose evaluation.
        work: Identifies it in the ledger.
        base_model: By which the candidate is priced.
        tuned: Whether it was tuned from `base_model`.
        system_instruction: Part of every request.
        questions: What all rows ask; each answer is judged.
        prompts: Tokens of all of them, instructions included, as `count_questions` finds them.
        missing: How many of them have to be sent, because their answers are not kept.
        max_output_tokens: Of one answer.
        evaluation: Says when they are asked in a batch job, which costs less.
        grounded: Whether each request searches the web, which costs more.
        suite_requests, base_suite_requests: Requests of the suites, one by one, whose prompts are
            short: to the candidate, and to what it was tuned from.
        computed: How many metrics the evaluation service computes.
        reference_characters: Of all expected outputs.
    """

    use_case: str
    candidate: str
    work: str
    base_model: str
    system_instruction: str
    questions: Sequence[Contents]
    prompts: TokenTotal
    missing: int
    max_output_tokens: int
    evaluation: Evaluation
    tuned: bool = False
    grounded: bool = False
    suite_requests: int = 0
    base_suite_requests: int = 0
    computed: int = 0
    reference_characters: int = 0

    @property
    def judge(self) -> Judge | None:
        """Who rates the answers, if anybody."""
        return self.evaluation.judge


@dataclass
class Meter:
    """Counts what was paid for while an evaluation goes on.

    Attributes:
        answers, judgements, suites, base_suites, metrics: What is paid.
        batch: Whether the answers are asked for in a batch job.
        price_computed: US dollars of so many characters and scores.
        question_tokens: Of what a judgement is about, but for the answer, at the mean.
        longest_answer: Tokens of an answer at most.
    """

    answers: Payment
    batch: bool
    judgements: Payment | None = None
    suites: Payment | None = None
    base_suites: Payment | None = None
    metrics: Payment | None = None
    price_computed: Callable[[int, int], float] = computed_metrics_cost
    question_tokens: int = 0
    longest_answer: int = 0

    def answered(self, answer: Answer) -> None:
        """Count an answer that was paid for."""
        self.answers.add(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)

    def suite_answered(self, answer: Answer) -> None:
        """Count an answer to a suite that was paid for."""
        if self.suites is not None:
            self.suites.add(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)

    def base_suite_answered(self, answer: Answer) -> None:
        """Count an answer of the base model to a suite that was paid for."""
        if self.base_suites is not None:
            self.base_suites.add(
                input_tokens=answer.input_tokens, output_tokens=answer.output_tokens
            )

    def computed(self, texts: Sequence[tuple[str, str]]) -> None:
        """Count a request for one computed metric of answers and references."""
        if self.metrics is not None:
            characters = sum(len(answer) + len(reference) for answer, reference in texts)
            usd = self.price_computed(characters, len(texts))
            self.metrics.add(input_tokens=0, output_tokens=0, fixed_usd=usd)

    def judged(self, _: Judgement) -> None:
        """Count a judgement that was paid for; the service does not tell its tokens.

        The judge is shown reference and answer, taken to be as long as the answers so far.
        """
        if self.judgements is not None:
            paid = self.answers.total
            answer = paid.output_tokens // paid.requests if paid.requests else self.longest_answer
            self.judgements.add(
                input_tokens=self.question_tokens + 2 * answer, output_tokens=JUDGE_ANSWER_TOKENS
            )


@contextmanager
def spending(asked: Asked, purse: Purse, *, emulated: bool) -> Iterator[Meter]:
    """Reserve what an evaluation may cost, and record what it did.

    Raises:
        BudgetExceededError: it may not be spent; nothing was sent.
    """
    prices = purse.use_case.budget.prices
    answers = cheaper_way(
        asked.evaluation, asked.missing, functools.partial(_answers_cost, asked, prices)
    )
    with ExitStack() as stack:
        paid = stack.enter_context(
            purse.paying(
                f"evaluation/{asked.work}",
                stage="evaluation",
                model=asked.base_model,
                estimate=estimate_of(asked.use_case, [answers], emulated=emulated),
                tuned=asked.tuned,
                batch=answers.batch,
                grounded=asked.grounded,
            )
        )
        meter = Meter(paid, answers.batch)
        if asked.suite_requests:
            meter.suites = stack.enter_context(
                _paying_suites(asked, purse, tuned=asked.tuned, emulated=emulated)
            )
        if asked.base_suite_requests:
            meter.base_suites = stack.enter_context(
                _paying_suites(asked, purse, tuned=False, emulated=emulated)
            )
        if asked.computed:
            meter.price_computed = functools.partial(computed_metrics_cost, prices=prices)
            meter.metrics = stack.enter_context(
                purse.paying(
                    f"metrics/{asked.work}",
                    stage="metrics",
                    model=EVALUATION_SERVICE,
                    estimate=_computed_estimate(asked, prices, emulated=emulated),
                )
            )
        if asked.judge is not None:
            judging = _judging_estimate(asked, asked.judge, prices, emulated=emulated)
            meter.judgements = stack.enter_context(
                purse.paying(
                    f"judging/{asked.work}",
                    stage="judging",
                    model=asked.judge.model,
                    estimate=judging,
                )
            )
            mean = round(asked.prompts.tokens / max(len(asked.questions), 1))
            meter.question_tokens = mean + JUDGE_INSTRUCTION_TOKENS
            meter.longest_answer = asked.max_output_tokens
        yield meter


def count_questions(
    questions: Sequence[Contents], system_instruction: str, count: CountTokens
) -> TokenTotal:
    """Tokens of the prompts of all rows, from a sample of them."""
    sizes = [len(contents_text(contents)) for contents in questions]
    places, rows = sample(range(len(sizes)), _SAMPLE_ROWS, seed=0)
    chosen = [([dict(turn) for turn in questions[n]], sizes[n]) for n in places]
    total = count_sample(count, chosen, sum(sizes), rows)
    if not rows or not system_instruction:
        return total
    return total + TokenTotal(rows * count([user_message(system_instruction)]))


def _answers_cost(asked: Asked, prices: Mapping[str, ModelPrice], batch: bool) -> StageCost:
    """What the answers may cost that have to be asked for, in a batch job or singly."""
    share = asked.missing / len(asked.questions) if asked.questions else 0.0
    longest = asked.max_output_tokens
    return price_requests(
        prices,
        stage="evaluation",
        candidate=asked.candidate,
        model=asked.base_model,
        calls=asked.missing,
        prompts=asked.prompts.times(share),
        output_tokens=asked.missing * longest,
        maximum_output_tokens=asked.missing * longest,
        longest=(_mean(asked), longest) if asked.missing else (0, 0),
        basis=f"{asked.missing} rows whose answers are not kept",
        tuned=asked.tuned,
        batch=batch,
        searches=asked.missing if asked.grounded else 0,
    )


def _computed_estimate(
    asked: Asked, prices: Mapping[str, ModelPrice], *, emulated: bool
) -> CostEstimate:
    """What the metrics of the evaluation service may cost, of which some scores may be kept."""
    stage = price_computed(
        prices,
        candidate=asked.candidate,
        metrics=asked.computed,
        rows=len(asked.questions),
        references=asked.reference_characters,
        max_output_tokens=asked.max_output_tokens,
    )
    return estimate_of(asked.use_case, [stage], emulated=emulated)


def _paying_suites(
    asked: Asked, purse: Purse, *, tuned: bool, emulated: bool
) -> AbstractContextManager[Payment]:
    """What the suites may cost, of which some answers may be kept: by the candidate or its base."""
    of_base = asked.tuned and not tuned
    calls = asked.base_suite_requests if of_base else asked.suite_requests
    longest = asked.max_output_tokens
    stage = price_requests(
        purse.use_case.budget.prices,
        stage="suites",
        candidate=asked.candidate,
        model=asked.base_model,
        calls=calls,
        prompts=TokenTotal(calls * SUITE_PROMPT_TOKENS),
        output_tokens=calls * longest,
        maximum_output_tokens=calls * longest,
        longest=(SUITE_PROMPT_TOKENS, longest),
        basis=f"{calls} requests of suites",
        tuned=tuned,
    )
    return purse.paying(
        f"suites/{asked.work}" + ("/base" if of_base else ""),
        stage="suites",
        model=asked.base_model,
        estimate=estimate_of(asked.use_case, [stage], emulated=emulated),
        tuned=tuned,
    )


def _judging_estimate(
    asked: Asked,
    judge: Judge,
    prices: Mapping[str, ModelPrice],
    *,
    emulated: bool,
) -> CostEstimate:
    """What rating every answer may cost."""
    calls = len(asked.questions) * len(judge.metrics) * judge.repeats
    read = _mean(asked) + 2 * asked.max_output_tokens + JUDGE_INSTRUCTION_TOKENS
    stage = price_requests(
        prices,
        stage="judging",
        candidate=asked.candidate,
        model=judge.model,
        calls=calls,
        prompts=TokenTotal(calls * read),
        output_tokens=calls * JUDGE_ANSWER_TOKENS,
        maximum_output_tokens=calls * JUDGE_MAXIMUM_ANSWER_TOKENS,
        longest=(read, JUDGE_MAXIMUM_ANSWER_TOKENS),
        basis=f"{calls} ratings",
    )
    return estimate_of(asked.use_case, [stage], emulated=emulated)


def _mean(asked: Asked) -> int:
    """Tokens of a prompt of mean length, at most."""
    return round(asked.prompts.at_most / max(len(asked.questions), 1))
