"""The `tuning` section of a use case file: which model is tuned, how, and how long it may take."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from genaiops_dagster.use_case.section import Section

AdapterSize = Literal[1, 2, 4, 8, 16]
Multiplier = Annotated[float, Field(gt=0)]


class Sweep(Section):
    """More tuned models, one for each combination of values; each is a candidate `tuned_...`."""

    epochs: list[PositiveInt] = Field(default_factory=list)
    learning_rate_multiplier: list[Multiplier] = Field(default_factory=list)
    adapter_size: list[AdapterSize] = Field(default_factory=list)
    maximum_usd: Annotated[float, Field(gt=0)] = Field(
        description="For all jobs of the sweep together; a sweep that may cost more is not begun."
    )

    @model_validator(mode="after")
    def _has_values(self) -> Sweep:
        if not (self.epochs or self.learning_rate_multiplier or self.adapter_size):
            raise ValueError("give values of epochs, learning_rate_multiplier or adapter_size")
        return self

    def variants(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every combination: its name, such as `epochs_2_adapter_4`, and its hyperparameters."""
        values: dict[tuple[str, str], list[Any]] = {
            ("epochs", "epochs"): self.epochs,
            ("rate", "learning_rate_multiplier"): self.learning_rate_multiplier,
            ("adapter", "adapter_size"): self.adapter_size,
        }
        given = {names: options for names, options in values.items() if options}
        for combination in itertools.product(*given.values()):
            chosen = dict(zip(given, combination, strict=True))
            name = "_".join(f"{short}_{value:g}" for (short, _), value in chosen.items())
            yield (
                name.replace(".", "_").replace("-", "_").replace("+", ""),
                {field: value for (_, field), value in chosen.items()},
            )


class Tuning(Section):
    """Tuning of one base model."""

    base_model: str = Field(min_length=1, description="Name of the model to tune.")
    location: str | None = Field(
        None,
        min_length=1,
        description="Region of tuning, registry and evaluation service; default "
        "GOOGLE_CLOUD_LOCATION, or the nearest one in which the model is tuned.",
    )
    method: Literal["supervised", "preference", "distillation"] = Field(
        "supervised", description="What the service learns from."
    )
    data: str | None = Field(
        None,
        pattern=r"^gs://[^/]+/.+\.jsonl$",
        description="JSONL in the form of the method, in place of the training set.",
    )
    continue_from: str | None = Field(
        None,
        pattern=r"^(champion|projects/[^/]+/locations/[^/]+/models/[^/]+)$",
        description="Tuned model to go on from: `champion`, or a model of the registry.",
    )
    epochs: PositiveInt | None = Field(None, description="Passes over the data; service default.")
    learning_rate_multiplier: Multiplier | None = None
    adapter_size: AdapterSize | None = None
    beta: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="How close preference tuning keeps to its base; service default."
    )
    teacher_model: str | None = Field(None, description="Model that distillation learns from.")
    sweep: Sweep | None = Field(None, description="More jobs, with other hyperparameters.")
    checkpoint_rows: PositiveInt = Field(
        200, description="Validation rows at most by which `checkpoint: best` is chosen."
    )
    wait_seconds: PositiveInt = Field(
        7200, description="How long a step waits for the job before it ends as still running."
    )
    claim_seconds: Annotated[float, Field(gt=0)] = Field(
        60.0,
        description="How long the right to create the job is kept for one that shows no job.",
    )
    deadline_seconds: PositiveInt | None = Field(
        None, description="A job that has not ended this long after it was created is cancelled."
    )
    cancel_with_run: bool = Field(
        False, description="Whether cancelling the Dagster run cancels the job, too."
    )
    maximum_dropped_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Largest share of examples that the service may leave out."
    )

    def variants(self) -> list[str | None]:
        """None for the tuned model itself, then the name of each variant of the sweep."""
        return [None, *(name for name, _ in self.sweep.variants())] if self.sweep else [None]

    def variant(self, name: str | None) -> Tuning:
        """The section with the hyperparameters of a variant of the sweep; as it stands if None."""
        if name is None or self.sweep is None:
            return self
        return self.model_copy(update=dict(self.sweep.variants())[name])

    @model_validator(mode="after")
    def _fits_its_method(self) -> Tuning:
        if self.method == "preference" and self.data is None:
            raise ValueError(
                "preference tuning needs data: a gs:// JSONL of prompts with two completions each"
            )
        if self.beta is not None and self.method != "preference":
            raise ValueError("only method: preference has a beta")
        if (self.teacher_model is not None) != (self.method == "distillation"):
            raise ValueError("method: distillation and teacher_model go together")
        return self
