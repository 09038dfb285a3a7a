"""Ledger, table of spend and the emulator's own bill agree, whatever acknowledgements are lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud import bigquery

from genaiops_dagster.budget.ledger import Ledger
from genaiops_dagster.budget.spend import Spend, record_spend
from genaiops_dagster.evaluation.assets import build_assets as evaluation_assets
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.planning.assets import build_assets as budget_assets
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.tuning.assets import build_assets as tuning_assets
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import (
    colours_use_case,
    error_text,
    materialize,
    open_store,
    store_data,
)
from vertex_emulator.testing import RunningEmulator

ASSETS = ("cost_estimate", "tuned_model", "evaluation_report/flash", "evaluation_report/tuned")
BASE = "gemini-3.5-flash"
PRICES = {BASE: {"input": 3.0, "output": 7.0, "tuning": 5.0, "tuned_factor": 1.0}}
LOST = (
    ("storage", "objects.insert", 0.1),
    ("bigquery", "*", 0.1),
    ("vertex", "generateContent", 0.1),
    ("vertex", "tuningJobs.*", 0.2),
)


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


@pytest.fixture
def lost_acknowledgements(emulator: RunningEmulator) -> Iterator[None]:
    """Work that is done, and whose answer does not come."""
    for service, method, probability in LOST:
        emulator.add_fault(
            kind="drop", when="after", service=service, method=method, probability=probability
        )
    yield
    emulator.clear_faults()


def billed_usd(emulator: RunningEmulator) -> float:
    """What the emulator has served so far, in dollars; it has no cache of ours."""
    tokens = emulator.stats()["tokens"].get(BASE, {})
    kinds = {"input": "input", "output": "output", "training": "tuning"}
    return sum(tokens.get(kind, 0) * PRICES[BASE][price] / 1e6 for kind, price in kinds.items())


def recorded_usd(use_case: UseCase) -> float:
    """The sum over the table of spend."""
    rows = bigquery.Client().query_and_wait(
        "SELECT SUM(cost_usd) AS usd FROM genaiops.spend WHERE use_case = @name",
        job_config=bigquery.QueryJobConfig(
            query_parameters=[bigquery.ScalarQueryParameter("name", "STRING", use_case.name)]
        ),
    )
    return next(iter(rows)).usd or 0.0


def run(use_case: UseCase) -> str:
    """Materialize everything that is paid for; what failed."""
    rooms: Any = (budget_assets, tuning_assets, evaluation_assets)
    assets = [asset for room in rooms for asset in room(use_case)]
    return error_text(materialize(use_case, assets, only=ASSETS))


@pytest.mark.usefixtures("lost_acknowledgements")
@pytest.mark.parametrize("runs", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_all_books_agree_to_the_cent(
    emulator: RunningEmulator, store: ObjectStore, runs: int
) -> None:
    for number in range(runs):
        use_case = colours_use_case(budget={"prices": PRICES})
        store_data(store, use_case, rows=36)
        before = billed_usd(emulator)
        said = run(use_case)
        if said:  # what a lost answer broke off is done again, as a person would
            said = run(use_case)
        assert said == ""
        month = Ledger(store, use_case.name, use_case.budget, SYSTEM_CLOCK).read()
        billed = billed_usd(emulator) - before
        assert billed > 0
        assert sum(entry.spent_usd for entry in month.entries) == pytest.approx(billed), number
        assert recorded_usd(use_case) == pytest.approx(billed), number
        assert not [entry for entry in month.entries if entry.reserved_usd], number


@pytest.mark.parametrize("method", ["jobs.insert", "jobs.get", "jobs.query", "tables.delete"])
def test_a_row_whose_writer_hears_nothing_is_written_once(
    emulator: RunningEmulator, method: str
) -> None:
    use_case = colours_use_case()
    payment = Spend(
        id=method,
        use_case=use_case.name,
        stage="evaluation",
        run_id="run",
        model="gemini-3.5-flash",
        requests=1,
        input_tokens=1,
        output_tokens=1,
        cost_usd=1.5,
        emulated=True,
    )
    emulator.add_fault(kind="drop", when="after", service="bigquery", method=method, times=1)
    try:
        warehouse = Warehouse.connect(GoogleCloudSettings.from_environment(), SYSTEM_CLOCK)
        record_spend(warehouse, [payment], SYSTEM_CLOCK.now())
    finally:
        emulator.clear_faults()
    assert recorded_usd(use_case) == 1.5
