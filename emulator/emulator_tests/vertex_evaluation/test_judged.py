"""Judged metrics: the judge is emulated, its protocol is Google's.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/evaluation
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1beta1 as api

from vertex_emulator.testing import RunningEmulator

TEMPLATE = (
    "# Instruction\nYou are an expert evaluator. Rate the response.\n## Rating Rubric\n"
    "5: very good\n3: fair\n1: bad\n### Prompt\n{prompt}\n## AI-generated Response\n{response}\n"
)
PROMPT = "Summarize: the town library opens on Sundays because readers asked for it."
GOOD, BAD = "The library opens on Sundays.", "Bananas are yellow."


@pytest.fixture
def rate(evaluate: Callable[..., api.EvaluateInstancesResponse]) -> Callable[..., Any]:
    def run(instance: Any, template: Any = TEMPLATE, autorater: Any = None, **spec: Any) -> Any:
        metric_input = api.PointwiseMetricInput(
            metric_spec=api.PointwiseMetricSpec(metric_prompt_template=template, **spec),
            instance=api.PointwiseMetricInstance(json_instance=json.dumps(instance)),
        )
        extra = {"autorater_config": api.AutoraterConfig(**autorater)} if autorater else {}
        return evaluate(pointwise_metric_input=metric_input, **extra).pointwise_metric_result

    return run


@pytest.fixture
def compare(evaluate: Callable[..., api.EvaluateInstancesResponse]) -> Callable[..., Any]:
    def run(
        candidate: Any,
        baseline: Any,
        template: str = "A: {base}\nB: {new}\n{prompt}",
        autorater: Any = None,
    ) -> Any:
        metric_input = api.PairwiseMetricInput(
            metric_spec=api.PairwiseMetricSpec(
                metric_prompt_template=template,
                candidate_response_field_name="new",
                baseline_response_field_name="base",
            ),
            instance=api.PairwiseMetricInstance(
                json_instance=json.dumps({"prompt": PROMPT, "new": candidate, "base": baseline})
            ),
        )
        extra = {"autorater_config": api.AutoraterConfig(**autorater)} if autorater else {}
        return evaluate(pairwise_metric_input=metric_input, **extra).pairwise_metric_result

    return run


def test_a_rating_is_on_the_scale_and_tells_good_from_bad(rate: Callable[..., Any]) -> None:
    good = rate({"prompt": PROMPT, "response": GOOD})
    bad = rate({"prompt": PROMPT, "response": BAD})
    assert 1 <= bad.score < good.score <= 5
    for result in (good, bad):
        assert result.explanation.startswith("Emulated judge")


def test_the_scale_is_that_of_the_rubric(rate: Callable[..., Any]) -> None:
    template = TEMPLATE.replace("5: very good\n3: fair\n1: bad", "100: right\n0: wrong")
    instance = {"prompt": PROMPT, "response": "A", "reference": "A"}
    assert rate(instance, template).score == pytest.approx(100, abs=5)
    assert rate({**instance, "response": "B"}, template).score == 0


def test_a_reference_decides_when_there_is_one(rate: Callable[..., Any]) -> None:
    instance = {"prompt": PROMPT, "response": BAD, "reference": BAD}
    assert rate(instance).score == 5


def test_the_same_request_gets_the_same_rating(rate: Callable[..., Any]) -> None:
    results = [rate({"prompt": PROMPT, "response": GOOD}) for _ in range(3)]
    assert len({(result.score, result.explanation) for result in results}) == 1


def test_a_variable_without_a_value_is_refused(rate: Callable[..., Any]) -> None:
    with pytest.raises(exceptions.BadRequest, match="'response'"):
        rate({"prompt": PROMPT})


def test_an_instance_that_is_not_json_is_refused(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
) -> None:
    with pytest.raises(exceptions.BadRequest, match="not JSON"):
        evaluate(
            pointwise_metric_input=api.PointwiseMetricInput(
                metric_spec=api.PointwiseMetricSpec(metric_prompt_template=TEMPLATE),
                instance=api.PointwiseMetricInstance(json_instance="{"),
            )
        )


def test_content_maps_are_read_too(evaluate: Callable[..., api.EvaluateInstancesResponse]) -> None:
    def content(text: Any) -> Any:
        return api.ContentMap.Contents(
            contents=[api.Content(role="user", parts=[api.Part(text=text)])]
        )

    result = evaluate(
        pointwise_metric_input=api.PointwiseMetricInput(
            metric_spec=api.PointwiseMetricSpec(metric_prompt_template=TEMPLATE),
            instance=api.PointwiseMetricInstance(
                content_map_instance=api.ContentMap(
                    values={"prompt": content(PROMPT), "response": content(GOOD)}
                )
            ),
        )
    ).pointwise_metric_result
    assert result.score > 1


def test_raw_output_on_request(rate: Callable[..., Any]) -> None:
    config = api.CustomOutputFormatConfig(return_raw_output=True)
    result = rate(
        {"prompt": PROMPT, "response": GOOD},
        autorater={"sampling_count": 2},
        custom_output_format_config=config,
    )
    raw = result.custom_output.raw_outputs.raw_output
    assert len(raw) == 2
    assert json.loads(raw[0])["score"] >= 1


@pytest.mark.parametrize("count", [0, 33])
def test_the_sampling_count_is_from_1_to_32(rate: Callable[..., Any], count: int) -> None:
    with pytest.raises(exceptions.BadRequest, match="sampling_count"):
        rate({"prompt": PROMPT, "response": GOOD}, autorater={"sampling_count": count})


def test_the_judge_model_is_named_and_must_exist(rate: Callable[..., Any], location: str) -> None:
    instance = {"prompt": PROMPT, "response": GOOD}
    models = f"{location.rpartition('/')[0]}/global/publishers/google/models"
    autorater = {"autorater_model": f"{models}/gemini-3.8-flash"}
    assert "gemini-3.8-flash" in rate(instance, autorater=autorater).explanation
    with pytest.raises(exceptions.NotFound):
        rate(instance, autorater={"autorater_model": f"{models}/nope"})
    elsewhere = f"{location}/publishers/google/models/gemini-3.8-flash"
    with pytest.raises(exceptions.NotFound, match="It is served in: global, us, eu"):
        rate(instance, autorater={"autorater_model": elsewhere})


def test_judging_is_billed(
    emulator: RunningEmulator, rate: Callable[..., Any], location: str
) -> None:
    def billed() -> Any:
        return emulator.stats()["tokens"].get("gemini-3.1-flash-lite", {}).get("input", 0)

    before = billed()
    model = f"{location.rpartition('/')[0]}/us/publishers/google/models/gemini-3.1-flash-lite"
    autorater = {"autorater_model": model, "sampling_count": 1}
    rate({"prompt": PROMPT, "response": GOOD}, autorater=autorater)
    once = billed() - before
    rate({"prompt": PROMPT, "response": GOOD}, autorater={**autorater, "sampling_count": 3})
    assert once > 0
    assert billed() - before == 4 * once


def test_the_better_answer_wins_a_comparison(compare: Callable[..., Any]) -> None:
    assert compare(GOOD, BAD).pairwise_choice == api.PairwiseChoice.CANDIDATE
    assert compare(BAD, GOOD).pairwise_choice == api.PairwiseChoice.BASELINE
    tie = compare(GOOD, GOOD)
    assert tie.pairwise_choice == api.PairwiseChoice.TIE
    assert tie.explanation.startswith("Emulated judge")


def metric_result(evaluate: Any, metric: Any, **instance: Any) -> Any:
    data = {name: api.EvaluationInstance.InstanceData(text=text) for name, text in instance.items()}
    response = evaluate(metrics=[metric], instance=api.EvaluationInstance(**data))
    return response.metric_results[0]


def predefined(name: Any) -> Any:
    return api.Metric(predefined_metric_spec=api.PredefinedMetricSpec(metric_spec_name=name))


@pytest.mark.parametrize(
    "name",
    [
        "general_quality_v1",
        "instruction_following_v1",
        "text_quality_v1",
        "grounding_v1",
        "hallucination_v1",
        "final_response_match_v2",
        "final_response_reference_free_v1",
    ],
)
def test_predefined_metrics_tell_good_from_bad(
    evaluate: Callable[..., api.EvaluateInstancesResponse], name: str
) -> None:
    def score(response: Any) -> Any:
        result = metric_result(
            evaluate, predefined(name), prompt=PROMPT, response=response, reference=GOOD
        )
        assert "Emulated judge" in result.explanation
        return result.score

    assert 0 <= score(BAD) < score(GOOD) <= 1


def test_rubrics_come_with_their_verdicts(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
) -> None:
    result = metric_result(evaluate, predefined("general_quality_v1"), prompt=PROMPT, response=GOOD)
    verdicts = [verdict.verdict for verdict in result.rubric_verdicts]
    assert result.score == pytest.approx(sum(verdicts) / len(verdicts))
    assert all(v.evaluated_rubric.content.property.description for v in result.rubric_verdicts)


def test_rubrics_of_the_caller_are_used(
    evaluate: Callable[..., api.EvaluateInstancesResponse],
) -> None:
    rubrics = [
        api.Rubric(
            rubric_id=str(n),
            content=api.Rubric.Content(property=api.Rubric.Content.Property(description=text)),
        )
        for n, text in enumerate(["The library is mentioned", "It speaks of elephants"])
    ]
    instance = api.EvaluationInstance(
        prompt=api.EvaluationInstance.InstanceData(text=PROMPT),
        response=api.EvaluationInstance.InstanceData(text="The library is mentioned."),
        rubric_groups={"mine": api.RubricGroup(rubrics=rubrics)},
    )
    spec = api.LLMBasedMetricSpec(metric_prompt_template="{prompt}", rubric_group_key="mine")
    response = evaluate(metrics=[api.Metric(llm_based_metric_spec=spec)], instance=instance)
    result = response.metric_results[0]
    assert [verdict.verdict for verdict in result.rubric_verdicts] == [True, False]
    assert result.score == 0.5
    spec.rubric_group_key = "other"
    with pytest.raises(exceptions.BadRequest, match="'other'"):
        evaluate(metrics=[api.Metric(llm_based_metric_spec=spec)], instance=instance)


def test_rubrics_are_generated_for_a_prompt(
    service: api.EvaluationServiceClient, location: str
) -> None:
    response = service.generate_instance_rubrics(
        api.GenerateInstanceRubricsRequest(
            location=location,
            contents=[api.Content(role="user", parts=[api.Part(text=PROMPT)])],
        )
    )
    descriptions = [rubric.content.property.description for rubric in response.generated_rubrics]
    assert any("library" in description for description in descriptions)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (api.Metric(exact_match_spec=api.ExactMatchSpec()), 0),
        (api.Metric(rouge_spec=api.RougeSpec(rouge_type="rouge1")), 2 * 2 / 5),
        (
            api.Metric(
                computation_based_metric_spec=api.ComputationBasedMetricSpec(
                    type_="ROUGE", parameters={"rouge_type": "rougeL"}
                )
            ),
            2 * 2 / 5,
        ),
    ],
)
def test_computed_metrics_in_the_unified_form(
    evaluate: Callable[..., api.EvaluateInstancesResponse], metric: Any, expected: Any
) -> None:
    result = metric_result(evaluate, metric, response="two words", reference="two words more")
    assert result.score == pytest.approx(expected)


@pytest.mark.parametrize("name", ["gecko_text2image_v1", "tool_use_quality_v1", "nonsense"])
def test_predefined_metrics_that_are_not_served_are_refused(
    evaluate: Callable[..., api.EvaluateInstancesResponse], name: str
) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match=name):
        metric_result(evaluate, predefined(name), prompt=PROMPT, response=GOOD)


@pytest.fixture
def faults(emulator: RunningEmulator) -> Iterator[Any]:
    def set_faults(**fault: Any) -> None:
        plan = {"seed": 3, "faults": [{"kind": "judge", **fault}]}
        emulator.ask("POST", "faults", plan)

    yield set_faults
    emulator.clear_faults()


def test_a_judge_can_be_made_to_fail(rate: Callable[..., Any], faults: Any) -> None:
    faults(error_probability=0.5)
    messages = []
    for number in range(30):
        try:
            rate({"prompt": f"{number} {PROMPT}", "response": GOOD})
        except exceptions.BadRequest as error:
            messages.append(error.message)
    assert 5 < len(messages) < 25
    assert all("emulated judge" in message for message in messages)


def test_a_judge_can_be_noisy(rate: Callable[..., Any], faults: Any) -> None:
    calm = rate({"prompt": PROMPT, "response": GOOD}).score
    faults(noise=1.0)
    scores = {rate({"prompt": PROMPT, "response": GOOD + "!" * n}).score for n in range(6)}
    assert len(scores) > 3
    assert all(1 <= score <= 5 for score in scores)
    assert scores != {calm}


def test_a_judge_can_be_biased_by_position_unless_answers_are_flipped(
    compare: Callable[..., Any], faults: Any
) -> None:
    faults(position_bias=1.0)
    flipped = compare(GOOD, BAD, autorater={"flip_enabled": True})
    assert flipped.pairwise_choice == api.PairwiseChoice.CANDIDATE
    kept = compare(GOOD, BAD, autorater={"flip_enabled": False})
    assert kept.pairwise_choice == api.PairwiseChoice.BASELINE
