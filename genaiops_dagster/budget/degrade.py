"""Doing with less where the whole run would break a limit: a cheaper judge, a smaller sample.

`budget.degrade` of the use case says what is allowed, and in which order. What was done is written
in the estimate, in every report and in the verdict of the gate. The sample is a data set with a
digest of its own, so that fingerprints tell its reports from those of the whole set.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genaiops_dagster.budget.limits import (
    NOTHING,
    BrokenLimit,
    BudgetExceededError,
    Spent,
    broken_limits,
)
from genaiops_dagster.records.budget import CostEstimate, Degradation
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import from_line, read_record
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.evaluation import Judge

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore


@dataclass(frozen=True)
class EvaluationScope:
    """How much candidates are evaluated on: everything, or what the budget allows.

    Attributes:
        use_case: With the judge that is used.
        evaluation_set: What every candidate answers, whole or a sample.
        degradation: What is done with less; None if nothing is.
    """

    use_case: UseCase
    evaluation_set: DatasetSplit
    degradation: Degradation | None = None


def degrade(
    whole: CostEstimate,
    use_case: UseCase,
    evaluation_set: DatasetSplit,
    take_sample: Callable[[int], DatasetSplit],
    price: Callable[[UseCase, DatasetSplit], CostEstimate],
    month: Spent = NOTHING,
    left: Callable[[CostEstimate], CostEstimate] = lambda estimate: estimate,
) -> CostEstimate:
    """The estimate of the first allowed way of doing with less that breaks no limit.

    Args:
        whole: Estimate of the whole run.
        use_case: Its budget says what may be done with less.
        evaluation_set: The whole one.
        take_sample: Gives a sample of a number of its rows.
        price: Estimates a run of another scope.
        month: What all runs of this month have reserved and spent.
        left: What of an estimate is not paid yet.

    Returns:
        `whole` where it breaks no limit itself, or where nothing that is allowed is enough.
    """
    if use_case.budget.degrade is None:
        return whole

    def limits(estimate: CostEstimate) -> list[BrokenLimit]:
        return broken_limits(estimate, use_case.budget, month=month, left=left(estimate))

    broken = limits(whole)
    if not broken:
        return whole
    for judge, rows in _options(use_case, evaluation_set.rows):
        sample = take_sample(rows) if rows else None
        degradation = Degradation(
            evaluation_digest=evaluation_set.digest,
            evaluation_rows=evaluation_set.rows,
            sample=sample,
            judge=judge,
            done=_done(use_case, evaluation_set, sample, judge, [one.sentence for one in broken]),
        )
        scope = with_less(use_case, evaluation_set, degradation)
        estimate = price(scope.use_case, scope.evaluation_set).model_copy(
            update={"degradation": degradation}
        )
        if not limits(estimate):
            return estimate
    return whole


def _options(use_case: UseCase, rows: int) -> Iterator[tuple[str | None, int | None]]:
    """A cheaper judge, then smaller and smaller samples as well."""
    policy, judge = use_case.budget.degrade, use_case.evaluation.judge
    if policy is None:
        return
    cheaper = policy.judge if judge and policy.judge != judge.model else None
    if cheaper:
        yield cheaper, None
    for fewer in sorted(set(policy.evaluation_rows), reverse=True):
        if fewer < rows:
            yield cheaper, fewer


def _done(
    use_case: UseCase,
    evaluation_set: DatasetSplit,
    sample: DatasetSplit | None,
    judge: str | None,
    broken: Sequence[str],
) -> list[str]:
    """Sentences that say what is reduced, and why."""
    sentences = []
    if sample is not None:
        few = use_case.gate.minimum_rows
        sentences.append(
            f"{sample.rows} of {evaluation_set.rows} evaluation rows are asked, by slices in "
            "proportion"
            + (f"; the gate asks for {few} and will not decide" if sample.rows < few else "")
        )
    if judge is not None and use_case.evaluation.judge is not None:
        sentences.append(f"{judge} judges in place of {use_case.evaluation.judge.model}")
    return [*sentences, *(f"the whole run is not allowed: {sentence}" for sentence in broken)]


def stratified_sample(examples: Mapping[str, Example], rows: int) -> list[str]:
    """Keys of `rows` of the examples, in their order: the same ones always and everywhere.

    Each combination of slice values gets its share of the rows (largest remainders), and in it
    those examples are chosen whose ids have the smallest sha256. So a smaller sample is, apart from
    rounding, part of a larger one, and cached answers serve both.
    """
    strata = defaultdict(list)
    for key, example in examples.items():
        strata[tuple(sorted(example.slices.items()))].append(key)
    shares = {stratum: rows * len(keys) / len(examples) for stratum, keys in strata.items()}
    counts = {stratum: math.floor(share) for stratum, share in shares.items()}
    by_remainder = sorted(
        strata, key=lambda stratum: (counts[stratum] - shares[stratum], _hash(repr(stratum)))
    )
    for stratum in by_remainder[: rows - sum(counts.values())]:
        counts[stratum] += 1
    chosen: set[str] = set()
    for stratum, keys in strata.items():
        chosen |= set(sorted(keys, key=lambda key: _hash(examples[key].id))[: counts[stratum]])
    return [key for key in examples if key in chosen]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def store_sample(
    store: ObjectStore, use_case: str, evaluation_set: DatasetSplit, rows: int
) -> DatasetSplit:
    """A sample of the evaluation set, written to the bucket under its digest."""
    with store.open(store.name_of(evaluation_set.uri)) as stream:
        lines = [line for line in stream.read().splitlines() if line.strip()]
    examples = {str(n): from_line(Example, line) for n, line in enumerate(lines)}
    content = b"".join(lines[int(n)] + b"\n" for n in stratified_sample(examples, rows))
    digest = hashlib.sha256(content).hexdigest()
    name = Layout(use_case).sample(evaluation_set.dataset_digest, digest)
    store.write_once(name, content, "application/jsonl")
    return evaluation_set.model_copy(
        update={
            "uri": store.uri(name),
            "digest": digest,
            "rows": rows,
            "characters": evaluation_set.characters * rows // evaluation_set.rows,
        }
    )


def with_less(
    use_case: UseCase, evaluation_set: DatasetSplit, degradation: Degradation | None
) -> EvaluationScope:
    """The scope that a degradation leaves.

    Raises:
        BudgetExceededError: the degradation is of another evaluation set.
    """
    if degradation is None:
        return EvaluationScope(use_case, evaluation_set)
    if degradation.evaluation_digest != evaluation_set.digest:
        raise BudgetExceededError(
            f"{use_case.name}: the estimate allows a sample of another evaluation set; "
            f"materialize {use_case.name}/cost_estimate again"
        )
    sample = degradation.sample or evaluation_set
    return EvaluationScope(with_judge(use_case, degradation), sample, degradation)


def with_judge(use_case: UseCase, degradation: Degradation | None) -> UseCase:
    """The use case with the judge that a degradation allows."""
    evaluation = use_case.evaluation
    if evaluation.judge is None:
        return use_case
    judge = allowed_judge(evaluation.judge, degradation)
    return use_case.model_copy(
        update={"evaluation": evaluation.model_copy(update={"judge": judge})}
    )


def allowed_judge(judge: Judge, degradation: Degradation | None) -> Judge:
    """The judge itself, or with the model that a degradation puts in its place."""
    if degradation is None or degradation.judge is None:
        return judge
    return judge.model_copy(update={"model": degradation.judge})


def read_degradation(store: ObjectStore, use_case: UseCase) -> Degradation | None:
    """The reductions of the latest estimate; None where the use case allows none.

    Raises:
        FileNotFoundError: there is no estimate.
    """
    if use_case.budget.degrade is None:
        return None
    return read_record(store, CostEstimate, use_case.name, "cost_estimate").degradation


def read_scope(
    store: ObjectStore, use_case: UseCase, evaluation_set: DatasetSplit
) -> EvaluationScope:
    """The scope that the latest estimate allows.

    Raises:
        FileNotFoundError: the use case may do with less, and there is no estimate.
        BudgetExceededError: the estimate is of another evaluation set.
    """
    return with_less(use_case, evaluation_set, read_degradation(store, use_case))
