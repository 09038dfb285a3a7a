"""The `serving` section of a use case file: what the champion is asked after its promotion."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from genaiops_dagster.section import Fraction, Section


class RolloutStage(Section):
    """One stage of a rollout."""

    share: Fraction = Field(description="Share of users whom the candidate answers.")
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
    """What ends a rollout: figures of the candidate's requests."""

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


class Serving(Section):
    """What the champion is asked after a promotion."""

    samples: list[dict[str, Any]] = Field(
        default_factory=list, description="Rows of template variables to generate content for."
    )
    rollout: RolloutPolicy | None = Field(
        None, description="Stages in which a candidate takes over; default all at once."
    )
    log_texts: bool = Field(
        False,
        description="Whether the request log keeps prompts and answers, with personal data and "
        "secrets redacted; evaluation of real traffic and new rows from feedback need them.",
    )
