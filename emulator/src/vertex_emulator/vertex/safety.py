"""Safety ratings by a small lexicon of the emulator's own.

The real filters are classifiers. Here a rating is that of the worst phrase of the category that
occurs in the text, so that a test can make a prompt or an answer be blocked. Thresholds, ratings
and reasons follow https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/configure-safety-filters;
without settings the filters are off, as they are for Gemini 2.5 and later.
"""

from __future__ import annotations

import re

from vertex_emulator.vertex.messages import Document

_LEVELS = ("NEGLIGIBLE", "LOW", "MEDIUM", "HIGH")
_THRESHOLDS = {"BLOCK_LOW_AND_ABOVE": 1, "BLOCK_MEDIUM_AND_ABOVE": 2, "BLOCK_ONLY_HIGH": 3}
_OFF = ("OFF", "BLOCK_NONE")

LEXICON: dict[str, dict[str, int]] = {
    "HARM_CATEGORY_HATE_SPEECH": {
        "subhuman": 3,
        "inferior race": 3,
        "go back to your country": 2,
        "bigot": 1,
    },
    "HARM_CATEGORY_DANGEROUS_CONTENT": {
        "build a bomb": 3,
        "make a bomb": 3,
        "nerve agent": 3,
        "explosives": 2,
        "poison": 2,
        "weapon": 1,
    },
    "HARM_CATEGORY_HARASSMENT": {
        "kill yourself": 3,
        "you are worthless": 2,
        "idiot": 1,
        "stupid": 1,
    },
    "HARM_CATEGORY_SEXUALLY_EXPLICIT": {
        "pornographic": 3,
        "explicit sex": 3,
        "erotic": 2,
        "nude": 1,
    },
}
PROHIBITED = "emulated prohibited content"
"""A prompt with these words is blocked as PROHIBITED_CONTENT, which no setting turns off."""

_PHRASES = {
    category: {re.compile(rf"\b{re.escape(phrase)}\b"): level for phrase, level in phrases.items()}
    for category, phrases in LEXICON.items()
}


def is_prohibited(text: str) -> bool:
    """Whether `text` falls under the filters that cannot be configured."""
    return PROHIBITED in text.lower()


def rate(text: str, settings: list[Document]) -> list[Document]:
    """Safety ratings of `text`, one for each category that `settings` switch on.

    Args:
        text: A prompt or an answer.
        settings: `SafetySetting` documents; a later one of a category counts.

    Returns:
        `SafetyRating` documents, with `blocked` where the rating reaches the threshold.
    """
    thresholds = {item.get("category"): item.get("threshold") for item in settings}
    active = {
        category: _THRESHOLDS.get(str(threshold), 2)
        for category, threshold in thresholds.items()
        if category in LEXICON and threshold not in _OFF
    }
    if not active:
        return []
    lowered = text.lower()
    ratings = []
    for category, threshold in active.items():
        found = [lvl for phrase, lvl in _PHRASES[category].items() if phrase.search(lowered)]
        ratings.append(rating(category, max(found, default=0), threshold))
    return ratings


def rating(category: str, level: int, threshold: int) -> Document:
    """A `SafetyRating` document; `level` runs from 0 (negligible) to 3 (high)."""
    score = (0.05, 0.3, 0.6, 0.9)[level]
    document: Document = {
        "category": category,
        "probability": _LEVELS[level],
        "probabilityScore": score,
        "severity": f"HARM_SEVERITY_{_LEVELS[level]}",
        "severityScore": score,
    }
    if level >= threshold:
        document["blocked"] = True
    return document


def blocks(ratings: list[Document]) -> bool:
    """Whether any of `ratings` blocks."""
    return any(item.get("blocked") for item in ratings)
