"""The `budget` section of a use case file: what may be spent, and at which prices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from genaiops_dagster.use_case.section import Section

Usd = Annotated[float, Field(gt=0)]
UsdPerMillion = Annotated[float, Field(ge=0)]


class ModelPrice(Section):
    """Prices of a model, in US dollars for a million tokens; `evaluation_service`: characters."""

    input: UsdPerMillion | None = None
    output: UsdPerMillion | None = None
    tuning: UsdPerMillion | None = Field(
        None, description="For a million training tokens: those of the data times the epochs."
    )

    tuned_factor: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="How many times the price of its base model a model tuned from it costs.",
    )
    search: Annotated[float, Field(ge=0)] | None = Field(
        None, description="For one web search that grounds an answer, in US dollars."
    )
    cache_storage: UsdPerMillion | None = Field(
        None, description="For a million tokens that a context cache keeps for an hour."
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> ModelPrice:
        if (self.input is None) != (self.output is None):
            raise ValueError("give both input and output, or neither")
        return self


class Degrade(Section):
    """Reductions of a run that would break a limit; tried in this order."""

    judge: str | None = Field(None, description="A cheaper judge model.")
    evaluation_rows: list[PositiveInt] = Field(
        default_factory=list,
        description="Smaller evaluation sets, by slices in proportion; the largest that fits.",
    )

    @model_validator(mode="after")
    def _something(self) -> Degrade:
        if self.judge is None and not self.evaluation_rows:
            raise ValueError("give judge or evaluation_rows")
        return self


class Budget(Section):
    """Limits on what may be spent; amounts are what a step may cost at most."""

    per_run_usd: Usd = Field(10.0, description="For one run.")
    per_run_tokens: PositiveInt | None = Field(None, description="For one run, in and out.")
    per_month_usd: Usd | None = Field(
        None, description="For all runs of a calendar month (UTC) together."
    )
    per_month_tokens: PositiveInt | None = None
    per_request_usd: Usd | None = Field(
        None, description="For the most expensive request; tuning jobs do not count."
    )
    per_request_tokens: PositiveInt | None = None
    unknown_price: Literal["refuse", "allow"] = Field(
        "refuse", description="What to do when a model's price is not known."
    )
    prices: dict[str, ModelPrice] = Field(
        default_factory=dict,
        description="Prices by base model that go before the published ones.",
    )
    token_sample_rows: PositiveInt | None = Field(
        50, description="Rows whose tokens are counted for the estimate; null counts every row."
    )
    degrade: Degrade | None = Field(
        None, description="What to do with less rather than nothing; default nothing."
    )
