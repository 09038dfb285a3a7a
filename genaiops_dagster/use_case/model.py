"""The whole of a use case: its sections, and what they must agree on."""

from __future__ import annotations

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from genaiops_dagster.use_case.budget import Budget
from genaiops_dagster.use_case.candidates import Candidate, Matrix, add_candidates, add_variants
from genaiops_dagster.use_case.data import Columns, Curation, Source, Split
from genaiops_dagster.use_case.evaluation import Evaluation
from genaiops_dagster.use_case.gate import Gate
from genaiops_dagster.use_case.pipelines import LIFECYCLE, PipelineRun
from genaiops_dagster.use_case.section import CHAMPION, Name, Section, require, wrong_name
from genaiops_dagster.use_case.serving import Serving
from genaiops_dagster.use_case.tuning import Tuning


class Prompt(Section):
    """The prompt that the model gets: the same in training, evaluation and serving."""

    template: str = Field(min_length=1, description="Jinja2 template over a row's columns.")
    system_instruction: str = Field("", description="System instruction; empty for none.")
    files: list[str] = Field(
        default_factory=list,
        description="Columns of `gs://` addresses that are attached before the message.",
    )


class Automation(Section):
    """Automatic runs; each part can also be switched on and off in the UI."""

    enabled: bool = Field(
        False, description="Whether the schedule, the inbox sensor and the conditions are running."
    )
    schedule: str = Field("0 6 * * 1", description="Cron line of the refresh.")


class UseCase(Section):
    """One task a model is tuned for."""

    name: Name
    description: str = Field(min_length=1)
    owners: list[str] = Field(
        default_factory=list, description="E-mail addresses, or `team:<name>`."
    )
    source: Source
    columns: Columns
    curation: Curation = Field(default_factory=lambda: Curation())
    prompt: Prompt
    split: Split = Field(default_factory=lambda: Split())
    prompts: dict[Name, Prompt] = Field(
        default_factory=dict, description="Variants of the prompt, for candidates to name."
    )
    candidates: dict[Name, Candidate] = Field(default_factory=dict)
    matrix: Matrix | None = Field(None, description="More candidates, by combination.")
    tuning: Tuning
    evaluation: Evaluation = Field(default_factory=lambda: Evaluation())
    gate: Gate
    budget: Budget = Field(default_factory=lambda: Budget())
    serving: Serving = Field(default_factory=lambda: Serving())
    automation: Automation = Field(default_factory=lambda: Automation())
    pipelines: dict[Name, PipelineRun] = Field(
        default_factory=dict, description="Compiled pipelines to run on Vertex AI Pipelines."
    )

    @property
    def inbox(self) -> str:
        """Object prefix whose new objects start the pipeline, with its trailing slash."""
        return (self.source.inbox or f"{self.name}/inbox").strip("/") + "/"

    @property
    def lifecycle_pipelines(self) -> list[str]:
        """Names of the pipelines that tune and evaluate, before the assets find what they made."""
        return [name for name, run in self.pipelines.items() if run.template == LIFECYCLE]

    @model_validator(mode="after")
    def _has_candidates(self) -> UseCase:
        add_candidates(self.candidates, self.matrix)
        sweep = self.tuning.sweep
        add_variants(self.candidates, (name for name, _ in sweep.variants()) if sweep else ())
        if not self.candidates:
            raise ValueError("give at least one candidate, in candidates or matrix")
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> UseCase:
        candidates, metrics = set(self.candidates), set(self.evaluation.metric_names())
        if CHAMPION in candidates:
            raise wrong_name(f"candidates.{CHAMPION}", CHAMPION, ["any other name"])
        for name, candidate in self.candidates.items():
            if candidate.prompt is not None:
                require(f"candidates.{name}.prompt", candidate.prompt, self.prompts)
        own = f"{self.name}/"
        if own.startswith(self.inbox):
            raise PydanticCustomError(
                "inbox",
                "the prefix {inbox} holds what this use case writes; choose one below {own}",
                {"inbox": repr(self.inbox), "own": own, "field": "source.inbox"},
            )
        suites = {*self.evaluation.suites, *(["golden"] if self.evaluation.golden else [])}
        self.gate.require_names(candidates, metrics, set(self.columns.slices), suites)
        require("evaluation.primary_metric", self.evaluation.primary_metric, metrics)
        degrade = self.budget.degrade
        if degrade and degrade.judge and not self.evaluation.judge:
            raise PydanticCustomError(
                "no_judge",
                "evaluation has no judge that a cheaper one could replace",
                {"field": "budget.degrade.judge"},
            )
        tested = self.serving.load_test and self.serving.load_test.objective
        if not tested and any(rule.rule == "latency_slo" for rule in self.gate.rules):
            raise ValueError("the gate's rule latency_slo needs serving.load_test.objective")
        online = self.serving.rollout.limits.quality if self.serving.rollout else None
        if online:
            field = "serving.rollout.limits.quality.metric"
            require(field, online.metric, {*metrics, "rating"})
        if self.evaluation.judge and self.evaluation.judge.pairwise:
            baseline = self.evaluation.judge.pairwise.baseline
            require(
                "evaluation.judge.pairwise.baseline", baseline, candidates - {self.gate.challenger}
            )
        return self
