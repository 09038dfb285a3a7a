"""What a run of a use case would cost, stage by stage, before anything is paid."""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass

from genaiops_dagster.budget.pricing import PriceList, tuning_cost
from genaiops_dagster.budget.stage_costs import (
    JUDGE_ANSWER_TOKENS,
    JUDGE_INSTRUCTION_TOKENS,
    JUDGE_MAXIMUM_ANSWER_TOKENS,
    SUITE_CASES,
    SUITE_PROMPT_TOKENS,
    cheaper_way,
    estimate_of,
    price_computed,
    price_requests,
)
from genaiops_dagster.planning.volume import OWN_PROMPT, ChampionVolume, PromptVolume, RunVolume
from genaiops_dagster.prompts.tokens import TokenTotal
from genaiops_dagster.records.budget import CostEstimate, Stage, StageCost
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.candidates import Candidate
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
class _Run:
    """What is priced: a use case, the tokens of its run, and what they cost."""

    use_case: UseCase
    volume: RunVolume
    prices: PriceList


def estimate_run(
    use_case: UseCase, volume: RunVolume, now: dt.datetime, *, emulated: bool
) -> CostEstimate:
    """Price every stage of a run.

    Args:
        use_case: Candidates, tuning, judge and prices.
        volume: Counted or sampled tokens.
        now: The moment whose published prices apply.
        emulated: Whether the emulator would serve, so that nothing is charged.
    """
    run = _Run(use_case, volume, PriceList(now, use_case.budget.prices))
    stages = [
        *_tuning(run),
        *_checkpoints(run),
        *_evaluation(run),
        *_judging(run),
        *_generation(run),
    ]
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


def _tuning(run: _Run) -> list[StageCost]:
    """The tuned model, and each variant of the sweep."""
    sweep = run.use_case.tuning.sweep
    variants = [name for name, _ in sweep.variants()] if sweep else []
    return [_tuning_job(run, name) for name in ("", *variants)]


def _tuning_job(run: _Run, variant: str) -> StageCost:
    tuning = run.use_case.tuning.variant(variant or None)
    epochs = tuning.epochs or default_epochs(run.volume.training_rows)
    prices = run.prices
    tokens = round(run.volume.training.tokens * epochs)
    at_most = round(run.volume.training.at_most * epochs)
    return StageCost(
        stage="tuning",
        candidate=variant,
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
    rows = max(volume.evaluation_rows, 1)
    prompts, stages = volume.prompts[OWN_PROMPT], []
    for name, candidate in run.use_case.candidates.items():
        if candidate.checkpoint != "best":
            continue
        tuning = run.use_case.tuning.variant(candidate.variant)
        epochs = tuning.epochs or default_epochs(volume.training_rows)
        calls = volume.validation_rows * min(epochs, MOST_CHECKPOINTS)
        longest = candidate.generation.max_output_tokens
        stages.append(
            price_requests(
                run.prices,
                stage="checkpoints",
                candidate=name,
                model=run.use_case.tuning.base_model,
                calls=calls,
                prompts=prompts.tokens.times(calls / rows),
                output_tokens=min(round(volume.references.tokens * calls / rows), calls * longest),
                maximum_output_tokens=calls * longest,
                longest=(prompts.longest, longest),
                basis=f"{volume.validation_rows} validation rows x {min(epochs, MOST_CHECKPOINTS)}",
                tuned=True,
            )
        )
    return stages


def _evaluation(run: _Run) -> list[StageCost]:
    """Every candidate's answers, and the champion's."""
    evaluation, rows = run.use_case.evaluation, run.volume.evaluation_rows
    stages = [
        cheaper_way(
            evaluation,
            rows,
            functools.partial(
                _calls,
                run,
                "evaluation",
                name,
                rows,
                _prompts_of(candidate, run.volume),
                run.volume.references,
            ),
        )
        for name, candidate in run.use_case.candidates.items()
    ]
    if run.volume.champion is not None:
        stages.append(
            cheaper_way(
                evaluation,
                rows,
                functools.partial(_champion_calls, run, run.volume.champion),
            )
        )
    return [*stages, *_computed(run), *_suites(run)]


def _computed(run: _Run) -> list[StageCost]:
    """Metrics that the evaluation service computes; an answer is taken to be as its reference."""
    requested = {name: one.generation for name, one in run.use_case.candidates.items()}
    longest = {name: generation.max_output_tokens for name, generation in requested.items()}
    if run.volume.champion is not None:
        longest[CHAMPION] = run.volume.champion.max_output_tokens
    metrics = len(run.use_case.evaluation.metrics_by_service())
    return [
        price_computed(
            run.prices,
            candidate=name,
            metrics=metrics,
            rows=run.volume.evaluation_rows,
            references=run.volume.reference_characters,
            max_output_tokens=tokens,
        )
        for name, tokens in longest.items()
        if metrics
    ]


def _champion_calls(run: _Run, champion: ChampionVolume, batch: bool) -> StageCost:
    """Requests to the champion."""
    rows, longest = run.volume.evaluation_rows, champion.max_output_tokens
    return price_requests(
        run.prices,
        stage="evaluation",
        candidate=CHAMPION,
        model=champion.base_model,
        calls=rows,
        prompts=champion.prompts.tokens,
        output_tokens=min(round(run.volume.references.tokens), rows * longest),
        maximum_output_tokens=rows * longest,
        longest=(champion.prompts.longest, longest),
        basis=f"{rows} rows, unless they are kept",
        tuned=champion.tuned,
        batch=batch,
    )


def _suites(run: _Run) -> list[StageCost]:
    """What each candidate is asked besides the evaluation set, a tuned one's base model, too."""
    shipped = sum(SUITE_CASES[name] for name in run.use_case.evaluation.suites)
    golden = len(run.use_case.evaluation.golden)
    stages = []
    for name, candidate in run.use_case.candidates.items():
        tuned, longest = candidate.model == TUNED, candidate.generation.max_output_tokens
        requested = [(golden + shipped, tuned), *([(shipped, False)] if tuned else [])]
        stages += [
            price_requests(
                run.prices,
                stage="suites",
                candidate=name,
                model=_base_of(run.use_case, name),
                calls=calls,
                prompts=TokenTotal(calls * SUITE_PROMPT_TOKENS),
                output_tokens=calls * min(SUITE_PROMPT_TOKENS, longest),
                maximum_output_tokens=calls * longest,
                longest=(SUITE_PROMPT_TOKENS, longest),
                basis=f"{calls} cases",
                tuned=of_tuned,
            )
            for calls, of_tuned in requested
            if calls
        ]
    return stages


def _judging(run: _Run) -> list[StageCost]:
    """Every rating of every candidate's answers, and what the judge does besides."""
    judge = run.use_case.evaluation.judge
    if judge is None:
        return []
    rows, ratings = run.volume.evaluation_rows, len(judge.metrics) * judge.repeats
    requested = {
        name: (_prompts_of(candidate, run.volume), candidate.generation.max_output_tokens)
        for name, candidate in run.use_case.candidates.items()
    }
    if run.volume.champion is not None:
        requested[CHAMPION] = (run.volume.champion.prompts, run.volume.champion.max_output_tokens)
    stages = [
        _judgements(
            run,
            judge,
            candidate=name,
            calls=rows * ratings,
            # A judge is shown the reference and the answer, which is taken to be as long.
            read=(prompts.tokens + run.volume.references.times(2)).times(ratings),
            read_at_most=round((prompts.tokens.at_most + 2 * rows * longest) * ratings),
            longest=prompts.longest + 2 * longest,
            basis=f"{rows} answers x {ratings} ratings",
        )
        for name, (prompts, longest) in requested.items()
    ]
    return [*stages, *_preferences(run, judge), *_calibration(run, judge)]


def _preferences(run: _Run, judge: Judge) -> list[StageCost]:
    """Every pair of answers, which the judge is shown in both orders."""
    if judge.pairwise is None:
        return []
    challenger = run.use_case.candidates[run.use_case.gate.challenger]
    prompts, shown = _prompts_of(challenger, run.volume), 2 * judge.repeats
    rows, longest = run.volume.evaluation_rows, challenger.generation.max_output_tokens
    return [
        _judgements(
            run,
            judge,
            calls=rows * shown,
            read=(prompts.tokens + run.volume.references.times(3)).times(shown),
            read_at_most=round((prompts.tokens.at_most + 3 * rows * longest) * shown),
            longest=prompts.longest + 3 * longest,
            basis=f"{rows} pairs in both orders x {judge.repeats}",
        )
    ]


def _calibration(run: _Run, judge: Judge) -> list[StageCost]:
    """Every answer that people rated."""
    if not run.volume.labels:
        return []
    return [
        _judgements(
            run,
            judge,
            calls=run.volume.labels * judge.repeats,
            read=run.volume.label_tokens.times(judge.repeats),
            read_at_most=round(run.volume.label_tokens.at_most * judge.repeats * _LABEL_MARGIN),
            longest=0,
            basis=f"{run.volume.labels} ratings of people x {judge.repeats}",
        )
    ]


def _judgements(
    run: _Run,
    judge: Judge,
    *,
    calls: int,
    read: TokenTotal,
    read_at_most: int,
    longest: int,
    basis: str,
    candidate: str = "",
) -> StageCost:
    """Judgements, about one candidate or, with an empty name, about several or none."""
    return price_requests(
        run.prices,
        stage="judging",
        candidate=candidate,
        model=judge.model,
        calls=calls,
        prompts=TokenTotal(calls * JUDGE_INSTRUCTION_TOKENS) + read,
        maximum_input_tokens=calls * JUDGE_INSTRUCTION_TOKENS + read_at_most,
        output_tokens=calls * JUDGE_ANSWER_TOKENS,
        maximum_output_tokens=calls * JUDGE_MAXIMUM_ANSWER_TOKENS,
        longest=(longest + JUDGE_INSTRUCTION_TOKENS, JUDGE_MAXIMUM_ANSWER_TOKENS),
        basis=basis,
    )


def _generation(run: _Run) -> list[StageCost]:
    """The samples, by the challenger: it serves them if it is promoted."""
    if not run.volume.samples:
        return []
    per_row = run.volume.references.tokens / max(run.volume.evaluation_rows, 1)
    return [
        _calls(
            run,
            stage="generation",
            candidate=run.use_case.gate.challenger,
            calls=run.volume.samples,
            prompts=run.volume.sample_prompts,
            answers=TokenTotal(per_row * run.volume.samples),
        )
    ]


def _prompts_of(candidate: Candidate, volume: RunVolume) -> PromptVolume:
    return volume.prompts[candidate.prompt or OWN_PROMPT]


def _base_of(use_case: UseCase, candidate: str) -> str:
    """Base model by which a candidate is priced."""
    model = use_case.candidates[candidate].model
    return use_case.tuning.base_model if model == TUNED else model


def _calls(
    run: _Run,
    stage: Stage,
    candidate: str,
    calls: int,
    prompts: PromptVolume,
    answers: TokenTotal,
    batch: bool = False,
) -> StageCost:
    """Requests to a candidate, whose answers are expected to be as long as the references."""
    generation = run.use_case.candidates[candidate].generation
    return price_requests(
        run.prices,
        stage=stage,
        candidate=candidate,
        model=_base_of(run.use_case, candidate),
        calls=calls,
        prompts=prompts.tokens,
        output_tokens=min(round(answers.tokens), calls * generation.max_output_tokens),
        maximum_output_tokens=calls * generation.max_output_tokens,
        longest=(prompts.longest, generation.max_output_tokens),
        basis=f"{calls} rows" + (" in a batch job" if batch else ""),
        tuned=run.use_case.candidates[candidate].model == TUNED,
        batch=batch,
        searches=calls if "google_search" in generation.tools else 0,
    )
