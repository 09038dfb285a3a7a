"""The service's report on a job's data: examples, billed tokens, examples that it left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.genai import types


@dataclass(frozen=True)
class DataStatistics:
    """The data of a job, whatever the method; None where the service says nothing.

    Attributes:
        examples: Examples in the training set.
        steps: Training steps.
        tokens: Billable tokens of the data set, counted once.
        epochs: Passes over it, also where the service chose them.
        dropped_count: Examples that were left out.
        dropped: Those of them that the service named, by reason.
    """

    examples: int | None = None
    steps: int | None = None
    tokens: int | None = None
    epochs: int | None = None
    dropped_count: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def billed_tokens(self) -> int | None:
        """Tokens trained on: the service's figure counts the data once, the price every epoch.

        Source: https://cloud.google.com/vertex-ai/generative-ai/pricing (training tokens are the
        tokens of the data set times the epochs).
        """
        if self.tokens is None or self.epochs is None:
            return None
        return self.tokens * self.epochs


def statistics_of(job: types.TuningJob) -> DataStatistics:
    """The job's data statistics, as far as they are known by now."""
    stats, epochs = job.tuning_data_stats, _epochs(job)
    if stats is None:
        return DataStatistics(epochs=epochs)
    supervised = stats.supervised_tuning_data_stats
    counted = supervised or stats.preference_optimization_data_stats
    if counted is not None:
        reasons = counted.dropped_example_reasons or []
        return DataStatistics(
            examples=counted.tuning_dataset_example_count,
            steps=counted.tuning_step_count,
            tokens=counted.total_billable_token_count,
            epochs=epochs,
            dropped_count=supervised.total_truncated_example_count or 0
            if supervised
            else len(counted.dropped_example_indices or reasons),
            dropped=dict(Counter(reasons)),
        )
    if stats.distillation_data_stats is not None:
        prompts = stats.distillation_data_stats.training_dataset_stats
        return DataStatistics(
            examples=prompts.tuning_dataset_example_count if prompts else None,
            steps=prompts.tuning_step_count if prompts else None,
            epochs=epochs,
        )
    return DataStatistics(epochs=epochs)


def _epochs(job: types.TuningJob) -> int | None:
    specs = (job.supervised_tuning_spec, job.preference_optimization_spec, job.distillation_spec)
    chosen = (spec.hyper_parameters for spec in specs if spec is not None)
    return next((found.epoch_count for found in chosen if found is not None), None)
