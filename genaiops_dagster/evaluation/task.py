"""An evaluation's task: what is evaluated on what, with its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from genaiops_dagster.budget.degrade import EvaluationScope
from genaiops_dagster.evaluation.asking.inference import Model
from genaiops_dagster.evaluation.judging.judge import judge_digest
from genaiops_dagster.evaluation.scoring.metrics import metrics_digest
from genaiops_dagster.evaluation.suites.cases import suites_digest
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.prompts.rendering import candidate_prompt
from genaiops_dagster.records.budget import Degradation
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.use_case.evaluation import Evaluation

VERSION = 4
"""Raised when the same inputs would give another report than before."""


@dataclass(frozen=True)
class EvaluationTask:
    """The task of an evaluation: a model and the set that it answers.

    Attributes:
        use_case: Name of the use case.
        evaluation: Metrics, judge and suites.
        candidate: Name under which the report is filed.
        model: The model that answers.
        prompt: The prompt with which it is asked.
        evaluation_set: The rows that it answers.
        base: What `model` was tuned from; None for a base model.
        degradation: Why `evaluation_set` or judge are not the whole use case's; None if they are.
    """

    use_case: str
    evaluation: Evaluation
    candidate: str
    model: Model
    prompt: PromptVersion
    evaluation_set: DatasetSplit
    base: Model | None = None
    degradation: Degradation | None = None

    @cached_property
    def configuration(self) -> str:
        """sha256 over everything that decides an answer except the message."""
        return self.model.configuration(self.prompt.system_instruction)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over everything that decides the report."""
        return fingerprint(
            VERSION,
            self.candidate,
            self.configuration,
            self.prompt.digest,
            self.evaluation_set.digest,
            metrics_digest(self.evaluation.metrics),
            self.evaluation.computed_by,
            judge_digest(self.evaluation.judge),
            suites_digest(self.evaluation, self.prompt),
        )


def candidate_task(
    scope: EvaluationScope,
    candidate: str,
    prompt: PromptVersion,
    tuned: TunedModel | None,
    models: VertexAI,
) -> EvaluationTask:
    """The evaluation of a candidate.

    Args:
        scope: The use case and its evaluation set, as far as the budget allows.
        candidate: Its name.
        prompt: The use case's own prompt; the candidate may have another.
        tuned: The tuned model; None for a candidate that is a base model.
        models: Says where a base model is asked.
    """
    use_case = scope.use_case
    chosen = use_case.candidates[candidate]
    base_model = tuned.base_model if tuned else chosen.model
    address = models.model_address(base_model, chosen.location)
    base, registered = Model(address, base_model, chosen.generation), None
    if tuned:
        address = tuned.endpoint_after(chosen.checkpoint)
        registered = None if chosen.checkpoint else tuned.model
    return EvaluationTask(
        use_case=use_case.name,
        evaluation=use_case.evaluation,
        candidate=candidate,
        model=replace(base, address=address, registered=registered),
        prompt=candidate_prompt(use_case, candidate, prompt),
        evaluation_set=scope.evaluation_set,
        base=base if tuned else None,
        degradation=scope.degradation,
    )
