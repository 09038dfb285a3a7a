"""The interface of a model in the emulator: it answers a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Turn:
    """One message of a conversation, its text parts joined; `role` is `user` or `model`."""

    role: str
    text: str


class LanguageModel(Protocol):
    """A base or tuned model of the emulator."""

    @property
    def version(self) -> str:
        """`modelVersion` of a response; always ends in `-emulated`."""

    def answer(
        self, system: str, turns: Sequence[Turn], *, temperature: float = 0.0, seed: int = 0
    ) -> str:
        """The whole answer text; the same arguments always give the same text.

        Args:
            system: Text of the system instruction, empty when there is none.
            turns: The conversation, oldest first; the last turn is the user's.
            temperature: 0 for the likeliest answer, up to 2 for the most random.
            seed: Picks one of the random answers when `temperature` is above 0.
        """
