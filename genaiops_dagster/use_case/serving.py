"""The `serving` section of a use case file: what the champion is asked after its promotion."""

from __future__ import annotations

import datetime as dt
import math
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from genaiops_dagster.use_case.data import ParameterValue
from genaiops_dagster.use_case.guardrails import Guardrails
from genaiops_dagster.use_case.section import Fraction, Section


class RolloutStage(Section):
    """One stage of a rollout."""

    share: Fraction = Field(description="Share of users that the candidate answers.")
    mirrored: Fraction = Field(
        0.0,
        description="Share of the other users whose requests the candidate is sent as well; they "
        "are answered by the champion.",
    )
    minimum_requests: PositiveInt | None = Field(
        None, description="Requests to the candidate before the next stage, if not the policy's."
    )
    dwell_minutes: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Least duration, if not the policy's."
    )

    @property
    def title(self) -> str:
        """Name of the stage, such as `shadow` or `5 %`."""
        return f"{100 * self.share:g} %" if self.share else "shadow"


class OnlineQuality(Section):
    """How good the candidate's answers to users must be."""

    metric: str = Field(description="A metric of the online evaluation, or `rating` by users.")
    no_worse_by: Annotated[float, Field(ge=0)] = Field(
        description="How much lower than the champion's its mean may be."
    )
    minimum_rows: PositiveInt = Field(20, description="Fewer scored answers do not count yet.")


class OnlineLimits(Section):
    """Limits that end a rollout: figures of the candidate's requests."""

    error_rate: Fraction = Field(0.02, description="Highest share of failed requests.")
    blocked_rate: Fraction = Field(0.05, description="Highest share stopped by safety filters.")
    latency_p95_seconds: PositiveFloat | None = None
    latency_p95_times_champion: PositiveFloat | None = Field(
        None, description="Highest ratio to the champion's 95th percentile in the same time."
    )
    quality: OnlineQuality | None = None


class RolloutPolicy(Section):
    """How a candidate takes over from the champion; without it all users change at once."""

    stages: list[RolloutStage] = Field(
        default_factory=lambda: [
            RolloutStage(share=0.0, mirrored=0.1),
            RolloutStage(share=0.05),
            RolloutStage(share=0.25),
            RolloutStage(share=1.0),
        ],
        min_length=1,
        description="In order of growing share; after the last one the candidate is champion.",
    )
    minimum_requests: PositiveInt = Field(
        200, description="Requests to the candidate before the next stage."
    )
    dwell_minutes: Annotated[float, Field(ge=0)] = Field(
        60.0, description="Least duration of a stage."
    )
    silence_minutes: PositiveFloat = Field(
        120.0, description="Without any request to the candidate for so long, the rollout ends."
    )
    limits: OnlineLimits = Field(default_factory=lambda: OnlineLimits())
    schedule: str = Field("*/10 * * * *", description="Cron line of the looks at the figures.")

    @model_validator(mode="after")
    def _grows(self) -> RolloutPolicy:
        shares = [stage.share for stage in self.stages]
        if shares != sorted(set(shares)):
            raise ValueError("the stages' shares must grow from one to the next")
        for number, stage in enumerate(self.stages):
            if not stage.share and not stage.mirrored:
                raise ValueError(f"stage {number + 1} sends the candidate no request")
        return self

    def at(self, share: float) -> RolloutStage:
        """The stage with a share, or what the policy says now of the one nearest below it."""
        below = [stage for stage in self.stages if stage.share <= share]
        return below[-1] if below else self.stages[0]

    def after(self, share: float) -> RolloutStage | None:
        """The stage that follows the one with a share; None after the last."""
        return next((stage for stage in self.stages if stage.share > share), None)


class Daily(Section):
    """The prompts of a day: objects dropped under a prefix, the rows of a query, or both."""

    inbox: str | None = Field(
        None,
        description="Prefix with a folder for each day, as `<inbox>/2026-11-20/`; "
        "default `<name>/prompts/`.",
    )
    sql: str | None = Field(
        None, description="BigQuery SQL whose rows are prompts; `@day` is the day, a DATE."
    )
    parameters: dict[str, ParameterValue | list[ParameterValue]] = Field(
        default_factory=dict, description="Values of the query's other named parameters."
    )
    maximum_bytes_billed: PositiveInt = Field(
        10_000_000_000, description="The query is refused if it would read more, in bytes."
    )
    start: dt.date = Field(dt.date(2026, 1, 1), description="First day.")
    schedule: str = Field("0 4 * * *", description="Cron line (UTC); asks for the day before.")
    batch_from_rows: PositiveInt | None = Field(
        None,
        description="From this many prompts on, answers come from a batch job: later, and cheaper.",
    )

    @model_validator(mode="after")
    def _day_is_ours(self) -> Daily:
        if "day" in self.parameters:
            raise ValueError("parameters: `day` is the day that is asked for")
        return self


class Caching(Section):
    """Context caching: long starts that many prompts share are sent, and paid in full, once."""

    enabled: bool = False
    ttl_minutes: Annotated[int, Field(ge=1)] = Field(
        60, description="How long the service keeps a start that is not used; storage is paid."
    )
    keep: bool = Field(
        False, description="Whether it stays for the next run until then; else it is deleted."
    )


class LoadStep(Section):
    """One step of a load test: a closed loop of users, or an open one of arriving requests."""

    users: PositiveInt | None = Field(
        None, le=100, description="Closed loop: this many users, each waiting for its answer."
    )
    rate: PositiveFloat | None = Field(
        None, description="Open loop: this many requests a second, whether answered or not."
    )
    arrivals: Literal["poisson", "even"] = Field(
        "poisson", description="Of an open loop: as users come, or in even intervals."
    )
    seconds: PositiveFloat = 30.0

    @model_validator(mode="after")
    def _one_loop(self) -> LoadStep:
        if (self.users is None) == (self.rate is None):
            raise ValueError("give exactly one of users and rate")
        return self

    @property
    def words(self) -> str:
        """The load as people say it."""
        return f"{self.rate:g} requests a second" if self.rate else f"{self.users} users"


class LoadObjective(Section):
    """The objective of a load test."""

    percentile: Literal[50, 95, 99] = 95
    at_most_seconds: PositiveFloat
    error_rate: Fraction = Field(0.01, description="Highest share of failed requests.")
    rate: PositiveFloat | None = Field(
        None, description="Requests a second up to which it has to hold; default in every step."
    )

    @property
    def words(self) -> str:
        """The objective as people say it."""
        up_to = f" up to {self.rate:g} requests a second" if self.rate else ""
        return (
            f"latency p{self.percentile} at most {self.at_most_seconds:g} s and errors at most "
            f"{self.error_rate:g}{up_to}"
        )


class LoadTestPolicy(Section):
    """How a model is tested under load."""

    steps: list[LoadStep] = Field(
        default_factory=lambda: [LoadStep(users=users) for users in (1, 4, 16)],
        min_length=1,
        description="One after the other; a ramp is several that grow.",
    )
    objective: LoadObjective | None = None
    questions: PositiveInt = Field(50, description="Evaluation rows that are asked in turn.")
    most_requests: PositiveInt = Field(2000, description="Requests at most, in all steps.")
    most_concurrent: Annotated[int, Field(ge=1, le=100)] = Field(
        100, description="Connections of an open loop; a request that finds none free waits."
    )

    @property
    def expected_requests(self) -> int:
        """Requests at most, by steps and limit: nobody knows how many a closed loop sends."""
        if any(step.users for step in self.steps):
            return self.most_requests
        # Poisson arrivals may be more than rate x seconds: four standard deviations are added.
        means = [float(step.rate or 0.0) * step.seconds for step in self.steps]
        return min(
            self.most_requests, math.ceil(sum(mean + 4 * math.sqrt(mean) + 1 for mean in means))
        )

    @model_validator(mode="after")
    def _reaches_the_objective(self) -> LoadTestPolicy:
        wanted = self.objective.rate if self.objective else None
        if wanted and all((step.rate or 0.0) < wanted for step in self.steps):
            raise ValueError(f"no step has the objective's rate of {wanted:g} requests a second")
        return self


class Monitoring(Section):
    """Daily monitoring, on a sample of the requests."""

    sample_rows: PositiveInt = Field(200, description="Requests of a day that are scored.")
    false_alarm_rate: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.001, description="Chance of any drift alarm on a day on which nothing changed."
    )
    minimum_effect: Fraction = Field(
        0.1, description="A smaller difference raises no alarm; from 0, no difference, to 1."
    )
    minimum_rows: PositiveInt = Field(30, description="With fewer rows a day is not compared.")
    schedule: str = Field(
        "30 1 * * *", description="Cron line of the evaluation of the day before."
    )
    freshness_hours: dict[str, PositiveFloat] = Field(
        default_factory=lambda: {"online_evaluation": 30.0},
        description="Assets of the use case, and how old their newest materialization may be.",
    )


class Serving(Section):
    """How the champion serves: samples, guardrails, rollout, load test and monitoring."""

    samples: list[dict[str, Any]] = Field(
        default_factory=list, description="Rows of template variables to generate content for."
    )
    defaults: dict[str, Any] = Field(
        default_factory=dict, description="Values of template variables that a prompt leaves out."
    )
    daily: Daily = Field(default_factory=lambda: Daily())
    guardrails: Guardrails = Field(default_factory=lambda: Guardrails())
    caching: Caching = Field(default_factory=lambda: Caching())
    rollout: RolloutPolicy | None = Field(
        None, description="Stages in which a candidate takes over; default all at once."
    )
    load_test: LoadTestPolicy | None = Field(None, description="Present: the asset `load_test`.")
    monitoring: Monitoring | None = Field(
        None, description="Present: the asset `online_evaluation`, every day."
    )
    log_texts: bool = Field(
        False,
        description="Whether the request log keeps prompts and answers, with personal data and "
        "secrets redacted; evaluation of real traffic and new rows from feedback need them.",
    )
