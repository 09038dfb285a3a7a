"""Counting what was paid for, record by record, as it arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from genaiops_dagster.budget.payment import Payment
from genaiops_dagster.budget.pricing import PriceList, computed_metrics_cost
from genaiops_dagster.budget.stage_costs import JUDGE_ANSWER_TOKENS
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.records.record import Record

R_contra = TypeVar("R_contra", contravariant=True)

Texts = tuple[str, str]
"""An answer and its expected output."""


class Counter(Protocol[R_contra]):
    """Counts records of one kind towards a payment."""

    def count(self, record: R_contra) -> None:
        """Count a record that was paid for."""


@dataclass(frozen=True)
class AnswerCounter:
    """Counts answers by the tokens that the service reports."""

    payment: Payment

    def count(self, answer: Answer) -> None:
        """Count an answer that was paid for."""
        self.payment.add(
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            cached_tokens=answer.cached_tokens,
        )


@dataclass(frozen=True)
class JudgementCounter:
    """Counts judgements, whose tokens the service does not report.

    Attributes:
        payment: Of the judge.
        input_tokens: What a judgement reads, without answer and reference.
        answers: Their mean length is that of answer and reference; None if `input_tokens` holds
            them.
        longest_answer: Tokens that an answer is taken to have before the first one was paid for.
    """

    payment: Payment
    input_tokens: int
    answers: Payment | None = None
    longest_answer: int = 0

    def count(self, _: Record) -> None:
        """Count a judgement that was paid for."""
        self.payment.add(
            input_tokens=self.input_tokens + 2 * self._answer_tokens(),
            output_tokens=JUDGE_ANSWER_TOKENS,
        )

    def _answer_tokens(self) -> int:
        paid = self.answers.total if self.answers else None
        if paid is None:
            return 0
        return paid.output_tokens // paid.requests if paid.requests else self.longest_answer


@dataclass(frozen=True)
class ScoreCounter:
    """Counts requests for a computed metric, which are paid by characters."""

    payment: Payment
    prices: PriceList

    def count(self, texts: Sequence[Texts]) -> None:
        """Count a request that was paid for, with the texts it sent."""
        characters = sum(len(answer) + len(reference) for answer, reference in texts)
        usd = computed_metrics_cost(characters, len(texts), prices=self.prices)
        self.payment.add(input_tokens=0, output_tokens=0, fixed_usd=usd)
