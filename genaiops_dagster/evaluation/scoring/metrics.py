"""Computed metrics: an answer against the expected output, on this machine.

Scores are shares, 0 to 1, except those of your own functions. Text metrics are those of
maintained libraries; the evaluation service computes the same figures, as tests make sure.
"""

from __future__ import annotations

import functools
import inspect
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

from genaiops_dagster.evaluation.scoring import structured
from genaiops_dagster.evaluation.scoring.user_functions import load_function, source_digest
from genaiops_dagster.records.data import Example
from genaiops_dagster.records.fingerprint import fingerprint

VERSION = 2
"""Raised when a metric would score the same answer differently than before."""

Score = Callable[[str, Example], float | None]
"""From an answer and its example to a score; None where the metric does not apply to the row."""

CORPUS_METRICS = ("macro_precision", "macro_recall", "macro_f1")
"""Metrics of all answers together, which a single answer does not have."""

CLASS_METRICS = ("accuracy", *CORPUS_METRICS)
"""Metrics for which answers name classes."""

ROUGE = {
    "rouge_1": "rouge1",
    "rouge_2": "rouge2",
    "rouge_l": "rougeL",
    "rouge_l_sum": "rougeLsum",
}
"""What library and service call the kinds of ROUGE."""


def row_metrics(metrics: list[str]) -> dict[str, Score]:
    """How to score a row, by metric name; metrics of all answers together are left out.

    Args:
        metrics: As in the use case: names, or `module:function`.

    Raises:
        UserFunctionError: a function cannot be loaded.
    """
    return {
        metric.rpartition(":")[2]: _score(metric)
        for metric in metrics
        if metric not in CORPUS_METRICS
    }


def metrics_digest(metrics: list[str]) -> str:
    """sha256 over the metrics and the source of one's own functions."""
    functions = {metric: source_digest(metric) for metric in metrics if ":" in metric}
    return fingerprint(VERSION, metrics, functions)


def _score(metric: str) -> Score:
    if ":" in metric:
        return _user_score(load_function(metric))
    if metric in ROUGE:
        return _of_texts(functools.partial(_rouge, ROUGE[metric]))
    return _of_texts(_TEXT_METRICS[metric])


def _of_texts(function: Callable[[str, str], float]) -> Score:
    return lambda answer, example: function(answer, example.output)


def _user_score(function: Callable[..., Any]) -> Score:
    """A user's function; it gets the row's variables if it has a parameter for them."""
    takes_variables = len(inspect.signature(function).parameters) > 2

    def score(answer: str, example: Example) -> float | None:
        extra = (example.variables,) if takes_variables else ()
        value = function(answer, example.output, *extra)
        if value is None:
            return None
        value = float(value)
        if not math.isfinite(value):
            raise ValueError(f"returned {value}, a score is a finite number or None")
        return value

    return score


def exact_match(answer: str, reference: str) -> float:
    """1 when both are the same apart from white space around them, else 0."""
    return float(answer.strip() == reference.strip())


def label(text: str) -> str:
    """The class that an answer names: without case, and marks and spaces around it."""
    return text.strip(" \t\r\n.,;:!?\"'`*()[]").casefold()


def accuracy(answer: str, reference: str) -> float:
    """1 when both name the same class, else 0."""
    return float(label(answer) == label(reference))


def bleu(answer: str, reference: str) -> float:
    """BLEU of one text, as the evaluation service computes it by default.

    That is without an effective order: n-grams of up to four words count, whatever the length, so
    that an answer of fewer words scores 0. For short answers take exact match or ROUGE.

    Source: Papineni et al. 2002, https://aclanthology.org/P02-1040, as sacrebleu computes it
    (Post 2018, https://aclanthology.org/W18-6319) with exponential smoothing.
    """
    return float(_bleu_scorer().sentence_score(answer, [reference]).score) / 100


@functools.cache
def _bleu_scorer() -> Any:
    from sacrebleu.metrics import BLEU

    logging.getLogger("sacrebleu").setLevel(logging.ERROR)  # it advises on every short sentence
    return BLEU()


def _rouge(kind: str, answer: str, reference: str) -> float:
    """F1 of ROUGE; ROUGE-Lsum takes lines for sentences.

    Source: Lin 2004, https://aclanthology.org/W04-1013, as rouge-score computes it.
    """
    return float(_rouge_scorer(kind).score(reference, answer)[kind].fmeasure)


@functools.cache
def _rouge_scorer(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind])


_TEXT_METRICS: Mapping[str, Callable[[str, str], float]] = {
    "exact_match": exact_match,
    "accuracy": accuracy,
    "bleu": bleu,
    "json_valid": structured.json_valid,
    "json_match": structured.json_match,
    "tool_call_valid": structured.tool_call_valid,
    "tool_name_match": structured.tool_name_match,
    "tool_parameter_key_match": structured.tool_parameter_key_match,
    "tool_parameter_kv_match": structured.tool_parameter_kv_match,
}
