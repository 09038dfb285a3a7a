"""Words, sentences and character n-grams: what the emulated models see of a text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_WORD = re.compile(r"[^\W_]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n|\n(?=\s*[-*•#>])")
_STOP_WORDS = frozenset(
    _WORD.findall(
        "a about all also an and any are as at be been but by can could do does for from had has"
        " have how i if in into is it its may more most my no not of on one only or other our out"
        " should so some such than that the their them then there these they this to up use used"
        " using was we were what when where which who why will with would you your"
    )
)


def words(text: str) -> list[str]:
    """The words of `text` in lower case, in order."""
    return _WORD.findall(text.lower())


def content_words(text: str) -> list[str]:
    """The words of `text` without those that carry no topic."""
    return [word for word in words(text) if word not in _STOP_WORDS and len(word) > 1]


def sentences(text: str) -> list[str]:
    """The sentences of `text` in order, white space collapsed, empty ones left out."""
    parts = (" ".join(part.split()) for part in _SENTENCE_END.split(text))
    return [part for part in parts if any(letter.isalnum() for letter in part)]


def character_ngrams(text: str, shortest: int, longest: int) -> set[str]:
    """Character n-grams inside word boundaries, a space standing for each boundary."""
    grams: set[str] = set()
    for word in set(words(text)):
        padded = f" {word} "
        for size in range(shortest, longest + 1):
            grams.update(padded[i : i + size] for i in range(len(padded) - size + 1))
    return grams


def overlap_f1(candidate: Iterable[str], reference: Iterable[str]) -> float:
    """Harmonic mean of precision and recall of the words of two texts, 0 to 1."""
    found, wanted = Counter(candidate), Counter(reference)
    common = sum((found & wanted).values())
    return 2 * common / (found.total() + wanted.total()) if common else 0.0


def coverage(part: Iterable[str], whole: Iterable[str]) -> float:
    """Share of the distinct words of `part` that `whole` has too, 0 to 1."""
    needed = set(part)
    return len(needed & set(whole)) / len(needed) if needed else 0.0
