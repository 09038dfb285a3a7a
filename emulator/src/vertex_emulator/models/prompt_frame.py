"""Prompts as tuned models see them: one text, without what all prompts of a data set share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vertex_emulator.models.language_model import Turn

_COMMON_SHARE = 0.9
# The frame ends where a sentence or a label ends, so that it never takes words of the text itself.
_END = re.compile(r"[.?!:]\s+|\n")


def conversation(system: str, turns: Sequence[Turn]) -> str:
    """System instruction and turns as the one text that tuned models learn from and answer to."""
    return "\n".join(text for text in (system, *(turn.text for turn in turns)) if text)


@dataclass(frozen=True)
class PromptFrame:
    """The fixed part of the prompts that a model was tuned on.

    A prompt of another form keeps its foreign lines, which then blur the answer: as with a real
    tuned model, serving must use the prompt of training.

    Attributes:
        lines: Lines that nearly every prompt has.
        prefix: What the rest of every prompt begins with.
        suffix: What the rest of every prompt ends with.
    """

    lines: frozenset[str] = frozenset()
    prefix: str = ""
    suffix: str = ""

    @staticmethod
    def learn(prompts: Sequence[str]) -> PromptFrame:
        """Find the frame of `prompts`; a single prompt has none."""
        distinct = sorted(set(prompts))
        if len(distinct) < 2:
            return PromptFrame()
        counts = Counter(line for prompt in distinct for line in set(prompt.splitlines()))
        lines = frozenset(
            line for line, count in counts.items() if count >= _COMMON_SHARE * len(distinct)
        )
        rests = [PromptFrame(lines).own_part(prompt) for prompt in distinct]
        prefix = _common_prefix(rests)
        prefix = prefix[: max((end.end() for end in _END.finditer(prefix)), default=0)]
        suffix = _common_prefix([rest[len(prefix) :][::-1] for rest in rests])[::-1]
        end = _END.search(suffix)
        return PromptFrame(lines, prefix, suffix[end.end() :] if end else "")

    def joined(self, earlier: PromptFrame) -> PromptFrame:
        """This frame for a model that was tuned with `earlier` before: both kinds of lines go."""
        return PromptFrame(self.lines | earlier.lines, self.prefix, self.suffix)

    def own_part(self, prompt: str) -> str:
        """The part of `prompt` that is its own."""
        rest = "\n".join(line for line in prompt.splitlines() if line not in self.lines)
        return rest.removeprefix(self.prefix).removesuffix(self.suffix).strip()


def _common_prefix(texts: Sequence[str]) -> str:
    """The longest beginning that all texts share: that of the first and the last in order."""
    first, last = min(texts), max(texts)
    same = (a == b for a, b in zip(first, last, strict=False))
    return first[: next((place for place, equal in enumerate(same) if not equal), len(first))]
