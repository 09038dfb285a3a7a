"""Load tests over the emulator, whose latency and capacity are known."""

from __future__ import annotations

import heapq
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.orchestration.assembly import build_use_case
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.records.record import from_row
from genaiops_dagster.records.serving import LoadTest
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import (
    colours_use_case,
    error_text,
    open_store,
    record_of,
    store_data,
)
from tests.values import present, text_of
from vertex_emulator.testing import RunningEmulator, faults

SLOW = {"kind": "latency", "service": "vertex", "method": "streamGenerateContent", "seconds": 2.0}


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


def loaded(store: ObjectStore, *steps: dict[str, Any], **policy: Any) -> UseCase:
    use_case = colours_use_case(
        budget={"per_run_usd": 30.0},
        serving={"load_test": {"steps": list(steps), **policy}},
        gate={
            "challenger": "flash",
            "rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0.1}],
        },
    )
    store_data(store, use_case)
    tuned = {"fingerprint": "t", "job": "j", "state": "JOB_STATE_SUCCEEDED"}
    tuned |= {"base_model": "gemini-3.5-flash", "model": "m", "endpoint": "e", "checkpoints": []}  # type: ignore[dict-item]
    tuned |= {"training_digest": "t", "prompt_digest": "p", "epochs": 1, "examples": 1}  # type: ignore[dict-item]
    tuned |= {"steps": None, "billable_tokens": None, "dropped_count": 0, "dropped_examples": {}}  # type: ignore[dict-item]
    tuned |= {"cost_usd": None, "emulated": True}  # type: ignore[dict-item]
    store.write(f"{use_case.name}/assets/tuned_model.json", json.dumps(tuned).encode())
    return use_case


def run(use_case: UseCase, **options: Any) -> dg.ExecuteInProcessResult:
    definitions = dg.Definitions.merge(
        build_use_case(use_case), dg.Definitions(resources=build_resources())
    )
    job = definitions.resolve_job_def(f"{use_case.name}_load_test")
    return job.execute_in_process(raise_on_error=False, **options)


def result_of(store: ObjectStore, use_case: UseCase, run_: dg.ExecuteInProcessResult) -> LoadTest:
    assert run_.success, error_text(run_)
    return from_row(LoadTest, present(record_of(store, use_case, "load_test")))


def test_a_load_test_is_measured_judged_charted_and_paid(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = loaded(
        store,
        {"users": 2, "seconds": 1},
        {"rate": 5, "seconds": 2, "arrivals": "even"},
        objective={"at_most_seconds": 0.001, "rate": 5},
        most_requests=1000,
    )
    done = run(use_case)
    test = result_of(store, use_case, done)
    closed, open_ = test.steps
    assert closed.requests + open_.requests <= 1000
    assert open_.requests
    assert (closed.failed, open_.failed) == (0, 0)
    assert (
        0
        < present(closed.first_token.p50)
        <= present(closed.latency.p50)
        <= present(closed.latency.p99)
    )
    assert test.met is False
    assert present(test.cost_usd) > 0
    [check] = done.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("latency_slo", False)
    [event] = done.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert text_of(metadata["latency_against_load"]).startswith(
        "![Latency against throughput](data:"
    )
    lines = present(store.read(store.name_of(test.samples_uri))).splitlines()
    assert len(lines) == closed.requests + open_.requests
    [ledger] = [one.name for one in store.list(f"{use_case.name}/budget/")]
    [entry] = present(store.read_json(ledger))["entries"]
    assert entry["work"].startswith("load_test/")
    assert entry["spent_usd"] == pytest.approx(test.cost_usd)
    assert entry["reserved_usd"] == 0


def test_a_budget_that_is_too_small_sends_nothing(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = loaded(store, {"users": 1, "seconds": 1})
    budget = use_case.budget.model_copy(update={"per_run_usd": 0.000_001})
    before = emulator.stats()["requests"]["vertex"].get("streamGenerateContent", 0)
    done = run(use_case.model_copy(update={"budget": budget}))
    assert "budget.per_run_usd" in error_text(done)
    assert emulator.stats()["requests"]["vertex"].get("streamGenerateContent", 0) == before


def test_an_unknown_candidate_is_refused(emulator: RunningEmulator, store: ObjectStore) -> None:
    use_case = loaded(store, {"users": 1, "seconds": 1})
    config = {"ops": {f"{use_case.name}__load_test": {"config": {"candidate": "nobody"}}}}
    assert "no candidate 'nobody'; there are: flash" in error_text(run(use_case, run_config=config))


def test_the_gate_waits_for_a_load_test_of_the_challenger(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    """The asset is part of the lifecycle then, before the decision."""
    use_case = loaded(store, {"users": 1, "seconds": 1}, objective={"at_most_seconds": 30})
    gated = UseCase.model_validate(
        {
            **use_case.model_dump(exclude_unset=True),
            "gate": {"challenger": "flash", "rules": [{"rule": "latency_slo"}]},
        }
    )
    definitions = dg.Definitions.merge(
        build_use_case(gated), dg.Definitions(resources=build_resources())
    )
    steps = definitions.resolve_job_def(f"{gated.name}_lifecycle").asset_layer
    keys = {key.path[-1] for key in steps.executable_asset_keys}
    assert {"load_test", "promotion_decision"} <= keys
    decision = definitions.resolve_assets_def(dg.AssetKey([gated.name, "promotion_decision"]))
    assert dg.AssetKey([gated.name, "load_test"]) in decision.dependency_keys
    plain = dg.Definitions.merge(
        build_use_case(use_case), dg.Definitions(resources=build_resources())
    ).resolve_job_def(f"{use_case.name}_lifecycle")
    names = {key.path[-1] for key in plain.asset_layer.executable_asset_keys}
    assert "load_test" not in names


def test_the_command_prints_the_figures(
    emulator: RunningEmulator, store: ObjectStore, tmp_path: Path
) -> None:
    use_case = loaded(store, {"users": 2, "seconds": 1}, objective={"at_most_seconds": 30})
    (tmp_path / "cases").mkdir()
    content = use_case.model_dump(mode="json", exclude_unset=True)
    (tmp_path / "cases" / "mine.yaml").write_text(yaml.safe_dump(content))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "genaiops_dagster.cli", "load-test", use_case.name),
            *("--folder", str(tmp_path / "state")),
        ],
        env={
            **os.environ,
            **emulator.variables,
            "GENAIOPS_USE_CASES": str(tmp_path / "cases"),
            "COLUMNS": "200",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 users" in done.stdout
    assert "met" in done.stdout


def summed(test: LoadTest) -> str:
    return test.model_dump_json(indent=2)


@pytest.mark.slow
def test_figures_are_within_5_percent_of_the_truth(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    """Latency 4 s: 2 users get an answer every 2 s, and 2 requests a second are answered."""
    use_case = loaded(
        store,
        {"users": 2, "seconds": 20},
        {"rate": 2, "seconds": 15, "arrivals": "even"},
    )
    with faults(emulator, {**SLOW, "seconds": 4.0}):
        test = result_of(store, use_case, run(use_case))
    closed, open_ = test.steps
    assert closed.throughput == pytest.approx(0.5, rel=0.05), summed(test)
    assert closed.latency.p50 == pytest.approx(4, rel=0.05), summed(test)
    assert open_.throughput == pytest.approx(2, rel=0.05), summed(test)
    assert open_.latency.p50 == pytest.approx(4, rel=0.05), summed(test)
    assert open_.first_token.p50 == pytest.approx(4, rel=0.05), summed(test)


def waits(count: int, interval: float, connections: int, seconds: float) -> list[float]:
    """Latencies of a queue, from arrival to answer, in order of size."""
    free, found = [0.0] * connections, []
    for number in range(count):
        begun = max(number * interval, heapq.heappop(free))
        heapq.heappush(free, begun + seconds)
        found.append(begun + seconds - number * interval)
    return sorted(found)


@pytest.mark.slow
def test_beyond_its_capacity_waiting_counts(emulator: RunningEmulator, store: ObjectStore) -> None:
    """One connection of 2 s bears a request every 2 s; one a second arrives, and waits."""
    use_case = loaded(
        store, {"rate": 1, "seconds": 20, "arrivals": "even"}, most_concurrent=1
    )  # fmt: skip
    with faults(emulator, SLOW):
        test = result_of(store, use_case, run(use_case))
    [step] = test.steps
    truth = waits(count=20, interval=1.0, connections=1, seconds=2.0)
    assert step.throughput == pytest.approx(0.5, rel=0.05), summed(test)
    assert step.latency.p50 == pytest.approx(sum(truth[9:11]) / 2, rel=0.05), summed(test)
    assert step.latency.p99 == pytest.approx(truth[-1], rel=0.05), summed(test)


@pytest.mark.slow
def test_a_quota_is_found(emulator: RunningEmulator, store: ObjectStore) -> None:
    """101 in a minute, of which one goes before the test: of 200 requests one half is refused."""
    use_case = loaded(store, {"rate": 10, "seconds": 20, "arrivals": "even"})
    quota = {"kind": "quota", "method": "streamGenerateContent", "requests_per_minute": 101}
    with faults(emulator, quota):
        test = result_of(store, use_case, run(use_case))
    [step] = test.steps
    assert step.error_rate == pytest.approx(0.5, rel=0.05), summed(test)
    assert set(step.errors) == {"429 RESOURCE_EXHAUSTED"}
