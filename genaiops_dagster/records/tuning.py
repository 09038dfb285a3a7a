"""The tuning asset's record."""

from __future__ import annotations

from typing import Literal

from genaiops_dagster.records.record import Record


class Checkpoint(Record):
    """A model as it was after an epoch, callable by its endpoint."""

    id: str
    epoch: int
    step: int
    endpoint: str


class TunedModel(Record):
    """A model that a tuning job made.

    Attributes:
        fingerprint: sha256 over what decides the model: base, data digests, hyperparameters.
        job: Resource name of the tuning job.
        state: How the job ended; `JOB_STATE_PARTIALLY_SUCCEEDED` has a model, too.
        base_model: What was tuned.
        model: Resource name in the Model Registry, with its version.
        endpoint: Resource name by which the model is called.
        checkpoints: Models after each epoch, oldest first.
        training_digest: Digest of the training set.
        prompt_digest: Digest of the prompt in the training set.
        epochs: Passes over the training set, also where the service chose them; None if unknown.
        examples: Examples that the service counted in the training set, or None.
        steps: Training steps, or None when the service does not say.
        billable_tokens: Tokens trained on, all epochs together, which are billed; None if unknown.
        dropped_count: How many examples the service left out.
        dropped_examples: Those of them that it named, by reason.
        cost_usd: Price in US dollars, or None when no price is known.
        emulated: Whether the emulator made it.
    """

    fingerprint: str
    job: str
    state: str
    base_model: str
    model: str
    endpoint: str
    checkpoints: list[Checkpoint]
    training_digest: str
    prompt_digest: str
    epochs: int | None
    examples: int | None
    steps: int | None
    billable_tokens: int | None
    dropped_count: int
    dropped_examples: dict[str, int]
    cost_usd: float | None
    emulated: bool

    def endpoint_after(self, epoch: int | Literal["best"] | None) -> str:
        """Where the model as it was after an epoch is called.

        Args:
            epoch: None is the end; `best` is the end, too, of a record whose endpoint was chosen.

        Raises:
            ValueError: there is no checkpoint of that epoch.
        """
        if epoch is None or epoch == "best":
            return self.endpoint
        for checkpoint in self.checkpoints:
            if checkpoint.epoch == epoch:
                return checkpoint.endpoint
        raise ValueError(
            f"{self.model} has no checkpoint after epoch {epoch}; it has those after: "
            f"{', '.join(str(checkpoint.epoch) for checkpoint in self.checkpoints) or 'none'}"
        )


def tuned_model_path(variant: str | None) -> tuple[str, ...]:
    """Name of a tuned model's asset in its use case; `variant` None for the one without a sweep."""
    return ("tuned_model", variant) if variant else ("tuned_model",)
