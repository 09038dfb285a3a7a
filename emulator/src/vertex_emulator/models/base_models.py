"""The base models that the emulator knows, and how capable each one is.

The names are those of https://cloud.google.com/vertex-ai/generative-ai/docs/models. The models
behind them are not Gemini: `capacity` orders them as the real ones are ordered by size, so that a
model that stands for a larger one measurably does better.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BaseModel:
    """One base model.

    Attributes:
        name: Name as in `publishers/google/models/<name>`.
        capacity: 0 for the least capable to 1 for the most capable.
        tunable: Whether supervised tuning takes it as its base.
        preference_tunable: Whether preference tuning takes it as its base.
    """

    name: str
    capacity: float
    tunable: bool = False
    preference_tunable: bool = False

    @property
    def version(self) -> str:
        """The model version that responses name."""
        return f"{self.name}-emulated"


_MODELS = (
    BaseModel("gemini-3.8-flash", 0.9),
    BaseModel("gemini-3.6-flash", 0.75),
    BaseModel("gemini-3.5-flash", 0.65, tunable=True),
    BaseModel("gemini-3.5-flash-lite", 0.35, tunable=True),
    BaseModel("gemini-3.1-pro-preview", 1.0),
    BaseModel("gemini-2.5-pro", 0.8, tunable=True),
    BaseModel("gemini-2.5-flash", 0.5, tunable=True, preference_tunable=True),
    BaseModel("gemini-2.5-flash-lite", 0.2, tunable=True, preference_tunable=True),
)

BASE_MODELS = {model.name: model for model in _MODELS}

EMBEDDING_DIMENSIONS = {
    "gemini-embedding-001": 3072,
    "text-embedding-005": 768,
    "text-multilingual-embedding-002": 768,
}
