"""The ledger in the bucket: concurrent runs cannot together go past a limit."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.cloud import storage

from genaiops_dagster.budget import ledger as ledger_module
from genaiops_dagster.budget.ledger import Ledger, Usage, spend_by_month
from genaiops_dagster.budget.limits import BudgetExceededError
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.planning.assets import spend_metadata
from genaiops_dagster.records.budget import CostEstimate, StageCost, totals
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.use_case.budget import Budget
from vertex_emulator.testing import RunningEmulator


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    settings = GoogleCloudSettings.from_environment(emulator.variables)
    return ObjectStore(storage.Client(project=settings.project), settings.bucket)


@pytest.fixture
def name() -> str:
    return f"u{uuid.uuid4().hex}"


def asking(usd: float, tokens: int = 1000) -> CostEstimate:
    stage = StageCost(
        stage="evaluation",
        model="gemini-3.5-flash",
        calls=10,
        input_tokens=tokens,
        output_tokens=0,
        maximum_output_tokens=0,
        cost_usd=usd,
        maximum_usd=usd,
    )
    return CostEstimate(
        use_case="words",
        training_digest="",
        evaluation_digest="",
        prompt_digest="",
        stages=[stage],
        error_share=0.0,
        emulated=True,
        **totals([stage]),
    )


def test_concurrent_runs_cannot_together_exceed_the_month(store: ObjectStore, name: str) -> None:
    """Eight runs ask for 3 USD each at the same moment; 10 USD are enough for three of them."""
    budget = Budget(per_month_usd=10.0)
    together = threading.Barrier(8)

    def run(number: int) -> bool:
        together.wait()
        try:
            Ledger(store, name, budget, SYSTEM_CLOCK).reserve(
                f"work-{number}", f"run-{number}", asking(3.0)
            )
        except BudgetExceededError as error:
            return "budget.per_month_usd is 10.00 USD; asked 3.00 USD at most" not in str(error)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(run, range(8))) == 3
    assert Ledger(store, name, budget, SYSTEM_CLOCK).read().taken().usd == pytest.approx(9.0)


def test_the_parts_of_a_run_cannot_together_exceed_its_limit(store: ObjectStore, name: str) -> None:
    ledger = Ledger(store, name, Budget(per_run_usd=5.0), SYSTEM_CLOCK)
    ledger.reserve("a", "run", asking(3.0))
    with pytest.raises(BudgetExceededError, match=r"per_run_usd .* left 2\.00 USD"):
        ledger.reserve("b", "run", asking(3.0))
    ledger.reserve("b", "another run", asking(3.0))


def test_what_was_used_takes_the_place_of_what_was_reserved(store: ObjectStore, name: str) -> None:
    ledger = Ledger(store, name, Budget(per_run_usd=5.0), SYSTEM_CLOCK)
    ledger.reserve("a", "run", asking(3.0))
    ledger.set_spent("a", "run", 0.5, Usage(1, 100))
    assert ledger.read().taken("run").usd == pytest.approx(3.0)
    ledger.set_spent("a", "run", 1.0, Usage(1, 200))
    ledger.set_spent("a", "run", 1.0, Usage(1, 200))  # as after an answer that was lost
    ledger.release("a", "run")
    assert ledger.read().taken("run").usd == pytest.approx(1.0)
    assert ledger.read().taken("run").tokens == 200
    ledger.reserve("b", "run", asking(4.0))


def test_spending_more_than_was_reserved_is_counted(store: ObjectStore, name: str) -> None:
    ledger = Ledger(store, name, Budget(per_run_usd=5.0), SYSTEM_CLOCK)
    ledger.reserve("a", "run", asking(1.0))
    ledger.set_spent("a", "run", 2.5, Usage(1, 100))
    assert ledger.read().taken("run").usd == pytest.approx(2.5)


def test_a_step_that_is_tried_again_reserves_once(store: ObjectStore, name: str) -> None:
    ledger = Ledger(store, name, Budget(per_run_usd=5.0), SYSTEM_CLOCK)
    for _ in range(3):
        ledger.reserve("a", "run", asking(3.0))
    assert ledger.read().taken("run").usd == pytest.approx(3.0)


def test_the_reservation_of_a_killed_run_is_taken_over_when_it_is_silent(
    store: ObjectStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(store, name, Budget(per_month_usd=5.0), SYSTEM_CLOCK)
    ledger.reserve("a", "killed", asking(3.0))
    ledger.set_spent("a", "killed", 1.0, Usage(1, 100))
    with pytest.raises(BudgetExceededError):
        ledger.reserve("a", "next", asking(3.0))
    monkeypatch.setattr(ledger_module, "STALE_SECONDS", 0.0)
    ledger.reserve("a", "next", asking(3.0))
    assert ledger.read().taken("killed").usd == pytest.approx(1.0)
    assert ledger.read().taken().usd == pytest.approx(4.0)


def test_work_that_is_paid_once_is_counted_once(store: ObjectStore, name: str) -> None:
    """A tuning job that one run reserved and two others found done."""
    ledger = Ledger(store, name, Budget(), SYSTEM_CLOCK)
    ledger.reserve("job", "killed", asking(3.0))
    ledger.settle_once("job", "second", 2.0, 500)
    ledger.settle_once("job", "third", 2.0, 500)
    assert ledger.read().taken().usd == pytest.approx(2.0)
    assert ledger.read().taken().tokens == 500


def test_what_was_spent_is_shown_by_month_and_stage(store: ObjectStore, name: str) -> None:
    for month, work, usd in (
        ("2026-10", "tuning/a", 2.0),
        ("2026-11", "evaluation/b", 0.25),
        ("2026-11", "evaluation/c", 0.5),
    ):
        ledger = Ledger(store, name, Budget(), SYSTEM_CLOCK, month)
        ledger.reserve(work, "run", asking(3.0))
        ledger.set_spent(work, "run", usd, Usage(1, 100))
        ledger.release(work, "run")
    spend = spend_by_month(store, name)
    assert [(one.month, one.stage, one.usd) for one in spend] == [
        ("2026-10", "tuning", 2.0),
        ("2026-11", "evaluation", 0.75),
    ]
    metadata = spend_metadata(spend, limit_usd=5.0)
    assert str(metadata["spent_by_month"].value).startswith("![US dollars spent by month](data:")
    assert spend_metadata([], None) == {}


def test_each_month_has_its_own_limit(store: ObjectStore, name: str) -> None:
    budget = Budget(per_month_usd=5.0)
    Ledger(store, name, budget, SYSTEM_CLOCK, "2026-11").reserve("a", "run", asking(4.0))
    Ledger(store, name, budget, SYSTEM_CLOCK, "2026-12").reserve("a", "run", asking(4.0))
    with pytest.raises(BudgetExceededError):
        Ledger(store, name, budget, SYSTEM_CLOCK, "2026-11").reserve("b", "run", asking(4.0))
