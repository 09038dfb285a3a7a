"""Prompt parity: production asks with the prompt that the champion was tuned and judged with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import ValidationError

from genaiops_dagster.prompts.parity import PromptParityError
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.promotion import Champion
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import find_object
from genaiops_dagster.records.tuning import TunedModel

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore


def prompt_of(champion: Champion, store: ObjectStore | None = None) -> PromptVersion:
    """The prompt that the champion was evaluated with.

    Args:
        champion: Says the prompt, and the digest that it had when it was judged.
        store: Where the records of tuned models are, to compare with the prompt of the champion's
            training data, too; not compared if None.

    Raises:
        PromptParityError: the prompt does not have the digest that was judged, or that the tuned
            model's training data was made with.
        NewerRecordError: a later release recorded a tuned model, so that it cannot be compared.
    """
    prompt = version(champion.prompt)
    if prompt.digest != champion.prompt_digest:
        raise PromptParityError(
            f"{champion.use_case}: the prompt of champion {champion.number} was changed after its "
            f"promotion (digest {prompt.digest[:12]}, evaluated with "
            f"{champion.prompt_digest[:12]}); promote or roll back again"
        )
    for tuned in _models(champion, store) if store else ():
        if tuned.prompt_digest != prompt.digest:
            raise PromptParityError(
                f"{champion.use_case}: champion {champion.number} ({champion.model}) was tuned "
                f"with the prompt {tuned.prompt_digest[:12]} and would be asked with "
                f"{prompt.digest[:12]}; tune it again, or roll back"
            )
    return prompt


def _models(champion: Champion, store: ObjectStore) -> Iterator[TunedModel]:
    """Records of the model that the champion is; it has none any more after another tuning."""
    for asset in ("tuned_model", "best_checkpoint"):
        for found in store.list(Layout(champion.use_case).records(asset)):
            try:
                tuned = find_object(store, found.name, TunedModel)
            except ValidationError:
                continue
            if tuned is None:
                continue
            if champion.model in (tuned.endpoint, *(c.endpoint for c in tuned.checkpoints)):
                yield tuned
