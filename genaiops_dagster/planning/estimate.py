"""The cost of a run of a use case, stage by stage, before anything is paid."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

from genaiops_dagster.budget.pricing import PriceList, tuning_cost
from genaiops_dagster.budget.stage_costs import (
    SUITE_CASES,
    SUITE_PROMPT_TOKENS,
    cheaper_way,
    estimate_of,
    price_computed,
    price_judgements,
    price_requests,
)
from genaiops_dagster.evaluation.asking.inference import thinking_for
from genaiops_dagster.google_cloud.thinking import Thinking, output_limit
from genaiops_dagster.planning.volume import OWN_PROMPT, PromptVolume, RunVolume
from genaiops_dagster.prompts.tokens import TokenTotal
from genaiops_dagster.records.budget import CostEstimate, Stage, StageCost
from genaiops_dagster.use_case import GenerationConfig, UseCase
from genaiops_dagster.use_case.evaluation import Judge
from genaiops_dagster.use_case.section import CHAMPION, TUNED

_LABEL_MARGIN = 1.5
"""How many times their estimate answers that people rated may have in tokens."""

MOST_CHECKPOINTS = 10
"""Checkpoints that the service keeps of a job.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/models/tuning-checkpoints
"""


def default_epochs(training_rows: int) -> int:
    """Epochs that are assumed where the use case leaves them to the service.

    Source: recommended configurations,
    https://cloud.google.com/vertex-ai/generative-ai/docs/models/tune_gemini/tune-gemini-learn
    """
    return 20 if training_rows < 1000 else 10


def models_of(use_case: UseCase) -> set[str]:
    """Base models that a use case tunes, asks or lets judge."""
    judge = use_case.evaluation.judge
    requested = {candidate.model for candidate in use_case.candidates.values()} - {TUNED}
    return {use_case.tuning.base_model, *requested, *([judge.model] if judge else [])}


@dataclass(frozen=True)
class _Respondent:
    """A candidate or the champion: its base model, and the evaluation set in its prompt."""

    name: str
    model: str
    tuned: bool
    prompts: PromptVolume
    generation: GenerationConfig

    @property
    def grounded(self) -> bool:
        """Whether its requests search the web."""
        return "google_search" in self.generation.tools

    @property
    def max_output_tokens(self) -> int:
        """Tokens of a visible answer at most."""
        return self.generation.max_output_tokens

    @property
    def thinking(self) -> Thinking:
        """How much it thinks before it answers."""
        return thinking_for(self.model, self.generation, tuned=self.tuned)

    @property
    def output_limit(self) -> int:
        """Tokens that a request pays for at most, thoughts included."""
        return output_limit(self.model, self.max_output_tokens, self.thinking)


@dataclass(frozen=True)
class _Run:
    """The subject of an estimate: a use case, its tokens, their prices, and the models."""

    use_case: UseCase
    volume: RunVolume
    prices: PriceList
    respondents: Mapping[str, _Respondent]


def estimate_run(
    use_case: UseCase, volume: RunVolume, now: dt.datetime, *, emulated: bool
) -> CostEstimate:
    """Price every stage of a run at the prices that are published `now`."""
    prices = PriceList(now, use_case.budget.prices)
    run = _Run(use_case, volume, prices, _respondents(use_case, volume))
    parts = (_tuning, _checkpoints, _evaluation, _computed, _suites, _judging, _generation)
    stages = [stage for part in parts for stage in part(run)]
    counted = [
        volume.training,
        *(prompts.tokens for prompts in volume.prompts.values()),
        volume.references,
        volume.sample_prompts.tokens,
        volume.label_tokens,
    ]
    tokens = sum(total.tokens for total in counted)
    return estimate_of(
        use_case.name,
        stages,
        emulated=emulated,
        error_share=sum(total.error for total in counted) / tokens if tokens else 0.0,
        training_digest=volume.training_digest,
        evaluation_digest=volume.evaluation_digest,
        prompt_digest=volume.prompt_digest,
    )


def _respondents(use_case: UseCase, volume: RunVolume) -> dict[str, _Respondent]:
    """Every candidate, then the champion if there is one, by name."""
    found = {
        name: _Respondent(
            name=name,
            model=use_case.tuning.base_model if candidate.model == TUNED else candidate.model,
            tuned=candidate.model == TUNED,
            prompts=volume.prompts[candidate.prompt or OWN_PROMPT],
            generation=candidate.generation,
        )
        for name, candidate in use_case.candidates.items()
    }
    champion = volume.champion
    if champion is not None:
        found[CHAMPION] = _Respondent(
            CHAMPION, champion.base_model, champion.tuned, champion.prompts, champion.generation
        )
    return found


def _tuning(run: _Run) -> list[StageCost]:
    """The tuned model, and each variant of the sweep."""
    return [_tuning_job(run, variant) for variant in run.use_case.tuning.variants()]


def _tuning_job(run: _Run, variant: str | None) -> StageCost:
    tuning = run.use_case.tuning.variant(variant)
    epochs = tuning.epochs or default_epochs(run.volume.training_rows)
    prices = run.prices
    tokens = round(run.volume.training.tokens * epochs)
    at_most = round(run.volume.training.at_most * epochs)
    return StageCost(
        stage="tuning",
        candidate=variant or "",
        model=tuning.base_model,
        calls=1,
        input_tokens=tokens,
        output_tokens=0,
        maximum_output_tokens=0,
        cost_usd=tuning_cost(tuning.base_model, tokens, method=tuning.method, prices=prices),
        maximum_usd=tuning_cost(tuning.base_model, at_most, method=tuning.method, prices=prices),
        basis=f"{run.volume.training_rows} examples x {epochs} epochs"
        + ("" if tuning.epochs else " (assumed; the service chooses)"),
    )


def _checkpoints(run: _Run) -> list[StageCost]:
    """Every checkpoint's answers to validation rows, for candidates that take the best one.

    A validation row is taken to be as long as an evaluation row.
    """
    volume = run.volume
    own, stages = volume.prompts[OWN_PROMPT], []
    for name, candidate in run.use_case.candidates.items():
        if candidate.checkpoint != "best":
            continue
        tuning = run.use_case.tuning.variant(candidate.variant)
        epochs = tuning.epochs or default_epochs(volume.training_rows)
        checkpoints = min(epochs, MOST_CHECKPOINTS)
        calls = volume.validation_rows * checkpoints
        share = calls / max(volume.evaluation_rows, 1)
        stages.append(
            _requests(
                run,
                "checkpoints",
                run.respondents[name],
                calls,
                PromptVolume(own.tokens.times(share), own.longest),
                volume.references.times(share),
                f"{volume.validation_rows} validation rows x {checkpoints}",
            )
        )
    return stages


def _evaluation(run: _Run) -> list[StageCost]:
    """Every candidate's answers, and the champion's."""
    evaluation, rows = run.use_case.evaluation, run.volume.evaluation_rows

    def cheapest(respondent: _Respondent) -> StageCost:
        singly = _answers(run, respondent, batch=False)
        candidate = run.use_case.candidates.get(respondent.name)
        if candidate and candidate.checkpoint:  # no batch job can ask a checkpoint
            return singly
        return cheaper_way(evaluation, rows, singly, _answers(run, respondent, batch=True))

    return [cheapest(respondent) for respondent in run.respondents.values()]


def _answers(run: _Run, respondent: _Respondent, *, batch: bool) -> StageCost:
    """One respondent's answers to the evaluation set, asked for singly or in a batch job."""
    rows = run.volume.evaluation_rows
    note = " in a batch job" if batch else ""
    if respondent.name == CHAMPION:
        note = ", unless they are kept"
    return _requests(
        run,
        "evaluation",
        respondent,
        rows,
        respondent.prompts,
        run.volume.references,
        f"{rows} rows{note}",
        batch=batch,
    )


def _computed(run: _Run) -> list[StageCost]:
    """Metrics that the evaluation service computes; an answer is taken to be as its reference."""
    metrics = len(run.use_case.evaluation.metrics_by_service())
    return [
        price_computed(
            run.prices,
            candidate=respondent.name,
            metrics=metrics,
            rows=run.volume.evaluation_rows,
            references=run.volume.reference_characters,
            max_output_tokens=respondent.max_output_tokens,
        )
        for respondent in run.respondents.values()
        if metrics
    ]


def _suites(run: _Run) -> list[StageCost]:
    """Requests to each candidate besides the evaluation set, and to a tuned one's base model."""
    shipped = sum(SUITE_CASES[name] for name in run.use_case.evaluation.suites)
    golden = len(run.use_case.evaluation.golden)
    stages = []
    for name in run.use_case.candidates:
        one = run.respondents[name]
        base = [(shipped, replace(one, tuned=False))] if one.tuned else []
        for calls, respondent in ((golden + shipped, one), *base):
            tokens = TokenTotal(calls * SUITE_PROMPT_TOKENS)
            prompts, basis = PromptVolume(tokens, SUITE_PROMPT_TOKENS), f"{calls} cases"
            if calls:
                stage = _requests(
                    run,
                    "suites",
                    respondent,
                    calls,
                    prompts,
                    tokens,
                    basis,
                )
                stages.append(stage)
    return stages


def _judging(run: _Run) -> list[StageCost]:
    """Every rating of every candidate's answers, and what the judge does besides."""
    judge = run.use_case.evaluation.judge
    if judge is None:
        return []
    rows, ratings = run.volume.evaluation_rows, len(judge.metrics) * judge.repeats
    stages = [
        price_judgements(
            run.prices,
            judge.model,
            rows * ratings,
            # A judge is shown the reference and the answer, which is taken to be as long.
            (one.prompts.tokens + run.volume.references.times(2)).times(ratings),
            longest=one.prompts.longest + 2 * one.max_output_tokens,
            basis=f"{rows} answers x {ratings} ratings",
            candidate=one.name,
            shown_at_most=round(
                (one.prompts.tokens.at_most + 2 * rows * one.max_output_tokens) * ratings
            ),
        )
        for one in run.respondents.values()
    ]
    return [*stages, *_preferences(run, judge), *_calibration(run, judge)]


def _preferences(run: _Run, judge: Judge) -> list[StageCost]:
    """Every pair of answers, which the judge is shown in both orders."""
    if judge.pairwise is None:
        return []
    challenger = run.respondents[run.use_case.gate.challenger]
    prompts, longest = challenger.prompts, challenger.max_output_tokens
    rows, shown = run.volume.evaluation_rows, 2 * judge.repeats
    return [
        price_judgements(
            run.prices,
            judge.model,
            rows * shown,
            (prompts.tokens + run.volume.references.times(3)).times(shown),
            longest=prompts.longest + 3 * longest,
            basis=f"{rows} pairs in both orders x {judge.repeats}",
            shown_at_most=round((prompts.tokens.at_most + 3 * rows * longest) * shown),
        )
    ]


def _calibration(run: _Run, judge: Judge) -> list[StageCost]:
    """Every answer that people rated."""
    if not run.volume.labels:
        return []
    return [
        price_judgements(
            run.prices,
            judge.model,
            run.volume.labels * judge.repeats,
            run.volume.label_tokens.times(judge.repeats),
            longest=0,
            basis=f"{run.volume.labels} ratings of people x {judge.repeats}",
            shown_at_most=round(run.volume.label_tokens.at_most * judge.repeats * _LABEL_MARGIN),
        )
    ]


def _generation(run: _Run) -> list[StageCost]:
    """The samples, by the challenger: it serves them if it is promoted."""
    samples = run.volume.samples
    if not samples:
        return []
    challenger = run.respondents[run.use_case.gate.challenger]
    per_row = run.volume.references.tokens / max(run.volume.evaluation_rows, 1)
    return [
        _requests(
            run,
            "generation",
            challenger,
            samples,
            run.volume.sample_prompts,
            TokenTotal(per_row * samples),
            f"{samples} rows",
        )
    ]


def _requests(
    run: _Run,
    stage: Stage,
    respondent: _Respondent,
    calls: int,
    prompts: PromptVolume,
    answers: TokenTotal,
    basis: str,
    *,
    batch: bool = False,
) -> StageCost:
    """Requests to a respondent, with the expected tokens of all its answers."""
    longest, thinking = respondent.output_limit, respondent.thinking
    expected = round(answers.tokens) + calls * thinking.expected
    if thinking.at_most and calls:
        room = longest - respondent.max_output_tokens
        level = f" at {thinking.level}" if thinking.level else ""
        basis = f"{basis}, each with room for {room:,} tokens of thinking{level}"
    return price_requests(
        run.prices,
        stage=stage,
        candidate=respondent.name,
        model=respondent.model,
        calls=calls,
        prompts=prompts.tokens,
        output_tokens=min(expected, calls * longest),
        maximum_output_tokens=calls * longest,
        longest=(prompts.longest, longest),
        basis=basis,
        tuned=respondent.tuned,
        batch=batch,
        searches=calls if respondent.grounded else 0,
    )
