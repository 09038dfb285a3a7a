"""What the month has spent counts before anything is paid, and nothing counts twice."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.budget.ledger import Ledger, Usage
from genaiops_dagster.evaluation.assets import build_assets as evaluation_assets
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.planning.assets import build_assets as budget_assets
from genaiops_dagster.planning.finished import finished_stages
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.record import from_row
from genaiops_dagster.tuning.assets import build_assets as tuning_assets
from genaiops_dagster.use_case import UseCase
from tests.integration.dev import paid_calls
from tests.integration.lifecycle import (
    colours_use_case,
    error_text,
    materialize,
    open_store,
    record_of,
    store_data,
)
from tests.values import present
from vertex_emulator.testing import RunningEmulator

MONTH = 100.0


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


def run(use_case: UseCase, **options: Any) -> dg.ExecuteInProcessResult:
    """Estimate, tuning and reports, as the code location assembles them."""
    assets = [
        *budget_assets(use_case),
        *tuning_assets(use_case),
        *(
            asset
            for asset in evaluation_assets(use_case)
            if not isinstance(asset, dg.AssetChecksDefinition)
            and asset.key.path[-1] in use_case.candidates
        ),
    ]
    return materialize(use_case, assets, **options)


def check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = (
        found
        for found in result.get_asset_check_evaluations()
        if found.check_name == "within_budget"
    )
    return found


def estimate_of(store: ObjectStore, use_case: UseCase) -> CostEstimate:
    return from_row(CostEstimate, present(record_of(store, use_case, "cost_estimate")))


def spend_elsewhere(store: ObjectStore, use_case: UseCase, usd: float) -> None:
    """What another run of the month has spent on something else."""
    Ledger(store, use_case.name, use_case.budget, SYSTEM_CLOCK).set_spent(
        "tuning/other", "another run", usd, Usage(1, 1000)
    )


def test_a_month_that_is_spent_is_refused_by_the_check_with_figures(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(budget={"per_month_usd": MONTH, "token_sample_rows": None})
    store_data(store, use_case)
    assert run(use_case, only=["cost_estimate"]).success
    asked = estimate_of(store, use_case).maximum_usd
    spend_elsewhere(store, use_case, MONTH - asked + 0.01)
    before = paid_calls(emulator)
    result = run(use_case)
    found = check(result)
    assert not result.success
    assert not found.passed
    assert found.description is not None
    assert "budget.per_month_usd is 100.00 USD" in found.description
    assert f"asked {asked:.6g} USD at most" in found.description
    assert found.metadata["spent_and_reserved_this_month_usd"].value == pytest.approx(
        MONTH - asked + 0.01
    )
    failed = {event.step_key for event in result.all_events if event.is_step_failure}
    assert failed == {f"{use_case.name}__cost_estimate_within_budget"}, "a paid step was begun"
    assert paid_calls(emulator) == before


def test_what_is_paid_already_is_not_asked_of_the_month_again(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(
        budget={"per_month_usd": MONTH, "token_sample_rows": None}, serving={}
    )
    store_data(store, use_case)
    first = run(use_case)
    assert first.success, error_text(first)
    spend_elsewhere(store, use_case, MONTH)
    before = paid_calls(emulator)
    again = run(use_case)
    assert again.success, check(again).description
    assert check(again).metadata["not_paid_yet_usd"].value == 0
    assert paid_calls(emulator) == before


def test_what_is_kept_is_told_by_what_would_be_made_now(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(serving={})
    store_data(store, use_case)
    assert run(use_case).success
    estimate = estimate_of(store, use_case)

    def changed(**sections: Any) -> set[str]:
        content = use_case.model_dump(mode="json", exclude_unset=True)
        other = UseCase.model_validate({**content, **sections})
        return finished_stages(other, store, estimate)

    def of(candidate: str) -> set[str]:
        stages = ("checkpoints", "evaluation", "metrics", "suites", "judging")
        return {f"{stage}/{candidate}" for stage in stages}

    assert changed() == {"tuning"} | of("flash") | of("tuned")
    endpoint: Any = record_of(store, use_case, "tuned_model")
    champion = {
        "number": 1,
        "model": endpoint["endpoint"],
        "base_model": "gemini-3.5-flash",
        "generation": use_case.candidates["tuned"].generation.model_dump(),
        "prompt_digest": estimate.prompt_digest,
        "prompt_template": use_case.prompt.template,
        "system_instruction": use_case.prompt.system_instruction,
        "use_case": use_case.name,
        "candidate": "tuned",
        "registered_model": None,
        "report_fingerprint": "",
        "report_uri": "",
        "decision_uri": "",
        "promoted": "",
        "emulated": True,
    }
    store.write(f"{use_case.name}/champion.json", json.dumps(champion).encode())
    tuned = {"tuning"} | of("tuned") | of("champion")  # the champion is what `tuned` is
    assert changed() == of("flash") | tuned
    assert changed(tuning={"base_model": "gemini-3.5-flash", "epochs": 3}) == of("flash")
    short = {
        "model": "gemini-3.5-flash",
        "generation": {"max_output_tokens": 4, "thinking_level": "MINIMAL"},
    }
    candidates = {"flash": short, "tuned": use_case.candidates["tuned"].model_dump()}
    assert changed(candidates=candidates) == tuned
    judge = {
        "model": "gemini-3.8-flash",
        "metrics": {"kind": {"criteria": "The answer is kind."}},
    }
    assert changed(evaluation={"judge": judge}) == {"tuning"}
