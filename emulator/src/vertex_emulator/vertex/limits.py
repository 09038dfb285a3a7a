"""Limits of a model: lengths, ranges of the generation config, and missing features.

Ranges: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
("generationConfig") and, for thinking, https://cloud.google.com/vertex-ai/generative-ai/docs/thinking.
"""

from __future__ import annotations

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.models.base_models import base_of
from vertex_emulator.vertex.messages import Document

INPUT_TOKENS = 1_048_576
OUTPUT_TOKENS = 65_536
_MOST_STOP_SEQUENCES = 5

# name -> (smallest allowed, smallest not allowed any more)
_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0001),
    "topP": (0.0, 1.0001),
    "topK": (1, 1_000_001),
    "candidateCount": (1, 9),
    "maxOutputTokens": (1, OUTPUT_TOKENS + 1),
    "presencePenalty": (-2.0, 2.0),
    "frequencyPenalty": (-2.0, 2.0),
}
_THINKING_RANGES = {"pro": (128, 32_769), "flash": (1, 24_577), "flash-lite": (512, 24_577)}
_PENALTIES = ("presencePenalty", "frequencyPenalty")
"""Models that ignore sampling answer these with an error; its words are not known.

Source: https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/gemini/3-5-flash-lite
"""
_NOT_SERVED = (
    *("responseLogprobs", "logprobs", "speechConfig", "imageConfig", "routingConfig"),
    *("modelConfig", "audioTranscriptionConfig", "translationConfig", "enableAffectiveDialog"),
    *("responseFormat", "modelSelectionConfig"),
)
_TOOLS_SERVED = {"functionDeclarations", "googleSearch", "googleSearchRetrieval"}
_REQUEST_NOT_SERVED = ("modelArmorConfig", "outputConfig", "continuationToken")


def check_request(request: Document, version: str) -> None:
    """Refuse what the API or the emulator does not take.

    Args:
        request: A `GenerateContentRequest` document.
        version: The model's version.

    Raises:
        ApiError: 400 for a value out of range, 501 for a feature that is not emulated.
    """
    for name in _REQUEST_NOT_SERVED:
        if name in request:
            raise not_served(name)
    check_tools(request)
    config = request.get("generationConfig", {})
    for name in _NOT_SERVED:
        if config.get(name):
            raise not_served(f"generationConfig.{name}")
    modalities = [name for name in config.get("responseModalities", []) if name != "TEXT"]
    if modalities:
        raise not_served(f"generationConfig.responseModalities {modalities[0]}")
    for name, (lowest, end) in _RANGES.items():
        _check_range(name, config.get(name), lowest, end)
    if len(config.get("stopSequences", [])) > _MOST_STOP_SEQUENCES:
        raise ApiError(
            400,
            "Unable to submit request because it has more than"
            f" {_MOST_STOP_SEQUENCES} stopSequences. Update the value and try again.",
        )
    _check_thinking(config.get("thinkingConfig", {}), version)
    base = base_of(version)
    for name in _PENALTIES:
        if base and base.ignores_sampling and config.get(name):
            raise ApiError(
                400, f"Unable to submit request because {name} is not supported by this model."
            )


def check_last_turn(request: Document, version: str) -> None:
    """Refuse contents that end with a turn of the model, where the model does not take that.

    Raises:
        ApiError: 400 in the words of the service.
    """
    contents = request.get("contents", [])
    base = base_of(version)
    if base and base.refuses_model_turn and contents and contents[-1].get("role") == "model":
        raise ApiError(400, "Requests ending with a model turn are not supported.")


def check_tools(request: Document) -> None:
    """Refuse the tools of `request` that are not emulated.

    Raises:
        ApiError: 501 with the name of the tool.
    """
    for tool in request.get("tools", []):
        for name in tool:
            if name not in _TOOLS_SERVED:
                raise not_served(f"the tool {name}")


def _check_range(name: str, value: float | None, lowest: float, end: float) -> None:
    if value is None or lowest <= value < end:
        return
    raise ApiError(
        400,
        f"Unable to submit request because it has a {name} value of {value:g} but the supported"
        f" range is from {lowest:g} (inclusive) to {end:g} (exclusive). Update the value and try"
        " again.",
    )


def _check_thinking(config: Document, version: str) -> None:
    """Refuse a level that the model does not have, or a budget out of range.

    Source of the words: https://github.com/jenslys/opencode-gemini-auth/issues/14
    """
    budget = config.get("thinkingBudget")
    if config.get("thinkingLevel") and budget is not None:
        raise ApiError(400, "Only one of thinking budget and thinking level may be set.")
    base, level = base_of(version), config.get("thinkingLevel")
    if level and base and base.thinking_levels and level not in base.thinking_levels:
        raise ApiError(
            400,
            f"Unable to submit request because thinking_level {level} is not supported by this"
            " model. Learn more:"
            " https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini",
        )
    if budget is None or budget == -1:
        return
    kind = "pro" if "-pro" in version else "flash-lite" if "-lite" in version else "flash"
    lowest, end = _THINKING_RANGES[kind]
    if budget != 0 or kind == "pro":
        _check_range("thinkingBudget", budget, lowest, end)


def check_length(count: int) -> None:
    """Refuse a prompt of `count` tokens that is too long.

    Raises:
        ApiError: 400 in the words of the service.
    """
    if count > INPUT_TOKENS:
        raise ApiError(
            400,
            f"The input token count ({count}) exceeds the maximum number of tokens allowed"
            f" ({INPUT_TOKENS}).",
        )
