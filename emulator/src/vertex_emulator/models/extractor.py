"""The learner for summaries: it learns which sentences of the input the outputs were made of."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, vstack
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDRegressor

from vertex_emulator.models.learners import (
    Arrays,
    Example,
    Hyperparameters,
    Learner,
    overlap_loss,
)
from vertex_emulator.models.text import content_words, overlap_f1, sentences, words
from vertex_emulator.models.zero_shot import compose

_MOST_SENTENCES = 40
_RATE = 0.02


@dataclass(frozen=True)
class Extractor:
    """A linear model of how much of the output a sentence holds.

    Attributes:
        weights: Of the eight features of `_shape`, then of hashed words (`8 + 2 ** bits`).
        intercept: Added to every score.
        bits: Words are hashed to `2 ** bits`.
        max_sentences: How many sentences an output has.
        max_words: How many words an output has at most.
    """

    weights: NDArray[np.float32]
    intercept: float
    bits: int
    max_sentences: int
    max_words: int
    kind: str = "extractor"

    def answer(self, text: str, temperature: float, dice: random.Random) -> str:
        """The best sentences of `text`, in their order."""
        found = sentences(text)[:_MOST_SENTENCES]
        if not found:
            return text.strip()
        scores = _features(found, self.bits) @ self.weights + self.intercept
        return compose(
            found, (10 * scores).tolist(), self.max_sentences, self.max_words, temperature, dice
        )

    def loss(self, examples: Sequence[Example]) -> float:
        """Mean of 1 - F1 of the words of the outputs."""
        return overlap_loss(self, examples)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Settings and arrays for saving."""
        return (
            {
                "intercept": self.intercept,
                "bits": self.bits,
                "max_sentences": self.max_sentences,
                "max_words": self.max_words,
            },
            {"weights": self.weights},
        )

    @staticmethod
    def restore(settings: dict[str, Any], arrays: Arrays) -> Extractor:
        """Make the learner again from what `state` returned."""
        return Extractor(weights=arrays["weights"], **settings)


def fit_extractor(
    examples: Sequence[Example],
    hyperparameters: Hyperparameters,
    capacity: float,  # noqa: ARG001 - one form for all trainers
    start: Learner | None,
) -> Iterator[Extractor]:
    """Yield the extractor after each epoch; see `Trainer`."""
    before = start if isinstance(start, Extractor) else None
    bits = before.bits if before else hyperparameters.feature_bits
    rows: list[csr_matrix] = []
    targets: list[float] = []
    for example in examples:
        found = sentences(example.prompt)[:_MOST_SENTENCES]
        if found:
            rows.append(_features(found, bits))
            wanted = words(example.answer)
            targets.extend(overlap_f1(words(sentence), wanted) for sentence in found)
    features, labels = vstack(rows).tocsr(), np.array(targets)
    lengths = [len(sentences(example.answer)) for example in examples]
    max_words = round(float(np.percentile([len(e.answer.split()) for e in examples], 90)) * 1.2)
    model = SGDRegressor(
        learning_rate="constant",
        eta0=_RATE * hyperparameters.learning_rate_multiplier,
        random_state=0,
    )
    order = np.random.default_rng(0)
    for epoch in range(hyperparameters.epochs):
        if epoch == 0 and before:
            model.partial_fit(features[:1], labels[:1])
            model.coef_[:] = before.weights
            model.intercept_[:] = before.intercept
        shuffled = order.permutation(len(labels))
        model.partial_fit(features[shuffled], labels[shuffled])
        yield Extractor(
            model.coef_.astype(np.float32),
            float(model.intercept_[0]),
            bits,
            max(1, round(float(np.mean(lengths)))),
            max(3, max_words),
        )


def _features(found: Sequence[str], bits: int) -> csr_matrix:
    """Shape and hashed words of each sentence (`sentences x (8 + 2 ** bits)`)."""
    hashed = HashingVectorizer(n_features=2**bits).transform(found)
    return hstack([csr_matrix(_shape(found)), hashed]).tocsr()


def _shape(found: Sequence[str]) -> NDArray[np.float64]:
    """Place, length and how central each sentence is (`sentences x 8`)."""
    counts = Counter(word for sentence in found for word in set(content_words(sentence)))
    first = set(content_words(found[0]))
    rows = []
    for place, sentence in enumerate(found):
        terms = set(content_words(sentence))
        size = len(sentence.split())
        rows.append(
            [
                1.0 / (1 + place),
                float(place == 0),
                place / len(found),
                math.log1p(size) / 4,
                min(size, 60) / 60,
                sum(counts[term] for term in terms) / (len(terms) or 1) / len(found),
                len(terms & first) / (len(terms | first) or 1),
                float(any(letter.isdigit() for letter in sentence)),
            ]
        )
    return np.array(rows)
