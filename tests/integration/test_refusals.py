"""A refusal for lack of evidence is recorded like any other, and nothing after it is paid for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from google.cloud import bigquery

from genaiops_dagster.comparison.assets import build_assets as comparison_assets
from genaiops_dagster.evaluation.assets import build_assets as evaluation_assets
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.promotion.assets import build_assets as promotion_assets
from genaiops_dagster.promotion.log import DecisionLog
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.serving.daily.assets import build_assets as serving_assets
from tests.integration.evaluation import (
    content_requests,
    faults,
    put_inputs,
    put_tuned_model,
    store,
    use_case_of,
)
from tests.values import present
from vertex_emulator.testing import RunningEmulator

__all__ = ["faults", "store"]

ROWS = 40
CANDIDATES = {
    "flash": {
        "model": "gemini-3.1-pro-preview",
        "generation": {"max_output_tokens": 16, "thinking_level": "LOW"},
    },
    "lite": {"model": "gemini-3.1-flash-lite", "generation": {"max_output_tokens": 16}},
}
JUDGE = {
    "model": "gemini-3.5-flash-lite",
    "metrics": {"quality": {"criteria": "It names the module."}},
    "pairwise": {"criteria": "It names the module.", "baseline": "lite"},
}


@pytest.mark.parametrize(
    ("fault", "outcome", "reason"),
    [
        (
            {"kind": "block", "service": "vertex", "method": "generateContent", "times": 20},
            "REJECT",
            "rows answered",
        ),
        (
            {"kind": "judge", "error_probability": 1.0},
            "INSUFFICIENT",
            "the judge failed on 40 of 40 rows",
        ),
    ],
)
def test_incomplete_evidence_is_refused_and_the_refusal_recorded(
    emulator: RunningEmulator,
    store: ObjectStore,
    faults: Callable[..., None],
    fault: dict[str, Any],
    outcome: str,
    reason: str,
) -> None:
    use_case = use_case_of(CANDIDATES, judge=JUDGE)
    easy = [{"rule": "threshold", "metric": "exact_match", "at_least": 0.0}]
    gate = use_case.gate.model_validate({"challenger": "flash", "rules": easy})
    use_case = use_case.model_copy(update={"gate": gate})
    put_inputs(store, use_case, rows=ROWS)
    put_tuned_model(store, use_case, "projects/p/locations/l/endpoints/1", "none")
    faults(fault)
    before = content_requests(emulator)
    given = ("evaluation_set", "prompt", "tuned_model", "cost_estimate")

    result = dg.materialize(
        [
            *(dg.AssetSpec([use_case.name, name]) for name in given),
            *evaluation_assets(use_case),
            *comparison_assets(use_case),
            *promotion_assets(use_case),
            *serving_assets(use_case),
        ],
        resources=build_resources(),
        raise_on_error=False,
    )

    made = {
        present(event.asset_key).path[-1] for event in result.get_asset_materialization_events()
    }
    assert "promotion_decision" in made
    assert not made & {"generated_content", "preference_report"}
    assert not store.exists(f"{use_case.name}/champion.json")
    failed = {
        check.check_name for check in result.get_asset_check_evaluations() if not check.passed
    }
    assert "gate" in failed
    [entry] = DecisionLog(store, use_case.name, SYSTEM_CLOCK).read()
    assert entry.decision is not None
    assert entry.decision.verdict.outcome == outcome
    assert any(reason in text for text in entry.decision.verdict.reasons)
    sql = f"SELECT outcome, reasons FROM genaiops.promotions WHERE use_case = '{use_case.name}'"
    [row] = bigquery.Client().query_and_wait(sql)
    assert (row.outcome, list(row.reasons)) == (outcome, entry.decision.verdict.reasons)
    assert content_requests(emulator) - before <= 2 * ROWS, "nobody was asked after the refusal"
