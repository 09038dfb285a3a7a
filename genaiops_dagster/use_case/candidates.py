"""The `candidates` and `matrix` sections of a use case file: what can answer, and how."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from genaiops_dagster.use_case.section import TUNED, Name, Section, require, wrong_name

PRESETS: Mapping[str, Mapping[str, float | int]] = {
    "deterministic": {"temperature": 0.1, "top_p": 0.0, "top_k": 1},
    "balanced": {"temperature": 0.5, "top_p": 0.5, "top_k": 20},
    "random": {"temperature": 1.0, "top_p": 0.9, "top_k": 40},
}
"""Generation configs by the name that a file may give in their place."""


class GenerationConfig(Section):
    """How a candidate generates; fields as in the Gemini API's `generationConfig`, and its tools.

    In a file it may be the name of a preset, or start from one with `preset: <name>`.
    """

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: PositiveInt | None = None
    max_output_tokens: PositiveInt = Field(
        1024, description="Tokens of the visible answer; a request leaves room for thoughts, too."
    )
    seed: int | None = 0
    stop_sequences: list[str] = Field(default_factory=list)
    thinking_budget: Annotated[int, Field(ge=0)] | None = None
    thinking_level: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH"] | None = Field(
        None,
        exclude_if=lambda level: level is None,  # digests of configs without it stay as they were
        description="How much the model thinks first; default the model's own, and the lowest for "
        "a tuned one.",
    )
    tools: list[Literal["google_search"]] = Field(
        default_factory=list, description="Tools of the model; `google_search` grounds answers."
    )

    @model_validator(mode="after")
    def _thinks_one_way(self) -> GenerationConfig:
        if self.thinking_level is not None and self.thinking_budget is not None:
            raise ValueError("thinking_level and thinking_budget exclude each other")
        return self

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, value: Any) -> Any:
        chosen = {"preset": value} if isinstance(value, str) else value
        if not isinstance(chosen, dict) or "preset" not in chosen:
            return value
        if chosen["preset"] not in PRESETS:
            raise ValueError(f"unknown preset, allowed: {', '.join(PRESETS)}")
        own = {name: field for name, field in chosen.items() if name != "preset"}
        return {**PRESETS[chosen["preset"]], **own}


class Candidate(Section):
    """Something that can answer: a base model or the tuned one, with prompt and config."""

    model: str = Field(min_length=1, description="A base model's name, or `tuned`.")
    generation: GenerationConfig = Field(default_factory=lambda: GenerationConfig())
    prompt: Name | None = Field(
        None, description="One of `prompts`; default the prompt of the use case."
    )
    location: str | None = Field(
        None,
        min_length=1,
        description="Where a base model is asked, such as `global` or `eu`; default where it is "
        "served nearest to GOOGLE_CLOUD_LOCATION.",
    )
    checkpoint: PositiveInt | Literal["best"] | None = Field(
        None,
        description="Epoch after which the tuned model is taken, or `best`: the one that does best "
        "on the validation set; default the last.",
    )

    variant: Name | None = Field(
        None, description="Variant of the sweep whose model this is; default the tuned model."
    )

    @property
    def tuned_model(self) -> tuple[str, ...]:
        """Name of the asset that makes the model of a tuned candidate, in its use case."""
        asset = "best_checkpoint" if self.checkpoint == "best" else "tuned_model"
        return (asset, self.variant) if self.variant else (asset,)

    @model_validator(mode="after")
    def _fits_its_model(self) -> Candidate:
        if self.variant is not None and self.model != TUNED:
            raise ValueError(f"only a candidate with model: {TUNED} is a variant of the sweep")
        if self.checkpoint is not None and self.model != TUNED:
            raise ValueError(f"only a candidate with model: {TUNED} has checkpoints")
        if self.location is not None and self.model == TUNED:
            raise ValueError("a tuned model is asked where it is served, which its endpoint says")
        if self.prompt is not None and self.model == TUNED:
            raise ValueError("a tuned model is asked with the prompt that it was trained with")
        return self


class Matrix(Section):
    """Candidates by combination: every model with every generation config and every prompt.

    A candidate is named for what it combines, such as `flash_balanced_terse`.
    """

    models: dict[Name, str] = Field(min_length=1, description="Models by the name they get.")
    generations: dict[Name, GenerationConfig] = Field(
        default_factory=dict, description="Configs by the name they get; or a list of presets."
    )
    prompts: list[Name] = Field(
        default_factory=list, description="Some of `prompts`; `prompt` is the use case's own."
    )

    @model_validator(mode="before")
    @classmethod
    def _presets_by_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("generations"), list):
            return {**value, "generations": {name: name for name in value["generations"]}}
        return value

    def candidates(self) -> Iterator[tuple[str, Candidate]]:
        """Every combination with its name; a tuned model keeps to the use case's own prompt."""
        configs = self.generations or {"": GenerationConfig()}
        for (name, model), (config_name, config), prompt in itertools.product(
            self.models.items(), configs.items(), self.prompts or [""]
        ):
            own_prompt = prompt in ("", "prompt")
            if model == TUNED and not own_prompt:
                continue
            parts = (name, config_name, "" if own_prompt else prompt)
            yield (
                "_".join(part for part in parts if part),
                Candidate(model=model, generation=config, prompt=None if own_prompt else prompt),
            )


def add_variants(candidates: dict[str, Candidate], variants: Iterable[str]) -> None:
    """Add a candidate for each variant of a sweep, which generates as the other tuned ones do.

    Raises:
        PydanticCustomError: a candidate has a variant's name, or names a variant there is not.
    """
    known = list(variants)
    for name, candidate in candidates.items():
        if candidate.variant is not None:
            require(f"candidates.{name}.variant", candidate.variant, known)
    tuned = (candidate for candidate in candidates.values() if candidate.model == TUNED)
    like = next(tuned, Candidate(model=TUNED))
    for variant in known:
        name, added = f"{TUNED}_{variant}", like.model_copy(update={"variant": variant})
        if candidates.get(name, added) != added:
            raise wrong_name("tuning.sweep", name, ["a name that candidates does not have"])
        candidates[name] = added


def add_candidates(candidates: dict[str, Candidate], matrix: Matrix | None) -> None:
    """Add a matrix's candidates to those that are listed.

    Raises:
        PydanticCustomError: two different ones have the same name.
    """
    for name, candidate in matrix.candidates() if matrix else ():
        if candidates.get(name, candidate) != candidate:
            raise wrong_name("matrix", name, ["a name that candidates does not have"])
        candidates[name] = candidate
