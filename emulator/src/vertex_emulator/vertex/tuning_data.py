"""Tuning data sets: reading and checking their JSONL, and the statistics that jobs report.

Limits: https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning.
Forms: .../docs/models/gemini-supervised-tuning-prepare and .../gemini-preference-tuning-prepare.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from vertex_emulator.errors import ApiError
from vertex_emulator.models.language_model import Turn
from vertex_emulator.models.learners import Example
from vertex_emulator.models.prompt_frame import conversation
from vertex_emulator.vertex import tokens

FEWEST_EXAMPLES = 16
MOST_EXAMPLES = 1_000_000
MOST_VALIDATION_EXAMPLES = 5_000
MOST_TOKENS = 131_072
MOST_BYTES = 1024**3
_REPORTED = 10
_BATCH = 16
_NOT_LEARNED = ("inlineData", "fileData", "functionCall", "functionResponse")


class InvalidDatasetError(Exception):
    """The data set cannot be tuned on; the message goes into the job's error."""


@dataclass
class Dataset:
    """Examples of one data set file, and what the job reports of it."""

    examples: list[Example] = field(default_factory=list)
    input_tokens: list[int] = field(default_factory=list)
    output_tokens: list[int] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    characters: int = 0
    dropped: list[tuple[int, str]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)

    @property
    def billable_tokens(self) -> int:
        """Tokens of all examples that are trained on, once."""
        return sum(self.input_tokens) + sum(self.output_tokens)

    def steps(self, epochs: int) -> int:
        """Training steps in a number of epochs."""
        return epochs * math.ceil(len(self.messages) / _BATCH)


def read_dataset(
    open_file: Callable[[str], BinaryIO],
    uri: str,
    *,
    preference: bool = False,
    most_examples: int = MOST_EXAMPLES,
    fewest_examples: int = FEWEST_EXAMPLES,
) -> Dataset:
    """Read a JSONL file of tuning examples.

    Args:
        open_file: Opens a `gs://` URI for reading.
        uri: The file.
        preference: Whether its examples have scored `completions` instead of a model's turn.
        most_examples: More than these are refused.
        fewest_examples: Fewer than these are refused.

    Raises:
        InvalidDatasetError: the file is missing or not JSONL, an example is malformed, or there are
            too few or too many. Examples that are only too long are dropped and reported instead.
    """
    found = Dataset()
    read = _preference_example if preference else _supervised_example
    number = 0
    for number, (line_number, document) in enumerate(_documents(open_file, uri), 1):
        if number > most_examples:
            raise InvalidDatasetError(
                f"{uri} has more than {most_examples} examples, the most allowed."
            )
        try:
            read(found, document, number)
        except ApiError as error:
            raise InvalidDatasetError(f"{uri}, line {line_number}: {error.message}") from error
        except ValueError as error:
            raise InvalidDatasetError(f"{uri}, line {line_number}: {error}") from error
    if len(found.messages) < fewest_examples:
        dropped = f" after {len(found.dropped)} were dropped" if found.dropped else ""
        raise InvalidDatasetError(
            f"{uri} has {len(found.messages)} valid examples{dropped}; at least {fewest_examples}"
            " are needed."
        )
    return found


def _documents(open_file: Callable[[str], BinaryIO], uri: str) -> Iterator[tuple[int, Any]]:
    try:
        file = open_file(uri)
    except ApiError as error:
        raise InvalidDatasetError(f"Cannot read {uri}: {error.message}") from error
    size = 0
    with file:
        for line_number, line in enumerate(file, 1):
            size += len(line)
            if size > MOST_BYTES:
                raise InvalidDatasetError(f"{uri} is larger than 1 GB, the most allowed.")
            if not line.strip():
                continue
            try:
                yield line_number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InvalidDatasetError(
                    f"{uri}, line {line_number}: not a JSON object on one line ({error})."
                ) from error


def _supervised_example(found: Dataset, document: Any, number: int) -> None:
    system, turns = _read_turns(document, {"contents", "systemInstruction", "system_instruction"})
    if len(turns) < 2 or turns[-1].role != "model":
        raise ValueError("the last of `contents` must have the role `model`.")
    _keep(found, document, number, system, turns)


def _preference_example(found: Dataset, document: Any, number: int) -> None:
    system, turns = _read_turns(
        document, {"contents", "completions", "systemInstruction", "system_instruction"}
    )
    if turns[-1].role != "user":
        raise ValueError("the last of `contents` must have the role `user`.")
    completions = document.get("completions")
    if not isinstance(completions, list) or len(completions) != 2:
        raise ValueError("`completions` must be a list of two.")
    rated = []
    for completion in completions:
        if not isinstance(completion, dict) or not isinstance(completion.get("completion"), dict):
            raise ValueError("each of `completions` must have a `completion` with parts.")
        score = completion.get("score")
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise ValueError("each of `completions` must have a number as its `score`.")
        rated.append((float(score), _text(completion["completion"], "completions")))
    scores = [score for score, _ in rated]
    if sorted(scores) != [0, 1]:
        raise ValueError("the scores of the two `completions` must be 0 and 1.")
    best = max(rated)[1]
    if _keep(found, document, number, system, [*turns, Turn("model", best)]):
        found.scores.append(scores)


def _keep(
    found: Dataset, document: dict[str, Any], number: int, system: str, turns: list[Turn]
) -> bool:
    """Add one example, or drop it with a reason; whether it was kept."""
    outputs = [turn.text for turn in turns if turn.role == "model"]
    inputs = [system, *(turn.text for turn in turns if turn.role == "user")]
    input_tokens = sum(map(tokens.count, inputs))
    output_tokens = sum(map(tokens.count, outputs))
    if input_tokens + output_tokens > MOST_TOKENS:
        found.dropped.append(
            (
                number,
                f"The example has {input_tokens + output_tokens} tokens, more than the limit of"
                f" {MOST_TOKENS}.",
            )
        )
        return False
    if not outputs[-1].strip() or not any(text.strip() for text in inputs):
        found.dropped.append((number, "The example has an empty input or output."))
        return False
    found.input_tokens.append(input_tokens)
    found.output_tokens.append(output_tokens)
    found.messages.append(len(turns))
    found.characters += sum(map(len, inputs)) + sum(map(len, outputs))
    if len(found.samples) < _REPORTED:
        found.samples.append(document)
    for place, turn in enumerate(turns):
        if turn.role == "model":
            found.examples.append(Example(conversation(system, turns[:place]), turn.text))
    return True


def _read_turns(document: Any, known: set[str]) -> tuple[str, list[Turn]]:
    if not isinstance(document, dict):
        raise ValueError("not a JSON object.")
    unknown = sorted(document.keys() - known - {"tools", "generationConfig", "labels"})
    if unknown:
        raise ValueError(f"unknown field `{unknown[0]}`.")
    contents = document.get("contents")
    if not isinstance(contents, list) or not contents:
        raise ValueError("`contents` must be a list of messages.")
    turns = []
    for place, content in enumerate(contents):
        role = content.get("role") if isinstance(content, dict) else None
        wanted = "model" if place % 2 else "user"
        if role not in ("user", "model"):
            raise ValueError(f"the role of a message must be `user` or `model`, not {role!r}.")
        if role != wanted:
            raise ValueError(
                f"the roles of `contents` must alternate, `user` first: message {place + 1} has"
                f" the role `{role}`."
            )
        turns.append(Turn(role, _text(content, "contents")))
    system = document.get("systemInstruction", document.get("system_instruction"))
    if system is None:
        return "", turns
    if not isinstance(system, dict):
        raise ValueError("`systemInstruction` must be an object with `parts`.")
    return _text(system, "systemInstruction"), turns


def _text(content: dict[str, Any], where: str) -> str:
    parts = content.get("parts")
    if isinstance(parts, dict):
        parts = [parts]
    if not isinstance(parts, list) or not parts:
        raise ValueError(f"a message of `{where}` has no `parts`.")
    texts = []
    for part in parts:
        if not isinstance(part, dict):
            raise ValueError(f"a part of `{where}` is not an object.")
        other = next((name for name in _NOT_LEARNED if name in part), None)
        if other:
            raise ValueError(f"the emulator tunes on text parts only; this one has `{other}`.")
        if not isinstance(part.get("text"), str):
            raise ValueError(f"a part of `{where}` has no `text`.")
        texts.append(part["text"])
    return "\n".join(texts)


def supervised_stats(data: Dataset, epochs: int) -> dict[str, Any]:
    """The job's `tuningDataStats` for supervised tuning, as the API prints it."""
    return {
        "supervisedTuningDataStats": {
            "tuningDatasetExampleCount": str(len(data.messages)),
            "totalTuningCharacterCount": str(data.characters),
            "totalBillableCharacterCount": str(data.characters),
            "totalBillableTokenCount": str(data.billable_tokens),
            "tuningStepCount": str(data.steps(epochs)),
            "userInputTokenDistribution": _distribution(data.input_tokens),
            "userOutputTokenDistribution": _distribution(data.output_tokens),
            "userMessagePerExampleDistribution": _distribution(data.messages),
            "userDatasetExamples": [
                content for sample in data.samples for content in sample["contents"]
            ][:_REPORTED],
            "totalTruncatedExampleCount": str(len(data.dropped)),
            **_dropped(data, "truncatedExampleIndices"),
        }
    }


def preference_stats(data: Dataset, epochs: int) -> dict[str, Any]:
    """The job's `tuningDataStats` for preference tuning, as the API prints it."""
    variances = [statistics.pvariance(scores) for scores in data.scores]
    return {
        "preferenceOptimizationDataStats": {
            "tuningDatasetExampleCount": str(len(data.messages)),
            "totalBillableTokenCount": str(data.billable_tokens),
            "tuningStepCount": str(data.steps(epochs)),
            "userInputTokenDistribution": _distribution(data.input_tokens, billable=False),
            "userOutputTokenDistribution": _distribution(data.output_tokens, billable=False),
            "scoresDistribution": _distribution(
                [score for scores in data.scores for score in scores], billable=False
            ),
            "scoreVariancePerExampleDistribution": _distribution(variances, billable=False),
            "userDatasetExamples": data.samples,
            **_dropped(data, "droppedExampleIndices"),
        }
    }


def _dropped(data: Dataset, indices: str) -> dict[str, Any]:
    if not data.dropped:
        return {}
    reported = data.dropped[:_REPORTED]
    return {
        indices: [str(number) for number, _ in reported],
        "droppedExampleReasons": [reason for _, reason in reported],
    }


def _distribution(values: list[int] | list[float], *, billable: bool = True) -> dict[str, Any]:
    ordered = sorted(float(value) for value in values)
    total = sum(ordered)
    lowest, highest = ordered[0], ordered[-1]
    width = (highest - lowest) / _REPORTED or 1.0
    counts = [0] * _REPORTED
    for value in ordered:
        counts[min(int((value - lowest) / width), _REPORTED - 1)] += 1
    whole = {"sum": str(round(total)), "billableSum": str(round(total))}
    return {
        **(whole if billable else {"sum": total}),
        "min": lowest,
        "max": highest,
        "mean": statistics.fmean(ordered),
        "median": statistics.median(ordered),
        "p5": _percentile(ordered, 0.05),
        "p95": _percentile(ordered, 0.95),
        "buckets": [
            {"count": count, "left": lowest + place * width, "right": lowest + (place + 1) * width}
            for place, count in enumerate(counts)
            if count
        ],
    }


def _percentile(ordered: list[float], share: float) -> float:
    """Linear interpolation between the two nearest ranks."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
