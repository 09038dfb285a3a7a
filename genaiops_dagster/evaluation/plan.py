"""The plan of an evaluation: what has to be asked, and what each part of that may cost.

A plan is data. Making one asks nothing and pays nothing; `reserve` takes its costs from the budget
before the first request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from genaiops_dagster.budget.payment import Payment, Purse
from genaiops_dagster.budget.pricing import PriceList, is_tuned
from genaiops_dagster.budget.stage_costs import (
    JUDGE_INSTRUCTION_TOKENS,
    SUITE_PROMPT_TOKENS,
    cheaper_way,
    estimate_of,
    price_computed,
    price_judgements,
    price_requests,
)
from genaiops_dagster.evaluation.asking.cache import RecordCache
from genaiops_dagster.evaluation.asking.counting import (
    AnswerCounter,
    JudgementCounter,
    ScoreCounter,
)
from genaiops_dagster.evaluation.asking.inference import Contents, contents_key, contents_text
from genaiops_dagster.evaluation.suites.cases import count_requests
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.prompts.tokens import (
    CountTokens,
    TokenTotal,
    count_sample,
    sample,
    user_message,
)
from genaiops_dagster.records.budget import Stage, StageCost
from genaiops_dagster.records.data import Example
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.use_case.evaluation import Judge

_SAMPLE_ROWS = 20


@dataclass(frozen=True)
class EvaluationPlan:
    """The requests of an evaluation.

    Attributes:
        questions: What each row asks.
        missing: Indexes of the questions whose answers are not cached.
        prompt_tokens: Tokens of a prompt, on average.
        answers: What the missing answers may cost, one by one or in a batch job.
        suites, base_suites: What the suites may cost, for the candidate and for the model that
            it was tuned from; None if they are not asked.
        metrics: What the metrics of the evaluation service may cost; None if there are none.
        judging: What the ratings may cost; None without a judge.
    """

    questions: Sequence[Contents]
    missing: list[int]
    prompt_tokens: int
    answers: StageCost
    suites: StageCost | None
    base_suites: StageCost | None
    metrics: StageCost | None
    judging: StageCost | None


@dataclass(frozen=True)
class Counters:
    """Counters of what was reserved; None for parts that a plan does not have."""

    answers: AnswerCounter
    suites: AnswerCounter | None
    base_suites: AnswerCounter | None
    metrics: ScoreCounter | None
    judging: JudgementCounter | None


def plan_evaluation(
    task: EvaluationTask,
    examples: Sequence[Example],
    questions: Sequence[Contents],
    cache: RecordCache[Answer],
    count: CountTokens,
    prices: PriceList,
) -> EvaluationPlan:
    """Plan an evaluation.

    Args:
        task: What is evaluated on what.
        examples: The rows of its evaluation set.
        questions: What each row asks.
        cache: The answers that were paid for before.
        count: Counts the tokens of prompts.
        prices: What applies.

    Raises:
        CacheMissError: the run is strict, and answers are missing.
    """
    evaluation, rows = task.evaluation, len(questions)
    missing = [n for n, contents in enumerate(questions) if cache.lacks(contents_key(contents))]
    cache.refuse_if_strict(len(missing), f"of {rows} answers")
    prompts = _count_questions(questions, task.prompt.system_instruction, count)
    longest = task.model.generation.max_output_tokens
    mean = round(prompts.at_most / max(rows, 1))
    missing_prompts = prompts.times(len(missing) / rows if rows else 0.0)

    def answers(batch: bool) -> StageCost:
        return _requests(
            task,
            prices,
            stage="evaluation",
            calls=len(missing),
            prompts=missing_prompts,
            longest_prompt=mean,
            basis=f"{len(missing)} rows whose answers are not cached",
            batch=batch,
        )

    def suites(calls: int, *, of_base: bool) -> StageCost | None:
        if not calls:
            return None
        return _requests(
            task,
            prices,
            stage="suites",
            calls=calls,
            prompts=TokenTotal(calls * SUITE_PROMPT_TOKENS),
            longest_prompt=SUITE_PROMPT_TOKENS,
            basis=f"{calls} requests of suites",
            of_base=of_base,
        )

    own, of_base = count_requests(evaluation, task.prompt, with_base=task.base is not None)
    computed = len(evaluation.metrics_by_service())
    return EvaluationPlan(
        questions=questions,
        missing=missing,
        prompt_tokens=round(prompts.tokens / max(rows, 1)),
        answers=cheaper_way(evaluation, len(missing), answers(False), answers(True))
        if task.model.in_batch
        else answers(False),
        suites=suites(own, of_base=False),
        base_suites=suites(of_base, of_base=True),
        metrics=price_computed(
            prices,
            candidate=task.candidate,
            metrics=computed,
            rows=rows,
            references=sum(len(example.output) for example in examples),
            max_output_tokens=longest,
        )
        if computed
        else None,
        judging=_ratings(task, evaluation.judge, rows, mean + 2 * longest, prices)
        if evaluation.judge
        else None,
    )


@contextmanager
def reserve(
    plan: EvaluationPlan, task: EvaluationTask, purse: Purse, *, emulated: bool
) -> Iterator[Counters]:
    """Reserve what a plan may cost, and record at the end what it did cost.

    Raises:
        BudgetExceededError: it may not be spent; nothing was sent.
    """
    with ExitStack() as stack:

        def pay(cost: StageCost, work: str = "", *, of_base: bool = False) -> Payment:
            is_answer = cost.stage in ("evaluation", "suites")
            return stack.enter_context(
                purse.paying(
                    f"{cost.stage}/{task.fingerprint}{work}",
                    stage=cost.stage,
                    model=cost.model,
                    estimate=estimate_of(task.use_case, [cost], emulated=emulated),
                    tuned=is_answer and not of_base and is_tuned(task.model.address),
                    batch=cost.batch,
                    grounded=is_answer and _is_grounded(task),
                )
            )

        answers = pay(plan.answers)
        yield Counters(
            answers=AnswerCounter(answers),
            suites=AnswerCounter(pay(plan.suites)) if plan.suites else None,
            base_suites=AnswerCounter(pay(plan.base_suites, "/base", of_base=True))
            if plan.base_suites
            else None,
            metrics=ScoreCounter(pay(plan.metrics), purse.prices()) if plan.metrics else None,
            judging=JudgementCounter(
                pay(plan.judging),
                plan.judging.model,
                plan.prompt_tokens + JUDGE_INSTRUCTION_TOKENS,
                answers,
                task.model.generation.max_output_tokens,
            )
            if plan.judging
            else None,
        )


def works_of(task: EvaluationTask) -> list[str]:
    """Names of the parts of an evaluation in the ledger."""
    parts = ("evaluation", "suites", "metrics", "judging")
    return [f"{part}/{task.fingerprint}" for part in parts] + [f"suites/{task.fingerprint}/base"]


def _count_questions(
    questions: Sequence[Contents], system_instruction: str, count: CountTokens
) -> TokenTotal:
    """Tokens of the prompts of all rows, from a sample of them."""
    sizes = [len(contents_text(contents)) for contents in questions]
    indexes, rows = sample(range(len(sizes)), _SAMPLE_ROWS, seed=0)
    chosen = [([dict(turn) for turn in questions[n]], sizes[n]) for n in indexes]
    total = count_sample(count, chosen, sum(sizes), rows)
    if not rows or not system_instruction:
        return total
    return total + TokenTotal(rows * count([user_message(system_instruction)]))


def _is_grounded(task: EvaluationTask) -> bool:
    """Whether each request searches the web, which costs more."""
    return "google_search" in task.model.generation.tools


def _requests(
    task: EvaluationTask,
    prices: PriceList,
    *,
    stage: Stage,
    calls: int,
    prompts: TokenTotal,
    longest_prompt: int,
    basis: str,
    batch: bool = False,
    of_base: bool = False,
) -> StageCost:
    """The cost of requests to the candidate, or to the model that it was tuned from."""
    asked = task.base if of_base and task.base else task.model
    answer = asked.generation.max_output_tokens
    return price_requests(
        prices,
        stage=stage,
        candidate=task.candidate,
        model=task.model.base_model,
        calls=calls,
        prompts=prompts,
        output_tokens=calls * min(answer + asked.thinking.expected, asked.output_limit),
        maximum_output_tokens=calls * asked.output_limit,
        longest=(longest_prompt, asked.output_limit) if calls else (0, 0),
        basis=basis,
        tuned=not of_base and is_tuned(task.model.address),
        batch=batch,
        searches=calls if _is_grounded(task) else 0,
    )


def _ratings(
    task: EvaluationTask, judge: Judge, rows: int, read: int, prices: PriceList
) -> StageCost:
    """The cost of rating every answer, if the judge reads `read` tokens each time."""
    calls = rows * len(judge.metrics) * judge.repeats
    return price_judgements(
        prices,
        judge.model,
        calls,
        TokenTotal(calls * read),
        longest=read,
        basis=f"{calls} ratings",
        candidate=task.candidate,
    )
