"""The base models that the emulator serves, what is known of them, and how capable each one is.

What is known, such as where a model is served and tuned, is in `models.toml`, with its sources. The
models behind the names are not Gemini: `capacity` orders them as the real ones are ordered by size,
so that a model that stands for a larger one measurably does better.
"""

from __future__ import annotations

import importlib.resources
import tomllib
from dataclasses import dataclass
from typing import Any

CACHE_TOKENS = 4096
"""The least that a cache may hold of a model for which nothing else is published."""


@dataclass(frozen=True)
class BaseModel:
    """One base model.

    Attributes:
        name: Name as in `publishers/google/models/<name>`.
        capacity: 0 for the least capable to 1 for the most capable.
        locations: Where it is served.
        refuses_model_turn: Whether a conversation may not end with a turn of the model.
        thinking_levels: Levels that it takes, from the least.
        thinking_default: The level at which it thinks unless told otherwise.
        ignores_sampling: Whether temperature, top-p and top-k have no effect.
        cache_tokens: The least that a cache may hold.
        tuned_in: Regions in which it is tuned.
        tuning_methods: How it may be tuned: `supervised`, `preference`.
    """

    name: str
    capacity: float
    locations: tuple[str, ...] = ()
    refuses_model_turn: bool = False
    thinking_levels: tuple[str, ...] = ()
    thinking_default: str = ""
    ignores_sampling: bool = False
    cache_tokens: int = CACHE_TOKENS
    tuned_in: tuple[str, ...] = ()
    tuning_methods: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The model version that responses name."""
        return f"{self.name}-emulated"

    @property
    def tunable(self) -> bool:
        """Whether supervised tuning takes it as its base."""
        return "supervised" in self.tuning_methods

    @property
    def preference_tunable(self) -> bool:
        """Whether preference tuning takes it as its base."""
        return "preference" in self.tuning_methods


_CAPACITIES = {
    "gemini-4-argon": 0.95,
    "gemini-3.8-flash": 0.9,
    "gemini-3.7-flash": 0.8,
    "gemini-3.5-flash": 0.65,
    "gemini-3.5-flash-lite": 0.35,
    "gemini-3.1-flash-lite": 0.2,
    "gemini-3.1-pro-preview": 1.0,
}


def _base_models() -> dict[str, BaseModel]:
    file = importlib.resources.files("vertex_emulator.models") / "models.toml"
    known: list[dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))["model"]
    facts = {entry["name"]: entry for entry in known}
    return {
        name: BaseModel(
            name,
            capacity,
            locations=tuple(facts[name]["locations"]),
            refuses_model_turn=facts[name]["model_turn"] == "refused",
            thinking_levels=tuple(facts[name].get("thinking_levels", ())),
            thinking_default=facts[name].get(
                "thinking_default", facts[name].get("thinking_levels", [""])[-1]
            ),
            ignores_sampling=facts[name].get("sampling") == "ignored",
            cache_tokens=facts[name].get("cache_tokens", CACHE_TOKENS),
            tuned_in=tuple(facts[name].get("tuned_in", ())),
            tuning_methods=tuple(facts[name].get("tuning_methods", ())),
        )
        for name, capacity in _CAPACITIES.items()
    }


BASE_MODELS = _base_models()


def base_of(version: str) -> BaseModel | None:
    """The base model of a model version, as a response names it; None for any other."""
    return BASE_MODELS.get(version.removesuffix("-emulated"))


EMBEDDING_DIMENSIONS = {
    "gemini-embedding-001": 3072,
    "text-embedding-005": 768,
    "text-multilingual-embedding-002": 768,
}
