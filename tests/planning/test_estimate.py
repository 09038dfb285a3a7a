"""The estimate of a run, with prices worked out by hand from Google's price list."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from genaiops_dagster.budget.limits import (
    BudgetExceededError,
    Spent,
    refusals,
    require_within_budget,
    too_long,
)
from genaiops_dagster.budget.stage_costs import SUITE_CASES
from genaiops_dagster.evaluation.suites.cases import shipped_cases
from genaiops_dagster.planning.estimate import estimate_run
from genaiops_dagster.planning.volume import ChampionVolume, PromptVolume, RunVolume
from genaiops_dagster.prompts.tokens import TokenTotal
from genaiops_dagster.records.budget import Stage
from genaiops_dagster.use_case import GenerationConfig, UseCase
from genaiops_dagster.use_case.budget import Budget
from tests.budget.conftest import use_case_with
from tests.values import present

NOVEMBER = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
VOLUME = RunVolume(
    training_digest="t",
    evaluation_digest="e",
    prompt_digest="p",
    training_rows=1000,
    training=TokenTotal(1_000_000),
    evaluation_rows=200,
    prompts={"": PromptVolume(TokenTotal(100_000), longest=900)},
    references=TokenTotal(4_000),
    samples=2,
    sample_prompts=PromptVolume(TokenTotal(1_000), longest=600),
)

TUNING = 3 * 10.00  # a million tokens, three epochs, 10 USD a million
INPUT, OUTPUT = 1.1 * 1.50, 1.1 * 9.00  # a million tokens, outside `global`
TUNED = 1.5  # what requests to a tuned model cost, in prices of its base
ONE_CANDIDATE = 0.1 * INPUT + 0.004 * OUTPUT
ROOM = 1_024  # tokens for thoughts at the lowest level
ONE_CANDIDATE_AT_MOST = 0.1 * INPUT + 200 * (100 + ROOM) / 1e6 * OUTPUT
SAMPLES = TUNED * (0.001 * INPUT + 0.00004 * OUTPUT)
SAMPLES_AT_MOST = TUNED * (0.001 * INPUT + 2 * (100 + ROOM) / 1e6 * OUTPUT)


def champion_volume(*, tuned: bool, base_model: str = "gemini-3.1-pro-preview") -> ChampionVolume:
    prompts = PromptVolume(TokenTotal(60_000), longest=400)
    return ChampionVolume(
        base_model, tuned=tuned, generation=GenerationConfig(max_output_tokens=50), prompts=prompts
    )


def test_stages_and_their_sum(use_case: UseCase) -> None:
    estimate = estimate_run(use_case, VOLUME, NOVEMBER, emulated=False)
    assert [(s.stage, s.candidate) for s in estimate.stages] == [
        ("tuning", ""),
        ("evaluation", "flash"),
        ("evaluation", "tuned"),
        ("generation", "tuned"),
    ]
    assert estimate.cost_usd == pytest.approx(TUNING + (1 + TUNED) * ONE_CANDIDATE + SAMPLES)
    assert estimate.maximum_usd == pytest.approx(
        TUNING + (1 + TUNED) * ONE_CANDIDATE_AT_MOST + SAMPLES_AT_MOST
    )
    assert estimate.error_share == 0
    assert estimate.unknown_prices == []


def test_sampling_error_is_stated_and_raises_the_maximum(use_case: UseCase) -> None:
    exact = estimate_run(use_case, VOLUME, NOVEMBER, emulated=False)
    unsure = RunVolume(**{**vars(VOLUME), "training": TokenTotal(1_000_000, 50_000)})
    estimate = estimate_run(use_case, unsure, NOVEMBER, emulated=False)
    assert estimate.cost_usd == pytest.approx(exact.cost_usd)
    assert estimate.maximum_usd == pytest.approx(exact.maximum_usd + 0.05 * TUNING)
    assert estimate.error_share == pytest.approx(50_000 / 1_105_000)


def test_judging_is_priced_for_every_answer_and_metric() -> None:
    judged = use_case_with(
        evaluation={
            "judge": {
                "model": "gemini-3.1-pro-preview",
                "metrics": {"kind": {"criteria": "Kind."}, "short": {"criteria": "Short."}},
            }
        }
    )
    estimate = estimate_run(judged, VOLUME, NOVEMBER, emulated=False)
    judging = [s for s in estimate.stages if s.stage == "judging"]
    assert [(s.candidate, s.calls) for s in judging] == [("flash", 400), ("tuned", 400)]
    assert judging[0].input_tokens > 2 * 104_000
    assert judging[0].cost_usd is not None
    assert judging[0].cost_usd > 0


def test_what_the_judge_does_beside_the_reports_is_priced_too() -> None:
    """Pairs are shown in both orders; answers that people rated are rated once more."""
    section = {
        "model": "gemini-3.1-pro-preview",
        "repeats": 3,
        "metrics": {"kind": {"criteria": "Kind."}},
        "pairwise": {"criteria": "Better.", "baseline": "flash"},
        "calibration": {"labels": "words/labels.jsonl"},
    }
    volume = RunVolume(**{**vars(VOLUME), "labels": 50, "label_tokens": TokenTotal(5_000)})
    stages = estimate_run(
        use_case_with(evaluation={"judge": section}), volume, NOVEMBER, emulated=False
    )
    pairs, people = stages.of_stages("judging", candidate="").stages
    assert pairs.calls == 200 * 2 * 3
    assert pairs.input_tokens == 6 * (100_000 + 3 * 4_000) + pairs.calls * 400
    assert people.calls == 50 * 3
    assert people.input_tokens == 3 * 5_000 + people.calls * 400


def test_the_champions_answers_are_judged_too() -> None:
    section = {"model": "gemini-3.1-pro-preview", "metrics": {"kind": {"criteria": "Kind."}}}
    champion = champion_volume(tuned=False)
    volume = RunVolume(**{**vars(VOLUME), "champion": champion})
    estimate = estimate_run(
        use_case_with(evaluation={"judge": section}), volume, NOVEMBER, emulated=False
    )
    (stage,) = estimate.of_stages("judging", candidate="champion").stages
    assert stage.calls == 200
    assert stage.input_tokens == 60_000 + 2 * 4_000 + 200 * 400


def test_distillation_has_no_published_price() -> None:
    """The teacher's answers are paid, too; a price of one's own is used all the same."""
    section = {
        "base_model": "gemini-3.5-flash",
        "epochs": 3,
        "method": "distillation",
        "teacher_model": "gemini-3.1-pro-preview",
    }
    estimate = estimate_run(use_case_with(tuning=section), VOLUME, NOVEMBER, emulated=False)
    assert estimate.unknown_prices == ["gemini-3.5-flash"]
    prices = {"gemini-3.5-flash": {"tuning": 10.0}}
    own = use_case_with(tuning=section, budget={"prices": prices})
    assert estimate_run(own, VOLUME, NOVEMBER, emulated=False).of_stages("tuning").cost_usd == 30.0


def test_an_unknown_price_refuses_unless_the_use_case_accepts_it() -> None:
    unknown = use_case_with(tuning={"base_model": "gemini-99", "epochs": 1})
    estimate = estimate_run(unknown, VOLUME, NOVEMBER, emulated=False)
    assert estimate.unknown_prices == ["gemini-99"]
    with pytest.raises(BudgetExceededError, match=r"gemini-99.*budget\.prices"):
        require_within_budget(estimate, unknown.budget)
    require_within_budget(estimate, Budget(unknown_price="allow"))


def test_one_cent_less_than_the_estimate_refuses_and_says_how_to_raise_it(
    use_case: UseCase,
) -> None:
    estimate = estimate_run(use_case, VOLUME, NOVEMBER, emulated=False)
    require_within_budget(estimate, Budget(per_run_usd=estimate.maximum_usd))
    with pytest.raises(BudgetExceededError) as caught:
        require_within_budget(estimate, Budget(per_run_usd=estimate.maximum_usd - 0.01))
    message = str(caught.value)
    for part in ("limit budget.per_run_usd is 36.00 USD", "asked 36.01 USD", "36.02 or more"):
        assert part in message


def test_the_raised_limit_that_the_message_names_is_enough(use_case: UseCase) -> None:
    estimate = estimate_run(use_case, VOLUME, NOVEMBER, emulated=False)
    (reason,) = refusals(estimate, Budget(per_run_usd=1.0))
    named = float(reason.split(" to ")[1].split(" or more")[0])
    assert refusals(estimate, Budget(per_run_usd=named)) == []


def test_what_was_spent_already_counts(use_case: UseCase) -> None:
    estimate = estimate_run(use_case, VOLUME, NOVEMBER, emulated=False)
    budget = Budget(per_run_usd=40.0, per_run_tokens=4_000_000)
    assert refusals(estimate, budget) == []
    assert len(refusals(estimate, budget, Spent(usd=5.0))) == 1
    assert len(refusals(estimate, budget, Spent(usd=5.0, tokens=1_000_000))) == 2
    monthly = Budget(per_run_usd=100, per_month_usd=40.0, per_month_tokens=4_000_000)
    spent = Spent(usd=5.0, tokens=1_000_000)
    assert refusals(estimate, monthly, run=spent) == []
    assert len(refusals(estimate, monthly, month=spent)) == 2


def test_a_request_that_cannot_fit_the_model_is_named(use_case: UseCase) -> None:
    """The context window of Gemini 3.5 Flash is 1,048,576 tokens."""
    assert too_long(estimate_run(use_case, VOLUME, NOVEMBER, emulated=False)) == []
    prompts = {"": PromptVolume(TokenTotal(100_000), longest=1_048_500)}
    long = RunVolume(**{**vars(VOLUME), "prompts": prompts})
    first, *_ = too_long(estimate_run(use_case, long, NOVEMBER, emulated=False))
    assert "1,049,624 tokens" in first
    assert "1,048,576" in first


def test_the_most_expensive_request_is_limited(use_case: UseCase) -> None:
    estimate = estimate_run(use_case, VOLUME, NOVEMBER, emulated=False)
    assert estimate.largest_request_tokens == 900 + 100 + ROOM
    assert estimate.largest_request_usd == pytest.approx(
        TUNED * (900 * INPUT + (100 + ROOM) * OUTPUT) / 1e6
    )
    assert refusals(estimate, Budget(per_run_usd=100, per_request_tokens=2024)) == []
    (reason,) = refusals(estimate, Budget(per_run_usd=100, per_request_tokens=2023))
    assert "budget.per_request_tokens is 2,023 tokens" in reason
    (reason,) = refusals(estimate, Budget(per_run_usd=100, per_request_usd=0.003))
    assert "budget.per_request_usd" in reason


def test_a_part_of_an_estimate_has_the_sums_of_that_part(use_case: UseCase) -> None:
    whole = estimate_run(use_case, VOLUME, NOVEMBER, emulated=True)
    tuning = whole.of_stages("tuning")
    flash = whole.of_stages("evaluation", candidate="flash")
    assert tuning.cost_usd == pytest.approx(TUNING)
    assert flash.maximum_usd == pytest.approx(ONE_CANDIDATE_AT_MOST)
    assert flash.evaluation_digest == whole.evaluation_digest


def test_a_candidate_is_priced_with_its_own_prompt() -> None:
    candidates = {
        "short": {"model": "gemini-3.5-flash", "prompt": "terse"},
        "tuned": {"model": "tuned"},
    }
    variants = use_case_with(candidates=candidates, prompts={"terse": {"template": "{{ x }}"}})
    prompts = {**VOLUME.prompts, "terse": PromptVolume(TokenTotal(10_000), longest=90)}
    volume = RunVolume(**{**vars(VOLUME), "prompts": prompts})
    estimate = estimate_run(variants, volume, NOVEMBER, emulated=False)
    assert estimate.of_stages("evaluation", candidate="short").stages[0].input_tokens == 10_000
    assert estimate.of_stages("evaluation", candidate="tuned").stages[0].input_tokens == 100_000


def test_the_champion_is_priced_with_its_own_base_and_prompt(use_case: UseCase) -> None:
    champion = champion_volume(tuned=False)
    volume = RunVolume(**{**vars(VOLUME), "champion": champion})
    (stage,) = (
        estimate_run(use_case, volume, NOVEMBER, emulated=False)
        .of_stages("evaluation", candidate="champion")
        .stages
    )
    assert stage.maximum_usd == pytest.approx(0.06 * 2.00 + 200 * (50 + 24_576) * 12e-6)


def test_batch_jobs_cost_half() -> None:
    online = estimate_run(use_case_with(), VOLUME, NOVEMBER, emulated=False)
    batch = estimate_run(
        use_case_with(evaluation={"batch_from_rows": 100}), VOLUME, NOVEMBER, emulated=False
    )
    assert batch.of_stages("evaluation").cost_usd == pytest.approx(
        online.of_stages("evaluation").cost_usd / 2
    )


def test_searches_that_ground_answers_are_paid() -> None:
    """14 USD for a thousand searches of Gemini 3."""
    candidates = {
        "grounded": {
            "model": "gemini-3.5-flash",
            "generation": {
                "max_output_tokens": 100,
                "thinking_level": "MINIMAL",
                "tools": ["google_search"],
            },
        },
        "tuned": {"model": "tuned"},
    }
    estimate = estimate_run(use_case_with(candidates=candidates), VOLUME, NOVEMBER, emulated=False)
    grounded = estimate.of_stages("evaluation", candidate="grounded")
    assert grounded.cost_usd == pytest.approx(ONE_CANDIDATE + 200 * 0.014)
    assert grounded.largest_request_usd == pytest.approx(
        (900 * INPUT + (100 + ROOM) * OUTPUT) / 1e6 + 0.014
    )


def test_searches_are_paid_besides_the_evaluation_set_too() -> None:
    """Suites and checkpoints are asked with the config of their candidate."""
    generation = {"max_output_tokens": 100, "tools": ["google_search"]}
    volume = RunVolume(**{**vars(VOLUME), "validation_rows": 50})

    def priced(stage: Stage, **options: Any) -> float:
        candidates = {"tuned": {"model": "tuned", "checkpoint": "best", "generation": options}}
        use_case = use_case_with(candidates=candidates, evaluation={"suites": ["safety"]})
        estimate = estimate_run(use_case, volume, NOVEMBER, emulated=False)
        return estimate.of_stages(stage).maximum_usd

    requests: dict[Stage, int] = {"suites": 2 * SUITE_CASES["safety"], "checkpoints": 3 * 50}
    for stage, count in requests.items():
        plain = priced(stage, max_output_tokens=100)
        assert priced(stage, **generation) == pytest.approx(plain + count * 0.014)


def test_suites_are_priced_for_the_tuned_models_base_too() -> None:
    case = {"id": "one", "variables": {"question": "?"}, "equals": "!"}
    suites = use_case_with(evaluation={"suites": ["safety"], "golden": [case]})
    stages = estimate_run(suites, VOLUME, NOVEMBER, emulated=False).of_stages("suites").stages
    safety = len(shipped_cases("safety"))
    assert [(stage.candidate, stage.calls) for stage in stages] == [
        ("flash", 1 + safety),
        ("tuned", 1 + safety),
        ("tuned", safety),
    ]


def test_the_shipped_suites_are_as_large_as_the_estimate_takes_them() -> None:
    assert {name: len(shipped_cases(name)) for name in SUITE_CASES} == SUITE_CASES


@pytest.mark.parametrize(
    ("policy", "in_batch"),
    [
        ({"batch_from_saving_usd": 1.19}, True),
        ({"batch_from_saving_usd": 1.8}, False),
        ({"batch_from_saving_usd": 1.19, "batch_from_rows": 200}, True),
        ({"batch_from_saving_usd": 1.19, "batch_from_rows": 201}, False),
        ({"batch_from_rows": 200}, True),
        ({}, False),
    ],
)
def test_a_batch_job_is_planned_by_rows_and_by_what_it_saves(
    policy: dict[str, float], in_batch: bool
) -> None:
    """Half of what 200 answers may cost at most: 2.39 USD, and half as much again when tuned."""
    assert pytest.approx(2.39052) == ONE_CANDIDATE_AT_MOST
    estimate = estimate_run(use_case_with(evaluation=policy), VOLUME, NOVEMBER, emulated=False)
    stages = [stage for stage in estimate.stages if stage.stage == "evaluation"]
    assert {stage.batch for stage in stages} == {in_batch}


def test_of_an_unknown_price_nobody_can_say_that_a_batch_saves() -> None:
    mystery = {"mystery": {"model": "mystery-1"}}
    use_case = use_case_with(
        candidates={**mystery, "tuned": {"model": "tuned"}},
        evaluation={"batch_from_saving_usd": 0.000_001},
    )
    estimate = estimate_run(use_case, VOLUME, NOVEMBER, emulated=False)
    found = {stage.candidate: stage.batch for stage in estimate.stages}
    assert found["mystery"] is False


def test_requests_to_tuned_models_are_priced_as_such() -> None:
    """From Gemini 3 on they cost half as much again as those to their base model."""
    flash = "gemini-3.1-flash-lite"
    generation = {"max_output_tokens": 100}
    candidates = {
        "base": {"model": flash, "generation": generation},
        "tuned": {"model": "tuned", "generation": generation, "checkpoint": "best"},
    }
    tunes = use_case_with(
        candidates=candidates,
        tuning={"base_model": flash, "epochs": 3},
        evaluation={"suites": ["off_task"]},
    )

    def usd(stage: Stage, candidate: str, *, tuned: bool = True) -> float:
        champion = champion_volume(tuned=tuned, base_model=flash)
        changed = {"champion": champion, "validation_rows": 200}
        volume = RunVolume(**{**vars(VOLUME), **changed})
        estimate = estimate_run(tunes, volume, NOVEMBER, emulated=False)
        return estimate.of_stages(stage, candidate=candidate).cost_usd

    assert usd("evaluation", "tuned") == pytest.approx(1.5 * usd("evaluation", "base"))
    assert usd("checkpoints", "tuned") == pytest.approx(3 * usd("evaluation", "tuned"))
    assert usd("suites", "tuned") == pytest.approx(2.5 * usd("suites", "base"))
    assert usd("evaluation", "champion") == pytest.approx(
        1.5 * usd("evaluation", "champion", tuned=False)
    )
    assert usd("generation", "tuned") == pytest.approx(
        1.5 * 1.1 * (0.001 * 0.25 + 0.00004 * 1.50), rel=1e-3
    )


def test_metrics_that_the_service_computes_are_priced_by_characters() -> None:
    section = {"metrics": ["exact_match", "bleu", "json_valid"], "computed_by": "service"}
    volume = RunVolume(**{**vars(VOLUME), "reference_characters": 50_000})
    served = estimate_run(use_case_with(evaluation=section), volume, NOVEMBER, emulated=False)
    stage, _ = served.of_stages("metrics").stages
    assert (stage.candidate, stage.calls, stage.maximum_tokens) == ("flash", 2 * 2, 0)
    # Two metrics read answers and references of 50,000 characters each; 200 scores are written.
    assert stage.cost_usd == pytest.approx(2 * (0.1 * 0.03 + 200 * 20 / 1e6 * 0.09))
    assert present(stage.maximum_usd) > present(stage.cost_usd)
    here = use_case_with(evaluation={**section, "computed_by": "here"})
    assert not estimate_run(here, volume, NOVEMBER, emulated=False).of_stages("metrics").stages
