"""What an evaluation pays: reserved before the first request, counted answer by answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from genaiops_dagster.budget.estimate import (
    JUDGE_ANSWER_TOKENS,
    JUDGE_INSTRUCTION_TOKENS,
    JUDGE_MAXIMUM_ANSWER_TOKENS,
    SUITE_PROMPT_TOKENS,
    estimate_of,
    price_requests,
)
from genaiops_dagster.budget.payment import Payment, Purse
from genaiops_dagster.budget.records import CostEstimate
from genaiops_dagster.budget.tokens import (
    CountTokens,
    TokenTotal,
    count_sample,
    sample,
    user_message,
)
from genaiops_dagster.budget_policy import ModelPrice
from genaiops_dagster.evaluation.inference import Contents, contents_text
from genaiops_dagster.evaluation.records import Answer, Judgement
from genaiops_dagster.evaluation_policy import Judge

_SAMPLE_ROWS = 20


@dataclass(frozen=True)
class Asked:
    """What will be asked of a candidate and, about its answers, of the judge.

    Attributes:
        use_case, candidate: Whose evaluation.
        work: Identifies it in the ledger.
        base_model: By which the candidate is priced.
        system_instruction: Part of every request.
        questions: What all rows ask; each answer is judged.
        missing: How many of them have to be sent, because their answers are not kept.
        max_output_tokens: Of one answer.
        judge: Who rates them, if anybody.
        batch: Whether they are asked in a batch job, which costs less.
        grounded: Whether each request searches the web, which costs more.
        suite_requests: Requests of the suites, one by one, whose prompts are short.
    """

    use_case: str
    candidate: str
    work: str
    base_model: str
    system_instruction: str
    questions: Sequence[Contents]
    missing: int
    max_output_tokens: int
    judge: Judge | None
    batch: bool = False
    grounded: bool = False
    suite_requests: int = 0


@dataclass
class Meter:
    """Counts what was paid for while an evaluation goes on.

    Attributes:
        answers, judgements, suites: What is paid.
        question_tokens: Of what a judgement is about, but for the answer, at the mean.
        longest_answer: Tokens of an answer at most.
    """

    answers: Payment
    judgements: Payment | None = None
    suites: Payment | None = None
    question_tokens: int = 0
    longest_answer: int = 0

    def answered(self, answer: Answer) -> None:
        """Count an answer that was paid for."""
        self.answers.add(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)

    def suite_answered(self, answer: Answer) -> None:
        """Count an answer to a suite that was paid for."""
        if self.suites is not None:
            self.suites.add(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)

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
def spending(asked: Asked, purse: Purse, count: CountTokens, *, emulated: bool) -> Iterator[Meter]:
    """Reserve what an evaluation may cost, and record what it did.

    Raises:
        BudgetExceededError: it may not be spent; nothing was sent.
    """
    prices = purse.use_case.budget.prices
    prompts = _prompt_tokens(asked, count)
    answers = _answers_estimate(asked, prompts, prices, emulated=emulated)
    with ExitStack() as stack:
        paid = stack.enter_context(
            purse.paying(
                f"evaluation/{asked.work}",
                stage="evaluation",
                model=asked.base_model,
                estimate=answers,
                batch=asked.batch,
                grounded=asked.grounded,
            )
        )
        meter = Meter(paid)
        if asked.suite_requests:
            meter.suites = stack.enter_context(
                purse.paying(
                    f"suites/{asked.work}",
                    stage="suites",
                    model=asked.base_model,
                    estimate=_suites_estimate(asked, prices, emulated=emulated),
                )
            )
        if asked.judge is not None:
            judging = _judging_estimate(asked, asked.judge, prompts, prices, emulated=emulated)
            meter.judgements = stack.enter_context(
                purse.paying(
                    f"judging/{asked.work}",
                    stage="judging",
                    model=asked.judge.model,
                    estimate=judging,
                )
            )
            mean = round(prompts.tokens / max(len(asked.questions), 1))
            meter.question_tokens = mean + JUDGE_INSTRUCTION_TOKENS
            meter.longest_answer = asked.max_output_tokens
        yield meter


def _prompt_tokens(asked: Asked, count: CountTokens) -> TokenTotal:
    """Tokens of the prompts of all rows, from a sample of them."""
    sizes = [len(contents_text(contents)) for contents in asked.questions]
    places, rows = sample(range(len(sizes)), _SAMPLE_ROWS, seed=0)
    chosen = [([dict(turn) for turn in asked.questions[n]], sizes[n]) for n in places]
    total = count_sample(count, chosen, sum(sizes), rows)
    if not rows or not asked.system_instruction:
        return total
    return total + TokenTotal(rows * count([user_message(asked.system_instruction)]))


def _answers_estimate(
    asked: Asked, prompts: TokenTotal, prices: Mapping[str, ModelPrice], *, emulated: bool
) -> CostEstimate:
    """What the answers may cost that have to be asked for."""
    share = asked.missing / len(asked.questions) if asked.questions else 0.0
    longest = asked.max_output_tokens
    stage = price_requests(
        prices,
        stage="evaluation",
        candidate=asked.candidate,
        model=asked.base_model,
        calls=asked.missing,
        prompts=prompts.times(share),
        output_tokens=asked.missing * longest,
        maximum_output_tokens=asked.missing * longest,
        longest=(_mean(asked, prompts), longest) if asked.missing else (0, 0),
        basis=f"{asked.missing} rows whose answers are not kept",
        batch=asked.batch,
        searches=asked.missing if asked.grounded else 0,
    )
    return estimate_of(asked.use_case, [stage], emulated=emulated)


def _suites_estimate(
    asked: Asked, prices: Mapping[str, ModelPrice], *, emulated: bool
) -> CostEstimate:
    """What the suites may cost, of which some answers may be kept."""
    calls, longest = asked.suite_requests, asked.max_output_tokens
    stage = price_requests(
        prices,
        stage="suites",
        candidate=asked.candidate,
        model=asked.base_model,
        calls=calls,
        prompts=TokenTotal(calls * SUITE_PROMPT_TOKENS),
        output_tokens=calls * longest,
        maximum_output_tokens=calls * longest,
        longest=(SUITE_PROMPT_TOKENS, longest),
        basis=f"{calls} requests of suites",
    )
    return estimate_of(asked.use_case, [stage], emulated=emulated)


def _judging_estimate(
    asked: Asked,
    judge: Judge,
    prompts: TokenTotal,
    prices: Mapping[str, ModelPrice],
    *,
    emulated: bool,
) -> CostEstimate:
    """What rating every answer may cost."""
    calls = len(asked.questions) * len(judge.metrics) * judge.repeats
    read = _mean(asked, prompts) + 2 * asked.max_output_tokens + JUDGE_INSTRUCTION_TOKENS
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


def _mean(asked: Asked, prompts: TokenTotal) -> int:
    """Tokens of a prompt of mean length, at most."""
    return round(prompts.at_most / max(len(asked.questions), 1))
