"""The sections of a use case file on its data: `source`, `columns`, `curation` and `split`."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from genaiops_dagster.use_case.section import Fraction, Section

ParameterValue = bool | int | float | dt.datetime | dt.date | str


class Source(Section):
    """Where source rows come from: a query, objects dropped under a prefix, or both."""

    sql: str | None = Field(None, description="BigQuery SQL; each result row is a source row.")
    parameters: dict[str, ParameterValue | list[ParameterValue]] = Field(
        default_factory=dict, description="Values of the query's named parameters."
    )
    maximum_bytes_billed: PositiveInt = Field(
        100_000_000_000, description="The query is refused if it would read more, in bytes."
    )
    location: str | None = Field(
        None,
        min_length=1,
        description="BigQuery location in which the query runs, that of what it reads; default "
        "GENAIOPS_BIGQUERY_LOCATION.",
    )
    dataset: str | None = Field(
        None,
        pattern=r"^[^.`\s]+\.[^.`\s]+$",
        description="`project.dataset` whose tables the asset `source_tables` lists.",
    )
    sample_rows: Annotated[int, Field(ge=0, le=20)] = Field(
        0, description="Rows of each of its tables to show; 0 where they may hold personal data."
    )
    inbox: str | None = Field(
        None, description="Object prefix whose new objects add rows; default `<name>/inbox/`."
    )
    completion_marker: str | None = Field(
        None, description="Objects of a folder wait until it holds this object, as `_SUCCESS`."
    )
    quiet_seconds: Annotated[int, Field(ge=0)] = Field(
        0, description="New objects wait until none has come for so long."
    )
    names_sort_by_time: bool = Field(
        False, description="Later objects have greater names: only the end of the list is read."
    )


class Columns(Section):
    """Which columns of a source row mean what."""

    id: str = Field(
        "id", description="Column that identifies a row; one without it gets its content's digest."
    )
    output: str = Field(description="Column that holds the expected output.")
    group: str | None = Field(
        None, description="Rows with the same value stay on one side of a split; default the id."
    )
    slices: list[str] = Field(
        default_factory=list, description="Columns by whose values results are also shown."
    )
    variables: dict[str, str] = Field(
        default_factory=dict, description="Column by template variable, where the names differ."
    )


class Curation(Section):
    """Which source rows become examples; the others are rejected, each with a reason."""

    near_duplicates: Literal["reject", "keep_together", "allow"] = Field(
        "reject",
        description="Inputs nearly the same as an earlier one; `keep_together` rejects those only "
        "that would be on another side of the split.",
    )
    similarity: Annotated[float, Field(gt=0.5, le=1)] = Field(
        0.8, description="Least share of common word triples (Jaccard) of near duplicates."
    )
    conflicting_outputs: Literal["reject", "allow"] = Field(
        "reject", description="Rows with the same input and different outputs."
    )
    personal_data: Literal["reject", "redact", "allow"] = Field(
        "reject", description="E-mail addresses, phone and card numbers, IBANs and the like."
    )
    secrets: Literal["reject", "redact", "allow"] = Field(
        "reject", description="Private keys, passwords in addresses, access tokens and the like."
    )
    maximum_rejected: Fraction = Field(
        0.2, description="A larger share of unusable rows (duplicates not counted) blocks tuning."
    )


class Split(Section):
    """Shares of the curated examples; they must add up to 1."""

    training: Fraction = 0.8
    validation: Fraction = 0.1
    evaluation: Fraction = 0.1
    seed: int = Field(0, description="Salt of the hash that assigns groups to sides.")
    minimum_training_rows: PositiveInt = Field(
        16, description="Fewer training examples block tuning."
    )
    maximum_training_rows: PositiveInt = Field(
        1_000_000, description="A larger training set is cut to this many rows."
    )
    maximum_validation_rows: PositiveInt = Field(
        5_000, description="A larger validation set is cut to this many rows."
    )
    maximum_evaluation_rows: PositiveInt = Field(
        1000, description="A larger evaluation set is cut to this many rows."
    )

    @model_validator(mode="after")
    def _adds_up(self) -> Split:
        total = self.training + self.validation + self.evaluation
        if abs(total - 1) > 1e-6:
            raise ValueError(f"training + validation + evaluation must be 1, not {total:g}")
        if self.training == 0 or self.evaluation == 0:
            raise ValueError("training and evaluation must both be above 0")
        return self
