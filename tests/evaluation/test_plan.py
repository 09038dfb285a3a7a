"""What an evaluation plans, reserves and records, before and while anything is asked."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genaiops_dagster.budget.ledger import Usage
from genaiops_dagster.budget.limits import BudgetExceededError
from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.evaluation.asking.cache import CacheMissError, CacheMode, RecordCache
from genaiops_dagster.evaluation.asking.inference import Contents, Model, contents_key
from genaiops_dagster.evaluation.plan import EvaluationPlan, plan_evaluation, reserve, works_of
from genaiops_dagster.evaluation.suites.cases import shipped_cases
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.prompts.tokens import user_message
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.use_case import GenerationConfig, Prompt
from genaiops_dagster.use_case.budget import Budget
from genaiops_dagster.use_case.evaluation import Evaluation
from tests.machines.cloud import PARENT, Cloud

BASE = "gemini-2.5-flash"
PRICES = {BASE: {"input": 1.0, "output": 10.0, "tuned_factor": 2.0, "search": 0.5}}
GENERATION = GenerationConfig(max_output_tokens=100)
JUDGE = {"model": BASE, "repeats": 2, "metrics": {"helpful": {"criteria": "It helps."}}}
EXAMPLES = [
    Example(id=f"{n}", group=f"{n}", slices={}, variables={"question": f"q {n}"}, output="yes")
    for n in range(4)
]
QUESTIONS: list[Contents] = [[user_message(f"q {n}")] for n in range(4)]
SAFETY = len(shipped_cases("safety"))


def task_of(*, tuned: bool = False, tools: Any = (), **evaluation: Any) -> EvaluationTask:
    generation = GENERATION.model_copy(update={"tools": [*tools]})
    base = Model(BASE, BASE, generation)
    address = f"{PARENT}/endpoints/1" if tuned else BASE
    return EvaluationTask(
        use_case="words",
        evaluation=Evaluation.model_validate(evaluation),
        candidate="flash",
        model=replace(base, address=address),
        prompt=version(Prompt(template="{{ question }}", system_instruction="Be brief.")),
        evaluation_set=DatasetSplit(
            name="evaluation",
            uri="gs://bucket/words/datasets/data/evaluation.jsonl",
            digest="data",
            dataset_digest="data",
            prompt_digest="prompt",
            rows=4,
            characters=12,
        ),
        base=base if tuned else None,
    )


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where answers wait to be stored
    return Cloud()


def purse_of(cloud: Cloud, **limits: Any) -> Purse:
    budget = Budget.model_validate({"prices": PRICES, **limits})
    clock = cloud.simulation.clock_of()
    return Purse("words", budget, cloud.store, cloud.warehouse, clock, "run")


def plan_of(
    cloud: Cloud, task: EvaluationTask, answered: int = 0, mode: CacheMode = "reuse"
) -> EvaluationPlan:
    """The plan where the first rows were answered before; every text has ten tokens."""
    clock = cloud.simulation.clock_of()
    with RecordCache(cloud.store, "words/responses/a/", Answer, clock, mode=mode) as cache:
        for contents in QUESTIONS[:answered]:
            cache.put(contents_key(contents), Answer(state="answered", text="yes"))
        prices = purse_of(cloud).prices()
        return plan_evaluation(task, EXAMPLES, QUESTIONS, cache, lambda _: 10, prices)


def test_only_answers_that_are_missing_are_paid(cloud: Cloud) -> None:
    """Ten tokens of the prompt and ten of the instruction in, and at most a hundred out."""
    plan = plan_of(cloud, task_of(), answered=1)
    assert plan.missing == [1, 2, 3]
    assert plan.prompt_tokens == 20
    assert plan.answers.calls == 3
    assert (plan.answers.input_tokens, plan.answers.maximum_output_tokens) == (60, 300)
    assert plan.answers.maximum_usd == pytest.approx((60 * 1 + 300 * 10) / 1e6)
    assert plan.answers.largest_request_tokens == 120
    assert (plan.suites, plan.base_suites, plan.metrics, plan.judging) == (None,) * 4


def test_nothing_is_paid_where_all_is_answered(cloud: Cloud) -> None:
    plan = plan_of(cloud, task_of(), answered=4)
    assert (plan.answers.calls, plan.answers.maximum_usd) == (0, 0.0)
    assert plan.answers.largest_request_tokens == 0


def test_a_strict_run_pays_for_nothing(cloud: Cloud) -> None:
    with pytest.raises(CacheMissError, match="4 of 4 answers are not cached"):
        plan_of(cloud, task_of(), mode="strict")


def test_a_judge_rates_every_answer_as_often_as_it_should(cloud: Cloud) -> None:
    judging = plan_of(cloud, task_of(judge=JUDGE), answered=2).judging
    assert judging is not None
    assert judging.calls == 4 * 2


@pytest.mark.parametrize(("tuned", "factor"), [(False, 1), (True, 2)])
def test_a_tuned_model_and_its_base_have_their_own_prices(
    cloud: Cloud, tuned: bool, factor: int
) -> None:
    plan = plan_of(cloud, task_of(tuned=tuned, suites=["safety"]))
    assert plan.suites is not None
    assert plan.suites.calls == SAFETY
    plain = SAFETY * (300 * 1 + 100 * 10) / 1e6
    assert plan.suites.maximum_usd == pytest.approx(factor * plain)
    assert (plan.base_suites is not None) == tuned
    if plan.base_suites is not None:
        assert plan.base_suites.maximum_usd == pytest.approx(plain)


def test_searches_are_planned_reserved_and_recorded(cloud: Cloud) -> None:
    """Suites are asked with the config of their candidate."""
    task = task_of(tools=["google_search"], suites=["safety"])
    plan, purse = plan_of(cloud, task), purse_of(cloud, per_run_usd=100)
    assert plan.answers.maximum_usd == pytest.approx(4 * 0.5 + (80 * 1 + 400 * 10) / 1e6)
    assert plan.suites is not None
    assert plan.suites.maximum_usd == pytest.approx(SAFETY * (0.5 + (300 + 100 * 10) / 1e6))
    with reserve(plan, task, purse, emulated=False) as counters:
        assert counters.suites is not None
        for counter in (counters.answers, counters.suites):
            counter.payment.add(Usage(requests=2))
    spent = {entry.work.partition("/")[0]: entry for entry in purse.ledger().read().entries}
    assert spent["evaluation"].spent_usd == spent["suites"].spent_usd == 2 * 0.5


def test_every_part_is_reserved_under_its_name_and_given_back(cloud: Cloud) -> None:
    task = task_of(
        tuned=True, judge=JUDGE, suites=["safety"], computed_by="service", metrics=["bleu"]
    )
    plan, purse = plan_of(cloud, task), purse_of(cloud)
    with reserve(plan, task, purse, emulated=False):
        reserved = purse.ledger().read().entries
    assert {entry.work for entry in reserved} == set(works_of(task))
    assert all(entry.reserved_usd for entry in reserved)
    assert not any(entry.reserved_usd for entry in purse.ledger().read().entries)


def test_what_does_not_fit_is_not_reserved_in_part(cloud: Cloud) -> None:
    task = task_of(suites=["safety"])
    plan, purse = plan_of(cloud, task), purse_of(cloud, per_run_usd=0.01)
    with (
        pytest.raises(BudgetExceededError, match="per_run_usd"),
        reserve(plan, task, purse, emulated=False),
    ):
        pass
    assert not any(entry.reserved_usd for entry in purse.ledger().read().entries)
