"""Metrics that a judge decides: pointwise ratings and pairwise choices.

The judge is the emulated one of `models/judge.py`; every explanation says so.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from typing import Any

from vertex_emulator.errors import ApiError
from vertex_emulator.models import judge
from vertex_emulator.models.base_models import BASE_MODELS
from vertex_emulator.vertex import tokens
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.generation import THOUGHTS_OF_LEVEL

Document = dict[str, Any]

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")
_DEFAULT_JUDGE = "gemini-3.5-flash"
_DEFAULT_SAMPLES = 4
_MOST_SAMPLES = 32
_NO_SCORE = "Failed to parse the judge's answer: it has no score."


@dataclass(frozen=True)
class Autorater:
    """The judge of a request: its model, how often it is asked, its seed and its output limit."""

    model: str
    samples: int
    seed: int
    flip: bool
    output_limit: int | None = None

    @property
    def thoughts(self) -> int:
        """Tokens of emulated thinking before each judgement."""
        base = BASE_MODELS.get(self.model)
        return THOUGHTS_OF_LEVEL.get(base.thinking_default, 0) if base else 0


def read_autorater(context: VertexContext, config: Document) -> Autorater:
    """The judge that `autoraterConfig` asks for.

    Raises:
        ApiError: 400 for a sampling count out of range, 404 for an unknown judge model.
    """
    samples = config.get("samplingCount", _DEFAULT_SAMPLES)
    if not 1 <= samples <= _MOST_SAMPLES:
        raise ApiError(
            400,
            f"autorater_config.sampling_count must be from 1 to {_MOST_SAMPLES}, not {samples}.",
        )
    model = config.get("autoraterModel") or _DEFAULT_JUDGE
    version = context.catalog.resolve(model).version
    generation = config.get("generationConfig", {})
    return Autorater(
        version.removesuffix("-emulated"),
        samples,
        generation.get("seed", 0),
        config.get("flipEnabled", True),
        generation.get("maxOutputTokens"),
    )


def judge_pointwise(context: VertexContext, body: Document, autorater: Autorater) -> Document:
    """`pointwiseMetricResult` for a `pointwiseMetricInput`."""
    spec, fields = _read(body, "pointwise_metric_input")
    return judge_rating(context, spec, fields, autorater, "pointwise_metric_input.metric_spec")


def judge_rating(
    context: VertexContext,
    spec: Document,
    fields: dict[str, str],
    autorater: Autorater,
    where: str,
) -> Document:
    """Rate the response among `fields` by the template of `spec`, on the scale of its rubric."""
    template = _template(spec, where)
    prompt = render(template, fields)
    error, noise, dice = judge_fault(context, autorater, prompt)
    if error:
        raise error
    scale = judge.rubric_scale(template)
    rating = judge.rate(
        fields,
        scale,
        judge=autorater.model,
        samples=autorater.samples,
        seed=autorater.seed,
        about_safety=judge.is_about_safety(template),
    )
    score = rating.score
    if dice is not None and noise:
        score = min(scale[1], max(scale[0], score + dice.gauss(0, noise)))
    bill(context, autorater, prompt, rating.explanation)
    if _raw(spec):
        raw = json.dumps({"score": score, "explanation": rating.explanation})
        return {"customOutput": {"rawOutputs": {"rawOutput": [raw] * autorater.samples}}}
    return {"score": score, "explanation": rating.explanation}


def judge_pairwise(context: VertexContext, body: Document, autorater: Autorater) -> Document:
    """`pairwiseMetricResult` for a `pairwiseMetricInput`."""
    spec, fields = _read(body, "pairwise_metric_input")
    prompt = render(_template(spec, "pairwise_metric_input.metric_spec"), fields)
    names = (
        spec.get("baselineResponseFieldName") or "baseline_model_response",
        spec.get("candidateResponseFieldName") or "response",
    )
    missing = [name for name in names if name not in fields]
    if missing:
        raise ApiError(400, f"pairwise_metric_input.instance has no field {missing[0]!r}.")
    error, bias, dice = judge_fault(context, autorater, prompt, pairwise=True)
    if error:
        raise error
    fields = {**fields, "baseline_model_response": fields[names[0]], "response": fields[names[1]]}
    preference = judge.compare(fields, judge=autorater.model)
    choice = preference.choice
    # With flipping, each answer is shown first in half of the samples: a bias evens out.
    if dice is not None and not autorater.flip and dice.random() < bias:
        choice = "BASELINE"
    bill(context, autorater, prompt, preference.explanation)
    if _raw(spec):
        raw = json.dumps({"pairwise_choice": choice, "explanation": preference.explanation})
        return {"customOutput": {"rawOutputs": {"rawOutput": [raw] * autorater.samples}}}
    return {"pairwiseChoice": choice, "explanation": preference.explanation}


def render(template: str, fields: dict[str, str]) -> str:
    """Fill the `{placeholders}` of `template`.

    Raises:
        ApiError: 400 when `fields` lacks one.
    """
    missing = sorted(set(_PLACEHOLDER.findall(template)) - fields.keys())
    if missing:
        raise ApiError(
            400,
            f"The instance has no value for the variable {missing[0]!r} of the metric prompt"
            f" template; it has {', '.join(sorted(fields)) or 'none'}.",
        )
    return _PLACEHOLDER.sub(lambda match: fields[match[1]], template)


def _read(body: Document, where: str) -> tuple[Document, dict[str, str]]:
    instance = body.get("instance", {})
    if "contentMapInstance" in instance:
        values = instance["contentMapInstance"].get("values", {})
        fields = {
            name: content_text(content.get("contents", []), f"{where}.instance")
            for name, content in values.items()
        }
    else:
        try:
            document = json.loads(instance.get("jsonInstance", ""))
        except (ValueError, RecursionError) as error:
            raise ApiError(400, f"{where}.instance.json_instance is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise ApiError(400, f"{where}.instance.json_instance must be a JSON object.")
        fields = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in document.items()
        }
    return body.get("metricSpec", {}), fields


def content_text(contents: list[Document], where: str) -> str:
    """The text of messages.

    Raises:
        ApiError: 501 for parts that are not text, as the emulated judge reads nothing else.
    """
    texts = []
    for content in contents:
        for part in content.get("parts", []):
            if "text" not in part:
                raise ApiError(501, f"The emulated judge reads text parts only, see {where}.")
            texts.append(part["text"])
    return "\n".join(texts)


def _template(spec: Document, where: str) -> str:
    template: str = spec.get("metricPromptTemplate", "")
    if not template.strip():
        raise ApiError(400, f"{where}.metric_prompt_template is required.")
    return template


def _raw(spec: Document) -> bool:
    return bool(spec.get("customOutputFormatConfig", {}).get("returnRawOutput"))


def judge_fault(
    context: VertexContext, autorater: Autorater, key: str, *, pairwise: bool = False
) -> tuple[ApiError | None, float, random.Random | None]:
    """An error to answer with, or the strength of the judge's mistakes and the dice for them."""
    found = context.faults.judge(autorater.model, f"{autorater.seed}\x1f{key}")
    if found is None:
        return None, 0.0, None
    fault, dice = found
    if dice.random() < fault.error_probability:
        return (
            ApiError(400, "The emulated judge was configured to fail on this instance."),
            0.0,
            None,
        )
    if dice.random() < fault.malformed_probability:
        return ApiError(400, _NO_SCORE), 0.0, None
    return None, fault.position_bias if pairwise else fault.noise, dice


def bill(context: VertexContext, autorater: Autorater, prompt: str, answer: str) -> None:
    """Count the tokens of a judgement, once for each sample.

    Raises:
        ApiError: 400 when the judge's output limit leaves too little for its judgement.
    """
    output = tokens.count(answer) + autorater.thoughts
    context.stats.bill(
        autorater.model,
        input=tokens.count(prompt) * autorater.samples,
        output=output * autorater.samples,
    )
    if autorater.output_limit is not None and output > autorater.output_limit:
        raise ApiError(400, _NO_SCORE)
