"""Tuned models: training them on examples, keeping them in files, answering with them.

This module imports scikit-learn, which takes more than a second: import it inside functions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vertex_emulator.models.base_models import BASE_MODELS
from vertex_emulator.models.classifier import Classifier, fit_classifier
from vertex_emulator.models.extractor import Extractor, fit_extractor
from vertex_emulator.models.language_model import Turn
from vertex_emulator.models.learners import Example, Hyperparameters, Learner, Trainer
from vertex_emulator.models.neighbours import Neighbours, fit_neighbours
from vertex_emulator.models.prompt_frame import PromptFrame, conversation
from vertex_emulator.models.text import content_words, coverage, sentences, words
from vertex_emulator.models.zero_shot import dice_for

_KINDS: dict[str, type[Classifier] | type[Neighbours] | type[Extractor]] = {
    "classifier": Classifier,
    "neighbours": Neighbours,
    "extractor": Extractor,
}
_TRAINERS: dict[str, Trainer] = {
    "classifier": fit_classifier,
    "neighbours": fit_neighbours,
    "extractor": fit_extractor,
}


@dataclass(frozen=True)
class TunedModel:
    """A base model's name, the frame of the prompts it was tuned on, and what it learned."""

    base: str
    frame: PromptFrame
    learner: Learner

    @property
    def version(self) -> str:
        """What `modelVersion` says: the base model, as for Google's tuned models."""
        return BASE_MODELS[self.base].version

    def answer(
        self, system: str, turns: Sequence[Turn], *, temperature: float = 0.0, seed: int = 0
    ) -> str:
        """Answer from what was learned; see `LanguageModel.answer`."""
        prompt = conversation(system, turns)
        dice = dice_for(self.base, prompt, seed if temperature > 0 else 0)
        return self.learner.answer(self.frame.own_part(prompt), temperature, dice)

    def loss(self, examples: Sequence[Example]) -> float:
        """Mean loss over examples with whole prompts."""
        return self.learner.loss(
            [replace(example, prompt=self.frame.own_part(example.prompt)) for example in examples]
        )


def train(
    examples: Sequence[Example],
    hyperparameters: Hyperparameters,
    base: str,
    start: TunedModel | None = None,
) -> Iterator[TunedModel]:
    """Yield the tuned model after each epoch; the same arguments give the same models.

    Args:
        examples: At least one example, prompts whole.
        hyperparameters: Of the tuning job.
        base: Name of the base model.
        start: A tuned model to go on from; one of another kind counts as none.
    """
    frame = PromptFrame.learn([example.prompt for example in examples])
    if start:
        frame = frame.joined(start.frame)
    stripped = [replace(example, prompt=frame.own_part(example.prompt)) for example in examples]
    kind = choose_kind(stripped)
    before = start.learner if start and start.learner.kind == kind else None
    for learner in _TRAINERS[kind](stripped, hyperparameters, BASE_MODELS[base].capacity, before):
        yield TunedModel(base, frame, learner)


def choose_kind(examples: Sequence[Example]) -> str:
    """Which learner suits the examples: do answers repeat, or are they made of the input?"""
    if len({example.answer for example in examples}) <= max(2, len(examples) // 2):
        return "classifier"
    shares, ratios, lengths = [], [], []
    for example in examples[:500]:
        answer = content_words(example.answer)
        shares.append(coverage(answer, content_words(example.prompt)))
        ratios.append(len(words(example.answer)) / (len(words(example.prompt)) or 1))
        lengths.append(len(sentences(example.prompt)))
    if np.mean(shares) >= 0.7 and np.mean(ratios) <= 0.6 and np.mean(lengths) >= 3:
        return "extractor"
    return "neighbours"


def save(model: TunedModel, path: Path) -> None:
    """Write `model` to `path` in one step: a reader sees all of it or nothing."""
    settings, arrays = model.learner.state()
    header: dict[str, Any] = {
        "base": model.base,
        "lines": sorted(model.frame.lines),
        "prefix": model.frame.prefix,
        "suffix": model.frame.suffix,
        "kind": model.learner.kind,
        "settings": settings,
    }
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        contents: dict[str, Any] = {"header": np.array(json.dumps(header)), **arrays}
        np.savez_compressed(file, **contents)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load(path: Path) -> TunedModel:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(str(arrays.pop("header")))
    frame = PromptFrame(frozenset(header["lines"]), header["prefix"], header["suffix"])
    learner = _KINDS[header["kind"]].restore(header["settings"], arrays)
    return TunedModel(header["base"], frame, learner)
