"""Prompt parity: training, evaluation and serving use one prompt."""

from __future__ import annotations

from genaiops_dagster.records.prompts import PromptVersion


class PromptParityError(RuntimeError):
    """A model would be asked with another prompt than it was tuned or evaluated with."""


def require_parity(prompt: PromptVersion, **digests: str) -> None:
    """Check that everything was made with `prompt`.

    Args:
        prompt: The current prompt.
        digests: Prompt digest by asset name.

    Raises:
        PromptParityError: something was made with another prompt.
    """
    others = [name for name, digest in digests.items() if digest != prompt.digest]
    if others:
        raise PromptParityError(
            f"{', '.join(others)} was made with another prompt than the current one "
            f"({prompt.digest[:12]}); materialize {', '.join(others)} again"
        )
