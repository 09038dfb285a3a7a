"""BigQuery is away while something is paid for or decided: the work stands, the copy follows."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud import bigquery

from genaiops_dagster.budget.ledger import STALE_SECONDS, Usage
from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.promotion.tables import publish_log
from genaiops_dagster.records.clock import SYSTEM_CLOCK, Clock
from genaiops_dagster.use_case.budget import Budget
from tests.integration.promotion_bench import Bench
from tests.integration.test_budget import asking
from vertex_emulator.testing import RunningEmulator

AWAY = {"kind": "error", "service": "bigquery", "status": 403}
NO_WRITES = {**AWAY, "path": "^/upload/bigquery"}


@pytest.fixture(autouse=True)
def _faults(emulator: RunningEmulator) -> Iterator[None]:
    yield
    emulator.clear_faults()


@pytest.fixture
def settings(emulator: RunningEmulator) -> GoogleCloudSettings:
    return GoogleCloudSettings.from_environment(emulator.variables)


def purse(settings: GoogleCloudSettings, name: str, run_id: str, later: float = 0.0) -> Purse:
    """The purse of a run, some seconds from now."""

    def now() -> dt.datetime:
        return SYSTEM_CLOCK.now() + dt.timedelta(seconds=later)

    clock = Clock(now, SYSTEM_CLOCK.elapsed, SYSTEM_CLOCK.sleep)
    store, warehouse = ObjectStore.connect(settings), Warehouse.connect(settings, clock)
    return Purse(name, Budget(), store, warehouse, clock, run_id)


def pay(purse: Purse, work: str, error: Exception | None = None) -> None:
    with purse.paying(
        work, stage="evaluation", model="gemini-2.5-flash", estimate=asking(1.0)
    ) as payment:
        payment.add(Usage(1, 1000, 10))
        if error is not None:
            raise error


def recorded(name: str) -> dict[str, int]:
    """Input tokens in the table `spend`, by work."""
    rows = bigquery.Client().query_and_wait(
        "SELECT id, input_tokens FROM genaiops.spend WHERE use_case = @name",
        job_config=bigquery.QueryJobConfig(
            query_parameters=[bigquery.ScalarQueryParameter("name", "STRING", name)]
        ),
    )
    return {row["id"].partition("@")[0]: row["input_tokens"] for row in rows}


def test_what_was_paid_is_recorded_by_the_next_paid_step(
    emulator: RunningEmulator, settings: GoogleCloudSettings, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"u{uuid.uuid4().hex}"
    first = purse(settings, name, "first")
    emulator.add_fault(**AWAY)
    with caplog.at_level(logging.WARNING):
        pay(first, "evaluation/a")
    assert "next paid step" in caplog.text
    [entry] = first.ledger().read().entries
    assert (entry.spent_tokens, entry.reserved_usd, entry.recorded) == (1010, 0.0, False)

    emulator.clear_faults()
    pay(purse(settings, name, "second", later=STALE_SECONDS + 1), "evaluation/b")
    assert recorded(name) == {"evaluation/a": 1000, "evaluation/b": 1000}
    assert all(entry.recorded for entry in first.ledger().read().entries)


@pytest.mark.parametrize("service", ["bigquery", "storage"])
def test_a_step_that_failed_says_why_although_nothing_can_be_recorded(
    emulator: RunningEmulator, settings: GoogleCloudSettings, service: str
) -> None:
    paying = purse(settings, f"u{uuid.uuid4().hex}", "run")
    emulator.add_fault(kind="error", service=service, status=403, method="jobs.insert")
    emulator.add_fault(kind="error", service=service, status=403, method="objects.insert", skip=1)
    with pytest.raises(ValueError, match="the model said nothing"):
        pay(paying, "evaluation/a", ValueError("the model said nothing"))


def test_a_decision_that_cannot_be_copied_stands_and_is_copied_later(
    emulator: RunningEmulator, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    assert bench.materialize("model_comparison").success
    emulator.add_fault(**NO_WRITES)
    assert bench.materialize("promotion_decision").success
    assert "copies it again" in caplog.text
    entries = bench.log.read()
    assert entries
    emulator.clear_faults()
    publish_log(Warehouse(lambda: bench.bigquery, "genaiops", SYSTEM_CLOCK), bench.log)
    assert {row["number"] for row in bench.rows("promotions")} == {e.number for e in entries}


def test_a_comparison_that_cannot_be_copied_is_made_and_copied_later(
    emulator: RunningEmulator, bench: Bench
) -> None:
    emulator.add_fault(**AWAY)
    assert bench.materialize("model_comparison").success
    found: Any = bench.get("model_comparison")
    assert bench.store.read(f"{bench.name}/comparisons/{found['id']}/comparison.json")
    emulator.clear_faults()
    assert bench.materialize("model_comparison").success
    assert {row["comparison_id"] for row in bench.rows("model_comparisons")} == {found["id"]}
