"""Now `genaiops_dagster.evaluation.scoring.metrics`; this path goes in the next release."""

from genaiops_dagster.evaluation.scoring.metrics import (
    CLASS_METRICS,
    CORPUS_METRICS,
    VERSION,
    Score,
    accuracy,
    bleu,
    exact_match,
    label,
    metrics_digest,
    row_metrics,
)

__all__ = [
    "CLASS_METRICS",
    "CORPUS_METRICS",
    "VERSION",
    "Score",
    "accuracy",
    "bleu",
    "exact_match",
    "label",
    "metrics_digest",
    "row_metrics",
]
