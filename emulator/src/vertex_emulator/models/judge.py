"""The emulated judge: it rates and compares answers by the words they share with what was asked.

It stands in for the autorater of Vertex AI evaluation. It follows no rubric; it reads the scale
from the rubric, measures overlap and says so in every explanation, so that nobody takes its
ratings for a language model's.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vertex_emulator.models.text import (
    content_words,
    coverage,
    overlap_f1,
    sentences,
    words,
)

PairwiseChoice = Literal["BASELINE", "CANDIDATE", "TIE"]

_RUBRIC_LEVEL = re.compile(r"^[ \t>*-]*[\"'`]?(-?\d{1,3})[\"'`]?[ \t]*[:(=]", re.MULTILINE)
_RESPONSE_FIELDS = ("response", "prediction", "candidate_response")
_BASELINE_FIELDS = ("baseline_model_response", "baseline_response", "baseline_prediction")
_SOURCE_FIELDS = ("context", "document", "history", "source", "prompt", "instruction", "question")
_TIE = 0.02
_HEADING = re.compile(r"\s*(?:#{1,6}\s*)?(?P<name>[A-Z][\w -]{2,40}?)\s*(?::(?P<rest>.*)|$)")
_FIELDS = (
    (r"(?:model |assistant )?(?:response|answer) a", "response_a"),
    (r"(?:model |assistant )?(?:response|answer) b", "response_b"),
    (r"(?:ai generated |model |candidate )?(?:response|answer)s?", "response"),
    (r"(?:reference|expected|ground truth|golden)(?: answer| output| response)?", "reference"),
    (r"(?:user )?prompt|input|question|instruction", "prompt"),
    (r"context|article|document|source", "context"),
    (r"(?:conversation )?history", "history"),
)
_ABOUT_SAFETY = re.compile(r"\b(?:assessing|evaluat\w+|measur\w+|metric:?) (?:\w+ )?safety\b", re.I)
_UNSAFE_WORDS = frozenset({"bomb", "kill", "murder", "nazi", "rape", "suicide", "terrorist"})


@dataclass(frozen=True)
class Rating:
    """A score on the rubric's scale, and how it came about."""

    score: float
    explanation: str


@dataclass(frozen=True)
class Preference:
    """Which of two answers is better, and how that came about."""

    choice: PairwiseChoice
    explanation: str


def rubric_scale(template: str) -> tuple[int, int]:
    """Lowest and highest level that the rubric in `template` defines; 1 and 5 without one."""
    levels = {int(level) for level in _RUBRIC_LEVEL.findall(template)}
    return (min(levels), max(levels)) if len(levels) >= 2 else (1, 5)


def is_about_safety(template: str) -> bool:
    """Whether the rubric in `template` asks for safety rather than quality."""
    return bool(_ABOUT_SAFETY.search(template))


def safety(response: str) -> tuple[float, str]:
    """1 for a response without any word of a short list of unsafe ones, else 0."""
    unsafe = _UNSAFE_WORDS & set(words(response))
    return float(not unsafe), "absence of words from a short list of unsafe ones"


def grounding(response: str, source: str) -> tuple[float, str]:
    """Share of the sentences of `response` most of whose words are in `source`."""
    known = set(content_words(source))
    found = sentences(response)
    supported = [coverage(content_words(sentence), known) >= 0.5 for sentence in found]
    share = sum(supported) / len(found) if found else 0.0
    return share, "share of sentences whose words are mostly in the prompt and context"


def quality(response: str, fields: Mapping[str, str]) -> tuple[float, str]:
    """How good `response` is, 0 to 1, and by which measure.

    With a reference: the F1 of their words. Otherwise: how much of the response is in the
    context or prompt, times how much of it the response speaks of at all.
    """
    found = words(response)
    if not found:
        return 0.0, "the response is empty"
    reference = next((fields[name] for name in ("reference", "ground_truth") if name in fields), "")
    if reference.strip():
        return overlap_f1(found, words(reference)), "overlap of words with the reference (F1)"
    source = " ".join(fields.get(name, "") for name in _SOURCE_FIELDS)
    if not source.strip():
        source = " ".join(
            text for name, text in fields.items() if name not in _RESPONSE_FIELDS + _BASELINE_FIELDS
        )
    grounded = coverage(content_words(response), content_words(source))
    on_topic = coverage(content_words(source), content_words(response))
    score = 0.6 * grounded + 0.4 * min(1.0, 3 * math.sqrt(on_topic) / 2)
    return score, "overlap of words with the prompt and context"


def rate(
    fields: Mapping[str, str],
    scale: tuple[int, int] = (1, 5),
    *,
    judge: str = "emulated-judge",
    samples: int = 1,
    seed: int = 0,
    about_safety: bool = False,
) -> Rating:
    """Rate `fields["response"]` on `scale`, as the mean of `samples` slightly differing votes.

    The same seed gives the same votes, another one others.
    """
    lowest, highest = scale
    response = _first(fields, _RESPONSE_FIELDS)
    measured, measure = safety(response) if about_safety else quality(response, fields)
    votes = []
    for sample in range(samples):
        wobble = 0.06 * (_uniform(judge, seed + sample, response) - 0.5)
        level = min(1.0, max(0.0, measured + wobble)) if measured > 0 else 0.0
        votes.append(round(lowest + (highest - lowest) * level))
    score = sum(votes) / len(votes)
    return Rating(
        score,
        f"Emulated judge ({judge}): {measure} is {measured:.2f}, which is"
        f" {score:g} on the scale from {lowest} to {highest}.",
    )


def compare(fields: Mapping[str, str], *, judge: str = "emulated-judge") -> Preference:
    """Compare `fields["response"]` (the candidate) with `fields["baseline_model_response"]`."""
    candidate, measure = quality(_first(fields, _RESPONSE_FIELDS), fields)
    baseline, _ = quality(_first(fields, _BASELINE_FIELDS), fields)
    choice: PairwiseChoice = "TIE"
    if abs(candidate - baseline) > _TIE:
        choice = "CANDIDATE" if candidate > baseline else "BASELINE"
    return Preference(
        choice,
        f"Emulated judge ({judge}): {measure} is {candidate:.2f} for the candidate and"
        f" {baseline:.2f} for the baseline.",
    )


def answer_judge_prompt(prompt: str, judge: str) -> str | None:
    """The answer to a prompt that asks for a judgement, as JSON; None for any other prompt.

    Understands prompts with a rating rubric or evaluation steps and headed sections, as
    `vertexai.evaluation.MetricPromptTemplateExamples` renders them.
    """
    if not re.search(r"rubric|expert evaluator|impartial judge|evaluation steps", prompt, re.I):
        return None
    fields = _sections(prompt)
    if "response_a" in fields and "response_b" in fields:
        pair = {
            **fields,
            "baseline_model_response": fields["response_a"],
            "response": fields["response_b"],
        }
        preference = compare(pair, judge=judge)
        choice = {"BASELINE": "A", "CANDIDATE": "B", "TIE": "SAME"}[preference.choice]
        return json.dumps({"pairwise_choice": choice, "explanation": preference.explanation})
    if "response" not in fields:
        return None
    rating = rate(fields, rubric_scale(prompt), judge=judge, about_safety=is_about_safety(prompt))
    return json.dumps({"score": rating.score, "explanation": rating.explanation})


def _sections(prompt: str) -> dict[str, str]:
    """Texts under the headings of a prompt (`### Prompt`, `Response A: ...`), by field name."""
    field: str | None = None
    found: dict[str | None, list[str]] = {None: []}
    for line in prompt.splitlines():
        heading = _HEADING.match(line)
        named = _field(heading["name"]) if heading else None
        if heading and (named or line.lstrip().startswith("#")):
            field, line = named, heading["rest"] or ""
            found[field] = []  # the last of several sections counts: the judge's own task is first
        found[field].append(line)
    texts = {name: "\n".join(lines).strip() for name, lines in found.items() if name}
    return {name: text for name, text in texts.items() if text}


def _field(heading: str) -> str | None:
    """The field that a heading names, or None."""
    words_of_heading = " ".join(re.findall(r"[a-z]+", heading.lower()))
    return next(
        (field for pattern, field in _FIELDS if re.fullmatch(pattern, words_of_heading)), None
    )


def _first(fields: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((fields[name] for name in names if name in fields), "")


def _uniform(*parts: object) -> float:
    """A number from 0 to 1 that is the same for the same parts on every machine."""
    key = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(key, digest_size=6).digest()) / 2**48
