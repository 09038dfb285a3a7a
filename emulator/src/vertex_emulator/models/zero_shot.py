"""Base models: they answer from the prompt alone."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from vertex_emulator.models.associations import associated
from vertex_emulator.models.base_models import BaseModel
from vertex_emulator.models.instructions import (
    Choice,
    Summary,
    read_instruction,
)
from vertex_emulator.models.judge import answer_judge_prompt
from vertex_emulator.models.language_model import Turn
from vertex_emulator.models.text import (
    character_ngrams,
    content_words,
    sentences,
)

_READ_CHARACTERS = 4000
_NGRAMS = (3, 4)
_KNOWLEDGE = 6.0
_BLUR = 5.0


@dataclass(frozen=True)
class ZeroShotModel:
    """A base model of the emulator."""

    base: BaseModel

    @property
    def version(self) -> str:
        """What `modelVersion` says."""
        return self.base.version

    def answer(
        self, system: str, turns: Sequence[Turn], *, temperature: float = 0.0, seed: int = 0
    ) -> str:
        """Answer from the words of the prompt; see `LanguageModel.answer`."""
        prompt = turns[-1].text if turns else ""
        judged = answer_judge_prompt(f"{system}\n{prompt}", self.base.name)
        if judged is not None:
            return judged
        dice = dice_for(self.base.name, system, prompt, seed if temperature > 0 else 0)
        task = read_instruction(system, prompt)
        if isinstance(task, Choice):
            scores = self._rate_options(task, dice)
            return task.options[pick(scores, temperature, dice)]
        if isinstance(task, Summary):
            return self._summarize(task, temperature, dice)
        return self._extract(task.text, temperature, dice)

    def _rate_options(self, task: Choice, dice: random.Random) -> list[float]:
        """Similarity of each option to the question, blurred the more the smaller the model."""
        capacity = self.base.capacity
        question = task.question[:_READ_CHARACTERS]
        asked = character_ngrams(question, *_NGRAMS)
        known = content_words(question)
        votes = Counter(word for asked_word in known for word in associated(asked_word, capacity))
        votes.update(known)
        scores = []
        for weights, option_words in _profiles(task.options):
            score = sum(weights[gram] for gram in weights.keys() & asked)
            scores.append(score + _KNOWLEDGE * sum(votes[word] for word in option_words))
        blur = _BLUR * (1.0 - capacity)
        return [score + blur * dice.gauss(0, 1) for score in scores]

    def _summarize(self, task: Summary, temperature: float, dice: random.Random) -> str:
        found = sentences(task.text[:_READ_CHARACTERS]) or [task.text.strip()]
        weights = Counter(word for sentence in found for word in set(content_words(sentence)))
        blur = 4.0 * (1.0 - self.base.capacity)
        scores = []
        for place, sentence in enumerate(found):
            terms = set(content_words(sentence))
            weight = sum(weights[term] for term in terms) / math.sqrt(len(terms) or 1)
            scores.append(weight / (1 + place) + blur * dice.gauss(0, 1))
        return compose(found, scores, task.max_sentences, task.max_words, temperature, dice)

    def _extract(self, text: str, temperature: float, dice: random.Random) -> str:
        """The sentences of the prompt that share most with the rest of it, as an answer."""
        found = sentences(text[:_READ_CHARACTERS])
        if not found:
            return f"The emulated model {self.base.name} was given no text to answer."
        weights = Counter(word for sentence in found for word in set(content_words(sentence)))
        blur = 1.0 - self.base.capacity
        scores = [
            sum(weights[term] for term in set(content_words(sentence))) + blur * dice.gauss(0, 1)
            for sentence in found
        ]
        best = compose(found, scores, 2, 80, temperature, dice)
        topics = [word for word, _ in Counter(content_words(text)).most_common(3)]
        return f"This is about {', '.join(topics)}. {best}" if topics else best


@lru_cache(maxsize=256)
def _profiles(options: tuple[str, ...]) -> list[tuple[dict[str, float], list[str]]]:
    """For each option the weight of its n-grams, and its words.

    An n-gram weighs the more, the longer it is and the fewer options share it.
    """
    grams = [character_ngrams(option, *_NGRAMS) for option in options]
    counts = Counter(gram for found in grams for gram in found)
    profiles = []
    for option, found in zip(options, grams, strict=True):
        weights = {
            gram: math.log(1 + len(options) / counts[gram]) * len(gram.strip()) ** 2
            for gram in found
        }
        norm = math.sqrt(sum(weights.values())) or 1.0
        normed = {gram: weight / norm for gram, weight in weights.items()}
        profiles.append((normed, content_words(option)))
    return profiles


def dice_for(*parts: object) -> random.Random:
    """A random source that is the same for the same parts on every machine."""
    key = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return random.Random(hashlib.blake2b(key, digest_size=8).digest())  # noqa: S311


def pick(scores: Sequence[float], temperature: float, dice: random.Random) -> int:
    """Index of the best score after Gumbel noise of `temperature`: a sample from the softmax."""
    if temperature > 0:
        scores = [
            score - temperature * math.log(-math.log(dice.random() or 0.5)) for score in scores
        ]
    return max(range(len(scores)), key=scores.__getitem__)


def compose(
    found: Sequence[str],
    scores: Sequence[float],
    max_sentences: int,
    max_words: int,
    temperature: float,
    dice: random.Random,
) -> str:
    """The best of `found` in their own order, within the requested length."""
    left = list(range(len(found)))
    chosen: list[int] = []
    length = 0
    while left and len(chosen) < max_sentences:
        best = left.pop(pick([scores[i] for i in left], temperature, dice))
        if chosen and length + len(found[best].split()) > max_words:
            break
        chosen.append(best)
        length += len(found[best].split())
    text = " ".join(found[i] for i in sorted(chosen))
    shortened = text.split()[:max_words]
    return text if len(text.split()) <= max_words else " ".join(shortened).rstrip(",;:") + "…"
