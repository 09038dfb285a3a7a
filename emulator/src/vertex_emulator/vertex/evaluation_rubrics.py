"""Metrics in the unified form: one of `metrics` on one `instance`, with rubrics and verdicts.

Predefined metrics are named as in
https://cloud.google.com/vertex-ai/generative-ai/docs/models/rubric-metric-details.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.models import judge
from vertex_emulator.models.text import content_words, coverage, overlap_f1, words
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.evaluation_computed import scorer
from vertex_emulator.vertex.evaluation_judged import (
    Autorater,
    bill,
    content_text,
    judge_fault,
    judge_rating,
    read_autorater,
)

Document = dict[str, Any]

_COMPUTED = {"exactMatchSpec": "exactMatch", "bleuSpec": "bleu", "rougeSpec": "rouge"}
_COMPUTED_TYPES = {"EXACT_MATCH": "exactMatch", "BLEU": "bleu", "ROUGE": "rouge"}
_PARAMETERS = {
    "rouge_type": "rougeType",
    "use_stemmer": "useStemmer",
    "split_summaries": "splitSummaries",
    "use_effective_order": "useEffectiveOrder",
}
_VERSIONED = re.compile(r"(?P<family>[a-z0-9_]+?)_v\d+")
_BY_RUBRICS = {
    "general_quality",
    "text_quality",
    "instruction_following",
    "multi_turn_general_quality",
    "multi_turn_text_quality",
}
_BY_MEASURE = {
    "grounding",
    "hallucination",
    "safety",
    "final_response_match",
    "final_response_reference_free",
}
_RUBRICS = 4
_MATCH = 0.5


def evaluate_metric(
    context: VertexContext, metric: Document, instance: Document, autorater_config: Document
) -> Document:
    """One of `metricResults`: a score, and an explanation and verdicts where a judge gave them.

    Args:
        context: For the judge model, its faults and its bill.
        metric: One of the request's `metrics`.
        instance: The request's `instance`.
        autorater_config: The request's `autoraterConfig`.

    Raises:
        ApiError: 400 for a metric or instance that cannot be read, 501 for a metric that the
            emulator does not have.
    """
    fields = instance_fields(instance)
    for spec_name, name in _COMPUTED.items():
        if spec_name in metric:
            return _computed(name, metric[spec_name], fields)
    if "computationBasedMetricSpec" in metric:
        spec = metric["computationBasedMetricSpec"]
        name = _COMPUTED_TYPES.get(spec.get("type", ""), "")
        if not name:
            raise ApiError(400, f"Unknown computation based metric type {spec.get('type')!r}.")
        parameters = {
            _PARAMETERS.get(key, key): value for key, value in spec.get("parameters", {}).items()
        }
        return _computed(name, parameters, fields)
    if "pointwiseMetricSpec" in metric:
        autorater = read_autorater(context, autorater_config)
        spec = metric["pointwiseMetricSpec"]
        return judge_rating(context, spec, fields, autorater, "metrics[0].pointwise_metric_spec")
    if "llmBasedMetricSpec" in metric:
        return _llm_based(context, metric["llmBasedMetricSpec"], instance, fields, autorater_config)
    if "predefinedMetricSpec" in metric:
        spec = metric["predefinedMetricSpec"]
        autorater = read_autorater(context, autorater_config)
        return _predefined(context, spec.get("metricSpecName", ""), instance, fields, autorater)
    named = next((name for name in metric if name.endswith("Spec")), "no metric_spec")
    raise not_served(f"metrics with `{named}`")


def instance_fields(instance: Document) -> dict[str, str]:
    """Texts of an `EvaluationInstance` by placeholder name."""
    data = dict(instance.get("otherData", {}).get("mapInstance", {}))
    data |= {
        name: instance[name] for name in ("prompt", "response", "reference") if name in instance
    }
    return {name: _text(value, f"instance.{name}") for name, value in data.items()}


def _text(data: Document, where: str) -> str:
    if "text" in data:
        text: str = data["text"]
        return text
    return content_text(data.get("contents", {}).get("contents", []), where)


def _computed(name: str, spec: Document, fields: dict[str, str]) -> Document:
    for field in ("response", "reference"):
        if field not in fields:
            raise ApiError(400, f"instance.{field} is required for {name}.")
    score = scorer(name, spec)
    return {"score": score({"prediction": fields["response"], "reference": fields["reference"]})}


def _llm_based(
    context: VertexContext,
    spec: Document,
    instance: Document,
    fields: dict[str, str],
    autorater_config: Document,
) -> Document:
    autorater = read_autorater(context, spec.get("judgeAutoraterConfig") or autorater_config)
    if spec.get("resultParserConfig"):
        raise not_served("`result_parser_config` of metrics, as it runs code of the caller")
    if "rubricGroupKey" in spec:
        rubrics = _rubric_group(instance, spec["rubricGroupKey"])
    elif spec.get("rubricGenerationSpec") or spec.get("predefinedRubricGenerationSpec"):
        rubrics = generate_rubrics(fields.get("prompt", ""))
    else:
        where = "metrics[0].llm_based_metric_spec"
        return judge_rating(context, spec, fields, autorater, where)
    return _by_rubrics(context, rubrics, fields, autorater)


def _predefined(
    context: VertexContext,
    name: str,
    instance: Document,
    fields: dict[str, str],
    autorater: Autorater,
) -> Document:
    match = _VERSIONED.fullmatch(name)
    family = match["family"] if match else ""
    if family not in _BY_RUBRICS | _BY_MEASURE:
        raise not_served(
            f"the predefined metric `{name}`; it has versions of"
            f" {', '.join(sorted(_BY_RUBRICS | _BY_MEASURE))}"
        )
    if "response" not in fields:
        raise ApiError(400, f"instance.response is required for {name}.")
    if family in _BY_RUBRICS:
        groups = instance.get("rubricGroups", {})
        rubrics = (
            _rubric_group(instance, next(iter(groups)))
            if groups
            else generate_rubrics(fields.get("prompt", ""))
        )
        return _by_rubrics(context, rubrics, fields, autorater)
    score, measure = _measure(family, name, fields)
    explanation = f"Emulated judge ({autorater.model}): {measure} is {score:.2f}."
    return _judged(context, autorater, fields, {"score": score, "explanation": explanation})


def _measure(family: str, name: str, fields: dict[str, str]) -> tuple[float, str]:
    response = fields["response"]
    if family == "safety":
        return judge.safety(response)
    if family == "final_response_match":
        if "reference" not in fields:
            raise ApiError(400, f"instance.reference is required for {name}.")
        overlap = overlap_f1(words(response), words(fields["reference"]))
        return float(overlap >= _MATCH), "the reference sharing at least half of its words"
    if family == "final_response_reference_free":
        return judge.quality(response, {k: v for k, v in fields.items() if k != "reference"})
    source = " ".join(
        text for field, text in fields.items() if field not in ("response", "reference")
    )
    return judge.grounding(response, source)


def _by_rubrics(
    context: VertexContext, rubrics: list[Document], fields: dict[str, str], autorater: Autorater
) -> Document:
    known = set(content_words(fields.get("response", "")))
    verdicts = []
    for rubric in rubrics:
        description = rubric.get("content", {}).get("property", {}).get("description", "")
        asked = set(content_words(description)) - {"response", "answer", "speaks", "mention"}
        share = coverage(asked, known)
        verdicts.append(
            {
                "evaluatedRubric": rubric,
                "verdict": share >= _MATCH,
                "reasoning": f"Emulated judge ({autorater.model}): the response has {share:.0%} of"
                " the words of this rubric.",
            }
        )
    score = sum(bool(verdict["verdict"]) for verdict in verdicts) / len(verdicts)
    explanation = (
        f"Emulated judge ({autorater.model}): {score:.0%} of {len(verdicts)} rubrics are met, by"
        " the words they share with the response."
    )
    result = {"score": score, "rubricVerdicts": verdicts, "explanation": explanation}
    return _judged(context, autorater, fields, result)


def _judged(
    context: VertexContext, autorater: Autorater, fields: dict[str, str], result: Document
) -> Document:
    """`result` after the faults of the judge, on its bill."""
    prompt = "\n".join(fields.values())
    error, noise, dice = judge_fault(context, autorater, prompt)
    if error:
        return {"error": {"code": 3, "message": error.message}}
    if dice is not None and noise:
        # Scores here span one level.
        result["score"] = min(1.0, max(0.0, result["score"] + dice.gauss(0, noise)))
    bill(context, autorater, prompt, result["explanation"])
    return result


def _rubric_group(instance: Document, key: str) -> list[Document]:
    groups = instance.get("rubricGroups", {})
    rubrics: list[Document] = groups.get(key, {}).get("rubrics", [])
    if not rubrics:
        raise ApiError(
            400,
            f"instance.rubric_groups has no rubrics under {key!r}; it has"
            f" {', '.join(groups) or 'none'}.",
        )
    return rubrics


def generate_rubrics(prompt: str) -> list[Document]:
    """Rubrics for answers to `prompt`: one for each of its most frequent topic words.

    Raises:
        ApiError: 400 for a prompt without any.
    """
    topics = [word for word, _ in Counter(content_words(prompt)).most_common(_RUBRICS)]
    if not topics:
        raise ApiError(400, "Rubrics can only be generated for a prompt with words.")
    return [
        {
            "rubricId": f"emulated_rubric_{number}",
            "content": {"property": {"description": f"The response speaks of: {topic}"}},
            "type": "EMULATED:TOPIC",
            "importance": "HIGH" if number == 1 else "MEDIUM",
        }
        for number, topic in enumerate(topics, 1)
    ]
