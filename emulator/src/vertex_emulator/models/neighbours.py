"""The learner for free answers: the answer to the most similar question it was tuned on."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import HashingVectorizer

from vertex_emulator.models.learners import (
    Arrays,
    Example,
    Hyperparameters,
    Learner,
    overlap_loss,
)
from vertex_emulator.models.zero_shot import pick

_READ_CHARACTERS = 4000
_SHARPNESS = 20.0


@dataclass(frozen=True)
class Neighbours:
    """Remembered questions as TF-IDF rows, and their answers.

    Attributes:
        answers: What to answer, one per remembered question (`N`).
        index: Rarity-weighted hashed words, one row per word, one column per question (`F x N`).
        rarity: Inverse document frequency of each hashed word (`F`).
        bits: Words are hashed to `2 ** bits`.
    """

    answers: tuple[str, ...]
    index: csr_matrix
    rarity: NDArray[np.float64]
    bits: int
    kind: str = "neighbours"

    def answer(self, text: str, temperature: float, dice: random.Random) -> str:
        """The answer to the most similar remembered question."""
        scores = self.scores(text)
        if temperature <= 0:
            return self.answers[int(scores.argmax())]
        return self.answers[pick((_SHARPNESS * scores).tolist(), temperature, dice)]

    def scores(self, text: str) -> NDArray[np.float64]:
        """Cosine similarity of `text` to each remembered question (`N`)."""
        seen = _vectorizer(self.bits).transform([text[:_READ_CHARACTERS]])
        weights = seen.data * self.rarity[seen.indices]
        norm = math.sqrt(float(weights @ weights)) or 1.0
        scores = np.zeros(len(self.answers))
        starts, rows, values = self.index.indptr, self.index.indices, self.index.data
        for word, weight in zip(seen.indices, weights, strict=True):
            span = slice(starts[word], starts[word + 1])
            scores[rows[span]] += weight * values[span]
        result: NDArray[np.float64] = scores / norm
        return result

    def loss(self, examples: Sequence[Example]) -> float:
        """Mean of 1 - F1 of the words of the answers."""
        return overlap_loss(self, examples)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Settings and arrays for saving."""
        return (
            {"bits": self.bits, "answers": self.answers},
            {
                "data": self.index.data,
                "indices": self.index.indices,
                "indptr": self.index.indptr,
                "rarity": self.rarity,
            },
        )

    @staticmethod
    def restore(settings: dict[str, Any], arrays: Arrays) -> Neighbours:
        """Make the learner again from what `state` returned."""
        bits = settings["bits"]
        index = csr_matrix(
            (arrays["data"], arrays["indices"], arrays["indptr"]),
            shape=(2**bits, len(settings["answers"])),
        )
        return Neighbours(tuple(settings["answers"]), index, arrays["rarity"], bits)


def fit_neighbours(
    examples: Sequence[Example],
    hyperparameters: Hyperparameters,
    capacity: float,
    start: Learner | None,
) -> Iterator[Neighbours]:
    """Yield the memory after each epoch; each epoch remembers a part of the rest."""
    before = start if isinstance(start, Neighbours) else None
    bits = before.bits if before else hyperparameters.feature_bits
    counts = _vectorizer(bits).transform(
        [example.prompt[:_READ_CHARACTERS] for example in examples]
    )
    counts.data = 1 + np.log(counts.data)
    documents = np.bincount(counts.indices, minlength=2**bits)
    rarity = before.rarity if before else np.log((1 + len(examples)) / (1 + documents)) + 1
    weighted = counts.multiply(rarity[np.newaxis, :]).tocsr()
    norms = np.sqrt(weighted.multiply(weighted).sum(axis=1)).A1
    norms[norms == 0] = 1.0
    weighted = weighted.multiply(1 / norms[:, np.newaxis]).tocsr().astype(np.float32)
    order = np.random.default_rng(0).permutation(len(examples))
    speed = (0.6 + capacity) * hyperparameters.learning_rate_multiplier
    for epoch in range(1, hyperparameters.epochs + 1):
        remembered = max(1, round(len(examples) * (1 - math.exp(-speed * epoch))))
        chosen = np.sort(order[:remembered])
        answers = tuple(examples[place].answer for place in chosen)
        index = weighted[chosen].T.tocsr()
        if before:
            answers = before.answers + answers
            index = hstack([before.index, index]).tocsr()
        yield Neighbours(answers, index, rarity, bits)


def _vectorizer(bits: int) -> HashingVectorizer:
    return HashingVectorizer(
        token_pattern=r"\w+",  # noqa: S106
        norm=None,
        alternate_sign=False,
        n_features=2**bits,
    )
