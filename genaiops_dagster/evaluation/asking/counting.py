"""The usage of paid records, and the payment that they count towards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from genaiops_dagster.budget.ledger import Usage
from genaiops_dagster.budget.payment import Payment
from genaiops_dagster.budget.pricing import PriceList, computed_metrics_cost
from genaiops_dagster.budget.stage_costs import judge_output_limit
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.records.record import Record

R_contra = TypeVar("R_contra", contravariant=True)

Texts = tuple[str, str]
"""An answer and its expected output."""


class Counter(Protocol[R_contra]):
    """Knows what records of one kind used, and which payment they count towards."""

    @property
    def payment(self) -> Payment:
        """The payment that they count towards."""

    def used(self, record: R_contra) -> Usage:
        """The usage of a paid record."""


@dataclass(frozen=True)
class AnswerCounter:
    """Counts answers by the tokens that the service reports."""

    payment: Payment

    def used(self, answer: Answer) -> Usage:
        """The usage of an answer."""
        return Usage(1, answer.input_tokens, answer.output_tokens, answer.cached_tokens)


@dataclass(frozen=True)
class JudgementCounter:
    """Counts judgements, whose tokens the service does not report.

    Attributes:
        payment: Of the judge.
        judge: Its model, of whose output the limit is booked.
        input_tokens: What a judgement reads, without answer and reference.
        answers: Their mean length is that of answer and reference; None if `input_tokens` holds
            them.
        longest_answer: Tokens that an answer is taken to have before the first one was paid for.
    """

    payment: Payment
    judge: str
    input_tokens: int
    answers: Payment | None = None
    longest_answer: int = 0

    def used(self, _: Record) -> Usage:
        """The usage of a judgement."""
        read = self.input_tokens + 2 * self._answer_tokens()
        return Usage(1, read, judge_output_limit(self.judge))

    def _answer_tokens(self) -> int:
        paid = self.answers.total if self.answers else None
        if paid is None:
            return 0
        if not paid.requests:
            return self.longest_answer
        # Thoughts are counted as output, too, and a judge does not read them.
        return min(paid.output_tokens // paid.requests, self.longest_answer)


@dataclass(frozen=True)
class ScoreCounter:
    """Counts requests for a computed metric, which are paid by characters."""

    payment: Payment
    prices: PriceList

    def used(self, texts: Sequence[Texts]) -> Usage:
        """The usage of a request that sent these texts."""
        characters = sum(len(answer) + len(reference) for answer, reference in texts)
        usd = computed_metrics_cost(characters, len(texts), prices=self.prices)
        return Usage(1, fixed_usd=usd)
