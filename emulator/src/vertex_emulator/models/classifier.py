"""The learner for outputs that repeat: logistic regression over hashed character n-grams."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier

from vertex_emulator.models.learners import (
    Arrays,
    Example,
    Hyperparameters,
    Learner,
)
from vertex_emulator.models.zero_shot import pick

_READ_CHARACTERS = 3000
_MOST_WEIGHTS = 16_000_000
_RATE = 4.0
_REGULARIZATION = 1e-5


@dataclass(frozen=True)
class Classifier:
    """Weights of each class for the hashed features that training saw.

    Attributes:
        classes: The answers it can give.
        columns: The hashed features with weights, ascending (`F`).
        weights: One row per feature, one column per class (`F x C`).
        intercepts: One per class (`C`).
        bits: Features are hashed to `2 ** bits`.
        ngrams: Lengths of the shortest and the longest n-gram.
    """

    classes: tuple[str, ...]
    columns: NDArray[np.int32]
    weights: NDArray[np.float32]
    intercepts: NDArray[np.float32]
    bits: int
    ngrams: tuple[int, int]
    kind: str = "classifier"

    def answer(self, text: str, temperature: float, dice: random.Random) -> str:
        """The likeliest class, or one sampled with `temperature`."""
        scores = self.scores([text])[0]
        if temperature <= 0:
            return self.classes[int(scores.argmax())]
        return self.classes[pick(scores.tolist(), temperature, dice)]

    def scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Log-odds of each class for each text (`texts x C`)."""
        seen = _vectorizer(self.bits, self.ngrams).transform(
            [text[:_READ_CHARACTERS] for text in texts]
        )
        places = np.searchsorted(self.columns, seen.indices)
        places[places == len(self.columns)] = 0
        known = self.columns[places] == seen.indices
        data = np.where(known, seen.data, 0.0).astype(np.float32)
        narrow = csr_matrix((data, places, seen.indptr), shape=(len(texts), len(self.columns)))
        scores: NDArray[np.float32] = narrow @ self.weights + self.intercepts
        return scores

    def loss(self, examples: Sequence[Example]) -> float:
        """Mean negative log likelihood; an answer that is not a class counts as the unlikeliest."""
        scores = self.scores([example.prompt for example in examples]).astype(np.float64)
        scores -= scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        place = {name: index for index, name in enumerate(self.classes)}
        return -float(
            np.mean(
                [
                    row[place[example.answer]] if example.answer in place else row.min()
                    for row, example in zip(logs, examples, strict=True)
                ]
            )
        )

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Settings and arrays for saving; half precision is enough to answer."""
        return (
            {"classes": self.classes, "bits": self.bits, "ngrams": self.ngrams},
            {
                "columns": self.columns,
                "weights": self.weights.astype(np.float16),
                "intercepts": self.intercepts,
            },
        )

    @staticmethod
    def restore(settings: dict[str, Any], arrays: Arrays) -> Classifier:
        """Make the learner again from what `state` returned."""
        return Classifier(
            tuple(settings["classes"]),
            arrays["columns"],
            arrays["weights"].astype(np.float32),
            arrays["intercepts"],
            settings["bits"],
            tuple(settings["ngrams"]),
        )


def fit_classifier(
    examples: Sequence[Example],
    hyperparameters: Hyperparameters,
    capacity: float,
    start: Learner | None,
) -> Iterator[Classifier]:
    """Yield the classifier after each epoch; see `Trainer`."""
    before = start if isinstance(start, Classifier) else None
    ngrams = before.ngrams if before else _ngrams(capacity)
    known = before.classes if before else ()
    classes = tuple(sorted({*known, *(example.answer for example in examples)}))
    labels = np.array([classes.index(example.answer) for example in examples])
    texts = [example.prompt[:_READ_CHARACTERS] for example in examples]
    bits = before.bits if before else hyperparameters.feature_bits
    features = _vectorizer(bits, ngrams).transform(texts)
    columns = np.unique(features.indices)
    if before:
        columns = np.union1d(columns, before.columns)
    while not before and bits > 8 and len(columns) * len(classes) > _MOST_WEIGHTS:
        bits -= 1
        features = _vectorizer(bits, ngrams).transform(texts)
        columns = np.unique(features.indices)
    features = csr_matrix(
        (features.data, np.searchsorted(columns, features.indices), features.indptr),
        shape=(len(texts), len(columns)),
    )
    if len(classes) == 1:
        only = np.zeros((len(columns), 1), np.float32)
        for _ in range(hyperparameters.epochs):
            yield Classifier(
                classes, columns.astype(np.int32), only, np.zeros(1, np.float32), bits, ngrams
            )
        return
    model = SGDClassifier(
        loss="log_loss",
        alpha=_REGULARIZATION,
        learning_rate="constant",
        eta0=_RATE * hyperparameters.learning_rate_multiplier,
        random_state=0,
    )
    order = np.random.default_rng(0)
    for epoch in range(hyperparameters.epochs):
        shuffled = order.permutation(len(labels))
        if epoch == 0 and before:
            model.partial_fit(features[:1], labels[:1], classes=np.arange(len(classes)))
            _warm_start(model, before, classes, columns)
        model.partial_fit(features[shuffled], labels[shuffled], classes=np.arange(len(classes)))
        weights, intercepts = model.coef_, model.intercept_
        if len(classes) == 2:  # one row stands for both classes
            weights, intercepts = np.vstack([-weights, weights]), np.r_[-intercepts, intercepts]
        yield Classifier(
            classes,
            columns.astype(np.int32),
            np.ascontiguousarray(weights.T, dtype=np.float32),
            intercepts.astype(np.float32),
            bits,
            ngrams,
        )


def _warm_start(
    model: SGDClassifier,
    before: Classifier,
    classes: tuple[str, ...],
    columns: NDArray[np.int32],
) -> None:
    """Put the weights of `before` where the wider `model` has its features and classes."""
    weights = np.zeros((len(columns), len(classes)))
    intercepts = np.full(len(classes), float(before.intercepts.min()))
    rows = np.searchsorted(columns, before.columns)
    places = np.array([classes.index(name) for name in before.classes])
    weights[np.ix_(rows, places)] = before.weights
    intercepts[places] = before.intercepts
    if len(classes) == 2:
        model.coef_[:] = weights.T[1:]
        model.intercept_[:] = intercepts[1:]
    else:
        model.coef_[:] = weights.T
        model.intercept_[:] = intercepts


def _ngrams(capacity: float) -> tuple[int, int]:
    """A larger model reads longer pieces of words, which say more."""
    return (2, 4) if capacity < 0.4 else (3, 5) if capacity < 0.7 else (3, 6)


def _vectorizer(bits: int, ngrams: tuple[int, int]) -> HashingVectorizer:
    return HashingVectorizer(analyzer="char_wb", ngram_range=ngrams, n_features=2**bits)
