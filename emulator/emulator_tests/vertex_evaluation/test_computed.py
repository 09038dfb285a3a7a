"""Computed metrics over the generated client.

Definitions: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/evaluation
Expected values are worked out here by hand or by the definition, not by the emulator's libraries.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1beta1 as api

PAIR = (
    "The quick brown dog jumps on the log.",
    "The quick brown fox jumps over the lazy dog",
)


def pairs(kind: Any, *texts: Any) -> Any:
    return [kind(prediction=prediction, reference=reference) for prediction, reference in texts]


def exact_match(evaluate: Any, *texts: Any) -> Any:
    metric_input = api.ExactMatchInput(
        metric_spec=api.ExactMatchSpec(), instances=pairs(api.ExactMatchInstance, *texts)
    )
    results = evaluate(exact_match_input=metric_input).exact_match_results
    return [value.score for value in results.exact_match_metric_values]


def bleu(evaluate: Any, *texts: Any, **spec: Any) -> Any:
    metric_input = api.BleuInput(
        metric_spec=api.BleuSpec(**spec), instances=pairs(api.BleuInstance, *texts)
    )
    results = evaluate(bleu_input=metric_input).bleu_results
    return [value.score for value in results.bleu_metric_values]


def rouge(evaluate: Any, *texts: Any, **spec: Any) -> Any:
    metric_input = api.RougeInput(
        metric_spec=api.RougeSpec(**spec), instances=pairs(api.RougeInstance, *texts)
    )
    results = evaluate(rouge_input=metric_input).rouge_results
    return [value.score for value in results.rouge_metric_values]


def test_exact_match_is_one_for_equal_texts_only(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
) -> None:
    texts = [("json", "json"), ("json", "JSON"), ("json ", "json"), ("", "")]
    assert exact_match(evaluate, *texts) == [1, 0, 0, 1]


def test_many_instances_in_one_request_come_back_in_order(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
) -> None:
    texts = [(str(n % 3), "1") for n in range(500)]
    assert exact_match(evaluate, *texts) == [float(n % 3 == 1) for n in range(500)]


def test_bleu_of_equal_and_of_unrelated_texts(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
) -> None:
    equal, unrelated = bleu(
        evaluate,
        ("the cat sat on the mat", "the cat sat on the mat"),
        ("aa bb cc dd ee ff", "the cat sat on the mat"),
    )
    assert equal == pytest.approx(1)
    assert unrelated == 0


def bleu_by_definition(prediction: Any, reference: Any) -> Any:
    """Papineni et al. 2002, for one sentence in which every n-gram order has a match."""
    found, wanted = prediction.split(), reference.split()
    logs = 0.0
    for size in range(1, 5):

        def grams(tokens: Any, size: Any = size) -> Any:
            return Counter(tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1))

        common = (grams(found) & grams(wanted)).total()
        logs += math.log(common / grams(found).total()) / 4
    brevity = min(1.0, math.exp(1 - len(wanted) / len(found)))
    return brevity * math.exp(logs)


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        ("the cat sat on the red mat", "the cat sat on the mat"),
        ("the cat sat on the", "the cat sat on the mat"),
        ("a dog and the cat sat on the mat today", "the cat sat on the mat"),
    ],
)
def test_bleu_follows_its_definition(
    evaluate: Callable[..., api.EvaluateInstancesResponse], prediction: str, reference: str
) -> None:
    (score,) = bleu(evaluate, (prediction, reference))
    assert score == pytest.approx(bleu_by_definition(prediction, reference), abs=1e-6)


def test_bleu_with_effective_order_scores_short_texts(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
) -> None:
    text = ("two words", "two words")
    assert bleu(evaluate, text)[0] < 1
    assert bleu(evaluate, text, use_effective_order=True)[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # 6 of 8 predicted and of 9 reference words match (the, quick, brown, dog, jumps, the).
        ("rouge1", 2 * 6 / (8 + 9)),
        # 2 of 7 and of 8 pairs match (the quick, quick brown).
        ("rouge2", 2 * 2 / (7 + 8)),
        # The longest common subsequence is: the quick brown jumps the.
        ("rougeL", 2 * 5 / (8 + 9)),
        ("rougeLsum", 2 * 5 / (8 + 9)),
    ],
)
def test_rouge_by_hand(
    evaluate: Callable[..., api.EvaluateInstancesResponse], kind: str, expected: Any
) -> None:
    assert rouge(evaluate, PAIR, rouge_type=kind) == [pytest.approx(expected, abs=1e-6)]


def test_rouge_stems_on_request(evaluate: Callable[..., api.EvaluateInstancesResponse]) -> None:
    text = ("he was running", "he runs")
    plain = rouge(evaluate, text, rouge_type="rouge1")[0]
    stemmed = rouge(evaluate, text, rouge_type="rouge1", use_stemmer=True)[0]
    assert plain == pytest.approx(2 / 5)
    assert stemmed == pytest.approx(4 / 5)


def test_rouge_lsum_splits_summaries_on_request(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
) -> None:
    """Whole sentences in another order: no loss once they are compared sentence by sentence."""
    text = ("It rained all day. The cat slept.", "The cat slept. It rained all day.")
    whole = rouge(evaluate, text, rouge_type="rougeLsum")[0]
    split = rouge(evaluate, text, rouge_type="rougeLsum", split_summaries=True)[0]
    assert whole < split == pytest.approx(1)


@pytest.mark.parametrize("kind", ["rouge0", "rougeX", "bleu"])
def test_an_unknown_rouge_type_is_refused(
    evaluate: Callable[..., api.EvaluateInstancesResponse], kind: str
) -> None:
    with pytest.raises(exceptions.BadRequest, match=kind):
        rouge(evaluate, PAIR, rouge_type=kind)


def test_no_instances_are_refused(evaluate: Callable[..., api.EvaluateInstancesResponse]) -> None:
    with pytest.raises(exceptions.BadRequest):
        exact_match(evaluate)


def call(name: Any, arguments: Any, text: str = "") -> Any:
    """A serialized answer, as the documentation's tool-call examples have it."""
    return json.dumps({"content": text, "tool_calls": [{"name": name, "arguments": arguments}]})


BOOKING = {
    "movie": "Mission Impossible Dead Reckoning Part 1",
    "theater": "Regal Edwards 14",
    "location": "Mountain View CA",
    "showtime": "7:30",
    "date": "2024-03-30",
    "num_tix": "2",
}
REFERENCE = call("book_tickets", BOOKING)


@pytest.mark.parametrize(
    ("prediction", "valid", "name", "keys", "values"),
    [
        (REFERENCE, 1, 1, 1, 1),
        (call("book_tickets", {**BOOKING, "num_tix": "3"}), 1, 1, 1, 5 / 6),
        (call("book_tickets", {**BOOKING, "location": "mountain  view ca"}), 1, 1, 1, 1),
        (call("book_tickets", {"movie": BOOKING["movie"]}), 1, 1, 1 / 6, 1 / 6),
        (call("find_tickets", BOOKING), 1, 0, 1, 1),
        (call("book_tickets", {}), 1, 1, 0, 0),
        ("I would book two tickets.", 0, 0, 0, 0),
        (json.dumps({"content": "", "tool_calls": []}), 1, 0, 0, 0),
    ],
)
def test_tool_call_metrics(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
    prediction: Any,
    valid: int,
    name: int,
    keys: Any,
    values: Any,
) -> None:
    text = {"prediction": prediction, "reference": REFERENCE}
    result = evaluate(
        tool_call_valid_input=api.ToolCallValidInput(
            metric_spec=api.ToolCallValidSpec(), instances=[api.ToolCallValidInstance(**text)]
        )
    ).tool_call_valid_results
    assert result.tool_call_valid_metric_values[0].score == valid
    result = evaluate(
        tool_name_match_input=api.ToolNameMatchInput(
            metric_spec=api.ToolNameMatchSpec(), instances=[api.ToolNameMatchInstance(**text)]
        )
    ).tool_name_match_results
    assert result.tool_name_match_metric_values[0].score == name
    result = evaluate(
        tool_parameter_key_match_input=api.ToolParameterKeyMatchInput(
            metric_spec=api.ToolParameterKeyMatchSpec(),
            instances=[api.ToolParameterKeyMatchInstance(**text)],
        )
    ).tool_parameter_key_match_results
    assert result.tool_parameter_key_match_metric_values[0].score == pytest.approx(keys)
    result = evaluate(
        tool_parameter_kv_match_input=api.ToolParameterKVMatchInput(
            metric_spec=api.ToolParameterKVMatchSpec(),
            instances=[api.ToolParameterKVMatchInstance(**text)],
        )
    ).tool_parameter_kv_match_results
    assert result.tool_parameter_kv_match_metric_values[0].score == pytest.approx(values)


def test_strict_string_match_of_parameters(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
) -> None:
    prediction = call("book_tickets", {**BOOKING, "location": "mountain view ca"})
    result = evaluate(
        tool_parameter_kv_match_input=api.ToolParameterKVMatchInput(
            metric_spec=api.ToolParameterKVMatchSpec(use_strict_string_match=True),
            instances=[
                api.ToolParameterKVMatchInstance(prediction=prediction, reference=REFERENCE)
            ],
        )
    ).tool_parameter_kv_match_results
    score = result.tool_parameter_kv_match_metric_values[0].score
    assert score == pytest.approx(5 / 6)


def trajectory(names: Any) -> Any:
    calls = [api.ToolCall(tool_name=name, tool_input=json.dumps({"q": name})) for name in names]
    return api.Trajectory(tool_calls=calls)


@pytest.mark.parametrize(
    ("predicted", "exact", "in_order", "any_order", "precision", "recall"),
    [
        ("ab", 1, 1, 1, 1, 1),
        ("axb", 0, 1, 1, 2 / 3, 1),
        ("ba", 0, 0, 1, 1, 1),
        ("a", 0, 0, 0, 1, 1 / 2),
        ("xy", 0, 0, 0, 0, 0),
    ],
)
def test_trajectories(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
    predicted: str,
    exact: int,
    in_order: int,
    any_order: int,
    precision: Any,
    recall: Any,
) -> None:
    """https://cloud.google.com/vertex-ai/generative-ai/docs/models/evaluation-agents"""
    expected = {
        "trajectory_exact_match": ("TrajectoryExactMatch", exact),
        "trajectory_in_order_match": ("TrajectoryInOrderMatch", in_order),
        "trajectory_any_order_match": ("TrajectoryAnyOrderMatch", any_order),
        "trajectory_precision": ("TrajectoryPrecision", precision),
        "trajectory_recall": ("TrajectoryRecall", recall),
    }
    for field, (message, score) in expected.items():
        instance = getattr(api, f"{message}Instance")(
            predicted_trajectory=trajectory(predicted), reference_trajectory=trajectory("ab")
        )
        metric_input = getattr(api, f"{message}Input")(
            metric_spec=getattr(api, f"{message}Spec")(), instances=[instance]
        )
        response = evaluate(**{f"{field}_input": metric_input})
        values = getattr(getattr(response, f"{field}_results"), f"{field}_metric_values")
        assert values[0].score == pytest.approx(score), field


def test_a_single_tool_of_a_trajectory(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
) -> None:
    for tool, score in (("a", 1), ("z", 0)):
        response = evaluate(
            trajectory_single_tool_use_input=api.TrajectorySingleToolUseInput(
                metric_spec=api.TrajectorySingleToolUseSpec(tool_name=tool),
                instances=[
                    api.TrajectorySingleToolUseInstance(predicted_trajectory=trajectory("ab"))
                ],
            )
        )
        values = response.trajectory_single_tool_use_results
        assert values.trajectory_single_tool_use_metric_values[0].score == score


def test_metrics_that_are_not_served_are_refused_by_name(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="cometInput"):
        evaluate(
            comet_input=api.CometInput(
                metric_spec=api.CometSpec(),
                instance=api.CometInstance(prediction="a", reference="b", source="c"),
            )
        )


def test_a_request_without_a_metric_is_refused(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
) -> None:
    with pytest.raises(exceptions.BadRequest, match="needs one metric input"):
        evaluate()
