"""The result of a finished tuning job, read from the service's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genaiops_dagster.budget.pricing import PriceList, tuning_cost
from genaiops_dagster.records.tuning import Checkpoint, TunedModel
from genaiops_dagster.tuning.recipe import TuningRecipe
from genaiops_dagster.tuning.states import (
    Phase,
    TuningJobError,
    console_url,
    failure,
    phase,
    state_name,
)
from genaiops_dagster.tuning.statistics import statistics_of

if TYPE_CHECKING:
    from google.genai import types


def tuned_model_of(
    job: types.TuningJob,
    recipe: TuningRecipe,
    *,
    prices: PriceList,
    emulated: bool,
    cancelled_because: str | None = None,
) -> TunedModel:
    """The model that a job made which has ended.

    Raises:
        TuningJobError: the job failed, or says that it ended well and names no model or endpoint.
    """
    if phase(job) not in (Phase.DONE, Phase.PARTIAL):
        raise failure(job, cancelled_because)
    made = job.tuned_model
    if made is None or not made.model or not made.endpoint or not job.name:
        raise TuningJobError(
            f"tuning job {job.name} ended as {state_name(job)} but names no model and endpoint\n"
            f"{console_url(job)}"
        )
    data = statistics_of(job)
    tokens = data.billed_tokens
    return TunedModel(
        fingerprint=recipe.fingerprint,
        job=job.name,
        state=state_name(job),
        base_model=recipe.base_model,
        model=made.model,
        endpoint=made.endpoint,
        checkpoints=_checkpoints(made),
        training_digest=recipe.training_digest,
        prompt_digest=recipe.prompt_digest,
        epochs=data.epochs,
        examples=data.examples,
        steps=data.steps,
        billable_tokens=tokens,
        dropped_count=data.dropped_count,
        dropped_examples=data.dropped,
        cost_usd=(
            None
            if tokens is None
            else tuning_cost(recipe.base_model, tokens, method=recipe.method, prices=prices)
        ),
        emulated=emulated,
    )


def _checkpoints(made: types.TunedModel) -> list[Checkpoint]:
    """Checkpoints that can be called, oldest first."""
    found = [
        Checkpoint(
            id=checkpoint.checkpoint_id or "",
            epoch=checkpoint.epoch or 0,
            step=checkpoint.step or 0,
            endpoint=checkpoint.endpoint,
        )
        for checkpoint in made.checkpoints or []
        if checkpoint.endpoint
    ]
    return sorted(found, key=lambda checkpoint: (checkpoint.epoch, checkpoint.step))
