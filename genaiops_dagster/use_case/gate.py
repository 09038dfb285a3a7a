"""The `gate` section of a use case file: the policy that decides a promotion."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Set
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from genaiops_dagster.use_case.section import CHAMPION, TUNED, Fraction, Section, require

Margin = Annotated[float, Field(ge=0)]


class ThresholdRule(Section):
    """The challenger's metric is at least (or at most) a figure."""

    rule: Literal["threshold"]
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    slice: dict[str, str] = Field(
        default_factory=dict, max_length=1, description="Only rows of this slice, as name: value."
    )
    figure: Literal["mean", "interval"] = Field(
        "mean", description="Whether the mean or its whole interval has to keep the bound."
    )

    @model_validator(mode="after")
    def _one_bound(self) -> ThresholdRule:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of at_least and at_most")
        return self

    @property
    def words(self) -> str:
        """The rule as people say it; waivers name it so."""
        where = "".join(f" where {name} is {value}" for name, value in self.slice.items())
        what = "interval of " * (self.figure == "interval") + self.metric
        if self.at_least is not None:
            return f"{what}{where} at least {self.at_least:.4g}"
        return f"{what}{where} at most {self.at_most:.4g}"


class BetterThanRule(Section):
    """The challenger beats another candidate on the same rows, significantly."""

    rule: Literal["better_than"]
    metric: str
    candidate: str

    @property
    def words(self) -> str:
        """The rule as people say it; waivers name it so."""
        return f"{self.metric} better than {self.candidate}"


class NoWorseThanRule(Section):
    """The challenger is not worse than another candidate by more than a margin."""

    rule: Literal["no_worse_than"]
    metric: str
    candidate: str = CHAMPION
    margin: Margin = 0.0

    @property
    def words(self) -> str:
        """The rule as people say it; waivers name it so."""
        return f"{self.metric} no worse than {self.candidate} by more than {self.margin:.4g}"


class SlicesRule(Section):
    """In no slice the challenger is worse than another candidate, beyond a margin and chance."""

    rule: Literal["no_slice_worse_than"]
    metric: str
    slice: str = Field(description="Name of the slice: one of columns.slices.")
    candidate: str = CHAMPION
    margin: Margin = 0.0
    minimum_rows: PositiveInt = Field(10, description="Slices with fewer rows are not judged.")

    @property
    def words(self) -> str:
        """The rule as people say it; waivers name it so."""
        return (
            f"{self.metric} in no {self.slice} worse than {self.candidate} "
            f"by more than {self.margin:.4g}"
        )


class StateRule(Section):
    """At most a share of the challenger's rows ended blocked, truncated or failed."""

    rule: Literal["rows"]
    state: Literal["blocked", "truncated", "failed"]
    at_most: Fraction

    @property
    def words(self) -> str:
        """The rule as people say it; waivers name it so."""
        return f"{self.state} rows at most {self.at_most:.4g}"


class LatencyRule(Section):
    """The challenger answers within a time."""

    rule: Literal["latency"]
    percentile: Literal[50, 95] = 95
    at_most_seconds: Annotated[float, Field(gt=0)]

    @property
    def words(self) -> str:
        """The rule as people say it; waivers name it so."""
        return f"latency p{self.percentile} at most {self.at_most_seconds:.4g} s"


class CostRule(Section):
    """The challenger's answers cost at most so much."""

    rule: Literal["cost"]
    at_most_usd_per_1000_rows: Annotated[float, Field(gt=0)]

    @property
    def words(self) -> str:
        """The rule as people say it; waivers name it so."""
        return f"cost of 1000 rows at most {self.at_most_usd_per_1000_rows:.4g} USD"


class SuiteRule(Section):
    """The challenger passes a share of a suite's cases, or as many as its base model."""

    rule: Literal["suite"]
    suite: Literal["golden", "safety", "off_task"]
    at_least: Fraction | None = None
    no_worse_than_base: bool = Field(
        False, description="Not significantly worse than what it was tuned from."
    )

    @model_validator(mode="after")
    def _one_bound(self) -> SuiteRule:
        if (self.at_least is None) == (not self.no_worse_than_base):
            raise ValueError("give exactly one of at_least and no_worse_than_base")
        return self

    @property
    def words(self) -> str:
        """The rule as people say it; waivers name it so."""
        if self.at_least is None:
            return f"{self.suite} suite no worse than the base model"
        return f"{self.suite} suite at least {self.at_least:.4g}"


class LatencySloRule(Section):
    """The challenger met the latency objective of `serving.load_test` in its load test."""

    rule: Literal["latency_slo"]

    @property
    def words(self) -> str:
        """The rule as people say it; waivers name it so."""
        return "latency objective under load"


GateRule = Annotated[
    ThresholdRule
    | BetterThanRule
    | NoWorseThanRule
    | SlicesRule
    | StateRule
    | LatencyRule
    | CostRule
    | SuiteRule
    | LatencySloRule,
    Field(discriminator="rule"),
]


class Waiver(Section):
    """One rule that need not hold for a while; somebody answers for it."""

    rule: str = Field(description="The rule in words, as the verdict shows it.")
    owner: Annotated[str, Field(pattern=r"\S", description="Who answers for it.")]
    reason: Annotated[str, Field(pattern=r"\S", description="Why.")]
    expires: dt.date = Field(description="Last day (UTC) on which it counts.")


class Approval(Section):
    """A person has to approve a decision before the champion changes."""

    approvers: list[str] = Field(
        default_factory=list, description="Who may approve; empty: anyone who runs the command."
    )


class Gate(Section):
    """The policy that decides a promotion; every rule must hold."""

    challenger: str = Field(TUNED, description="Candidate that wants to become champion.")
    minimum_rows: PositiveInt = Field(30, description="Fewer scored rows are INSUFFICIENT.")
    maximum_report_age_days: PositiveInt | None = Field(
        None, description="An older report of the challenger is INSUFFICIENT."
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    rules: list[GateRule] = Field(min_length=1)
    waivers: list[Waiver] = Field(default_factory=list)
    maximum_waiver_days: PositiveInt = Field(
        90, description="A waiver that ends more than this many days from now does not count yet."
    )
    approval: Approval | None = Field(None, description="Present: a person has to approve.")

    def require_names(
        self, candidates: Set[str], metrics: Set[str], slices: Set[str], suites: Set[str]
    ) -> None:
        """Check that everything that the policy names exists in its file.

        Raises:
            PydanticCustomError: a name is not defined.
        """
        known: Mapping[str, Set[str]] = {
            "metric": metrics,
            "candidate": {*candidates, CHAMPION} - {self.challenger},
            "suite": suites,
        }
        require("gate.challenger", self.challenger, candidates)
        for index, rule in enumerate(self.rules):
            for field, allowed in known.items():
                if hasattr(rule, field):
                    require(f"gate.rules.{index}.{field}", getattr(rule, field), allowed)
            names = [rule.slice] if isinstance(rule, SlicesRule) else getattr(rule, "slice", ())
            for name in names:
                require(f"gate.rules.{index}.slice", name, slices)
        words = {rule.words for rule in self.rules}
        for index, waiver in enumerate(self.waivers):
            require(f"gate.waivers.{index}.rule", waiver.rule, words)
