"""What is assumed of the evaluation service: computed metrics, and a judge named by us."""

from __future__ import annotations

import json
from typing import Any

from genaiops_dagster.evaluation.judging.judge import prompt_template, read_rating
from genaiops_dagster.google_cloud.vertex_ai import message_types
from genaiops_dagster.probe.assumption import Assumption
from genaiops_dagster.probe.bench import Bench
from genaiops_dagster.probe.outcome import expect
from genaiops_dagster.use_case.evaluation import JudgedMetric

_DOCS = "https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/evaluation"
_SCALE = (1, 5)


def _send(bench: Bench, **fields: Any) -> Any:
    request = message_types().EvaluateInstancesRequest(location=bench.models.parent, **fields)
    return bench.models.evaluation.evaluate_instances(request, retry=None, timeout=60)


def _exact_match(bench: Bench) -> str:
    types = message_types()
    pairs = [("a", "a"), ("a", "b"), ("b", "b")]
    given = types.ExactMatchInput(
        metric_spec=types.ExactMatchSpec(),
        instances=[types.ExactMatchInstance(prediction=p, reference=r) for p, r in pairs],
    )
    response = _send(bench, exact_match_input=given)
    scores = [value.score for value in response.exact_match_results.exact_match_metric_values]
    expect(scores == [1.0, 0.0, 1.0], f"scores: {scores}")
    return f"scores {scores}, in order"


def _rouge(bench: Bench) -> str:
    types = message_types()
    given = types.RougeInput(
        metric_spec=types.RougeSpec(rouge_type="rougeL"),
        instances=[types.RougeInstance(prediction="a fox runs", reference="a fox runs")],
    )
    scores = [v.score for v in _send(bench, rouge_input=given).rouge_results.rouge_metric_values]
    expect(scores and abs(scores[0] - 1) < 1e-6, f"scores: {scores}")
    return "rougeL of equal texts is 1"


def _judge(bench: Bench) -> str:
    types = message_types()
    model = bench.cheapest().name
    metric = JudgedMetric(criteria="The response names the capital of France.", scale=_SCALE)
    fields = {"prompt": "Name the capital of France.", "response": "Paris", "reference": "Paris"}
    response = _send(
        bench,
        autorater_config=types.AutoraterConfig(
            autorater_model=bench.models.served_address(bench.models.model_address(model)),
            sampling_count=1,
            generation_config=types.GenerationConfig(seed=0),
        ),
        pointwise_metric_input=types.PointwiseMetricInput(
            metric_spec=types.PointwiseMetricSpec(metric_prompt_template=prompt_template(metric)),
            instance=types.PointwiseMetricInstance(json_instance=json.dumps(fields)),
        ),
    )
    rating = read_rating(response.pointwise_metric_result, _SCALE)
    return f"{model} gives {rating.score:g} of {_SCALE[1]}"


ASSUMPTIONS = (
    Assumption(
        "evaluation.exact-match",
        "Evaluation",
        "Many pairs are scored in one request, and scores come in the order of the pairs",
        _DOCS,
        "Scores of the service belong to other rows",
        _exact_match,
    ),
    Assumption(
        "evaluation.rouge",
        "Evaluation",
        "ROUGE is computed by the type that is named, with 1 for equal texts",
        _DOCS,
        "Scores of the service are not those that are computed here",
        _rouge,
    ),
    Assumption(
        "evaluation.judge",
        "Evaluation",
        "A judge named by its resource name rates by our template, on our scale, from the location "
        "of everything else",
        _DOCS,
        "No answer is judged, and gates with judged metrics are never passed",
        _judge,
    ),
)  # fmt: skip
