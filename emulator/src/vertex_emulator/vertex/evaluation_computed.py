"""Metrics that are computed from a prediction and a reference, without a judge.

Definitions: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/evaluation. BLEU
and ROUGE come from the libraries `sacrebleu` and `rouge-score`.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from vertex_emulator.errors import ApiError
from vertex_emulator.imports import one_import_at_a_time
from vertex_emulator.models.text import sentences

Document = dict[str, Any]
Scorer = Callable[[Document], float]

_ROUGE_TYPE = re.compile(r"rouge([1-9]|L|Lsum)")
_MOST_INSTANCES = 10_000


def scorer(name: str, spec: Document) -> Scorer:
    """The function that scores one instance with the computed metric `name`.

    Args:
        name: Such as `bleu`, `toolNameMatch` or `trajectoryRecall`: the input field of the request
            without `Input`.
        spec: The metric's `metricSpec`.

    Raises:
        ApiError: 400 for a spec that the metric does not take.
    """
    return _SCORERS[name](spec)


def score_instances(name: str, spec: Document, instances: list[Document]) -> list[Document]:
    """One `{"score": ...}` per instance, in order.

    Raises:
        ApiError: 400 for no or too many instances, or for an instance that cannot be read.
    """
    if not instances:
        raise ApiError(400, f"{name}_input.instances must have at least one instance.")
    if len(instances) > _MOST_INSTANCES:
        raise ApiError(400, f"At most {_MOST_INSTANCES} instances a request are allowed.")
    score = scorer(name, spec)
    return [{"score": score(instance)} for instance in instances]


def _texts(instance: Document) -> tuple[str, str]:
    return instance.get("prediction", ""), instance.get("reference", "")


def _exact_match(_: Document) -> Scorer:
    def score(instance: Document) -> float:
        prediction, reference = _texts(instance)
        return float(prediction == reference)

    return score


def _bleu(spec: Document) -> Scorer:
    from sacrebleu.metrics import BLEU

    logging.getLogger("sacrebleu").setLevel(logging.ERROR)  # it advises on every sentence
    metric = BLEU(effective_order=bool(spec.get("useEffectiveOrder")))

    def score(instance: Document) -> float:
        prediction, reference = _texts(instance)
        return min(1.0, float(metric.sentence_score(prediction, [reference]).score) / 100)

    return score


def _rouge(spec: Document) -> Scorer:
    with one_import_at_a_time:
        from rouge_score.rouge_scorer import RougeScorer

    kind = spec.get("rougeType") or "rougeLsum"
    if not isinstance(kind, str) or not _ROUGE_TYPE.fullmatch(kind):
        raise ApiError(
            400, f"Invalid rouge_type {kind!r}: it must be rouge1 to rouge9, rougeL or rougeLsum."
        )
    metric = RougeScorer([kind], use_stemmer=bool(spec.get("useStemmer")))
    split = bool(spec.get("splitSummaries"))

    def score(instance: Document) -> float:
        prediction, reference = _texts(instance)
        if split:
            prediction = "\n".join(sentences(prediction))
            reference = "\n".join(sentences(reference))
        return float(metric.score(reference, prediction)[kind].fmeasure)

    return score


def _tool_call_valid(_: Document) -> Scorer:
    return lambda instance: float(_tool_calls(_texts(instance)[0]) is not None)


def _tool_name_match(_: Document) -> Scorer:
    def score(instance: Document) -> float:
        prediction, reference = map(_tool_calls, _texts(instance))
        if not prediction or not reference:
            return float(prediction is not None and prediction == reference)
        return float([call["name"] for call in prediction] == [call["name"] for call in reference])

    return score


def _tool_parameter_key_match(_: Document) -> Scorer:
    return lambda instance: _parameter_match(instance, lambda *_: True)


def _tool_parameter_kv_match(spec: Document) -> Scorer:
    strict = bool(spec.get("useStrictStringMatch"))

    def same(left: Any, right: Any) -> bool:
        if not strict and isinstance(left, str) and isinstance(right, str):
            return " ".join(left.lower().split()) == " ".join(right.lower().split())
        return bool(left == right)

    return lambda instance: _parameter_match(instance, same)


def _parameter_match(instance: Document, same: Callable[[Any, Any], bool]) -> float:
    """Share of the reference's parameters that the calls of the prediction have too.

    Calls are paired in order; a call without parameters that is paired counts in full.
    """
    prediction, reference = map(_tool_calls, _texts(instance))
    if not prediction or not reference:
        return float(prediction is not None and prediction == reference)
    shares = []
    for place, wanted in enumerate(reference):
        found = prediction[place]["arguments"] if place < len(prediction) else None
        if found is None:
            shares.append(0.0)
        elif not wanted["arguments"]:
            shares.append(float(not found))
        else:
            matched = sum(
                name in found and same(found[name], value)
                for name, value in wanted["arguments"].items()
            )
            shares.append(matched / len(wanted["arguments"]))
    return sum(shares) / len(shares)


def _tool_calls(text: str) -> list[Document] | None:
    """The tool calls of a serialized answer; None where it is not a valid one."""
    try:
        answer = json.loads(text)
        calls = answer["tool_calls"]
        calls = json.loads(calls) if isinstance(calls, str) else calls
        return [
            {"name": str(call["name"]), "arguments": dict(call.get("arguments") or {})}
            for call in calls
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


Call = tuple[str, str]


def _trajectories(instance: Document) -> tuple[list[Call], list[Call]]:
    return (
        _trajectory(instance.get("predictedTrajectory", {})),
        _trajectory(instance.get("referenceTrajectory", {})),
    )


def _trajectory(trajectory: Document) -> list[Call]:
    calls = []
    for call in trajectory.get("toolCalls", []):
        text = call.get("toolInput", "")
        try:
            text = json.dumps(json.loads(text), sort_keys=True)
        except (ValueError, RecursionError):
            text = text.strip()
        calls.append((call.get("toolName", ""), text))
    return calls


def _trajectory_exact_match(_: Document) -> Scorer:
    def score(instance: Document) -> float:
        predicted, reference = _trajectories(instance)
        return float(predicted == reference)

    return score


def _trajectory_in_order_match(_: Document) -> Scorer:
    def score(instance: Document) -> float:
        predicted, reference = _trajectories(instance)
        left = iter(predicted)
        return float(all(call in left for call in reference))

    return score


def _trajectory_any_order_match(_: Document) -> Scorer:
    def score(instance: Document) -> float:
        predicted, reference = _trajectories(instance)
        return float(not Counter(reference) - Counter(predicted))

    return score


def _trajectory_precision(_: Document) -> Scorer:
    def score(instance: Document) -> float:
        predicted, reference = _trajectories(instance)
        common = (Counter(predicted) & Counter(reference)).total()
        return common / len(predicted) if predicted else 0.0

    return score


def _trajectory_recall(_: Document) -> Scorer:
    def score(instance: Document) -> float:
        predicted, reference = _trajectories(instance)
        common = (Counter(predicted) & Counter(reference)).total()
        return common / len(reference) if reference else 0.0

    return score


def _trajectory_single_tool_use(spec: Document) -> Scorer:
    tool = spec.get("toolName")
    if not tool:
        raise ApiError(400, "metric_spec.tool_name is required for trajectory_single_tool_use.")
    return lambda instance: float(
        any(name == tool for name, _ in _trajectory(instance.get("predictedTrajectory", {})))
    )


_SCORERS: dict[str, Callable[[Document], Scorer]] = {
    "exactMatch": _exact_match,
    "bleu": _bleu,
    "rouge": _rouge,
    "toolCallValid": _tool_call_valid,
    "toolNameMatch": _tool_name_match,
    "toolParameterKeyMatch": _tool_parameter_key_match,
    "toolParameterKvMatch": _tool_parameter_kv_match,
    "trajectoryExactMatch": _trajectory_exact_match,
    "trajectoryInOrderMatch": _trajectory_in_order_match,
    "trajectoryAnyOrderMatch": _trajectory_any_order_match,
    "trajectoryPrecision": _trajectory_precision,
    "trajectoryRecall": _trajectory_recall,
    "trajectorySingleToolUse": _trajectory_single_tool_use,
}
COMPUTED = frozenset(_SCORERS)
