"""What all learners of tuned models share: their examples, settings and form."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from vertex_emulator.models.text import overlap_f1, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays: TypeAlias = "dict[str, NDArray[Any]]"
_FEATURE_BITS = {1: 8, 2: 10, 4: 12, 8: 14, 16: 18, 32: 18}


@dataclass(frozen=True)
class Example:
    """One tuning example: all text before the model's turn, and the model's turn."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of a tuning job, as the API names them."""

    epochs: int
    learning_rate_multiplier: float
    adapter_size: int

    @property
    def feature_bits(self) -> int:
        """A learner sees `2 ** feature_bits` hashed features: the larger the adapter, the more."""
        return _FEATURE_BITS[self.adapter_size]


class Learner(Protocol):
    """A trained model, without the prompt frame and the name around it."""

    @property
    def kind(self) -> str:
        """`classifier`, `neighbours` or `extractor`."""

    def answer(self, text: str, temperature: float, dice: random.Random) -> str:
        """Answer to `text`, the part of the prompt that is its own."""

    def loss(self, examples: Sequence[Example]) -> float:
        """Mean loss over `examples`, lower is better; comparable within one kind only."""

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Everything needed to make it again: JSON-able settings and arrays."""


def overlap_loss(learner: Learner, examples: Sequence[Example]) -> float:
    """Mean of 1 - F1 of the words that `learner` answers, sure of itself, to `examples`."""
    dice = random.Random(0)  # noqa: S311
    return 1 - statistics.fmean(
        overlap_f1(words(learner.answer(example.prompt, 0.0, dice)), words(example.answer))
        for example in examples
    )


# Trains one kind of learner and yields it after each epoch. Arguments: examples with the frame of
# their prompts stripped, hyperparameters, capacity of the base model (0 to 1), and a learner of the
# same kind to go on from (continuous tuning) or None.
Trainer = Callable[[Sequence[Example], Hyperparameters, float, Learner | None], Iterator[Learner]]
