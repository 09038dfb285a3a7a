"""A sweep is more tuned models, each a candidate, under a limit of its own."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.evaluation.assets import build_assets as evaluation_assets
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.planning.assets import build_assets as budget_assets
from genaiops_dagster.tuning.assets import build_assets as tuning_assets
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.tuning import Sweep
from tests.integration.lifecycle import (
    colours_use_case,
    error_text,
    materialize,
    open_store,
    record_of,
    store_data,
)
from vertex_emulator.testing import RunningEmulator


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


def sweeping(maximum_usd: float, **values: Any) -> UseCase:
    return colours_use_case(
        tuning={
            "base_model": "gemini-3.5-flash",
            "epochs": 2,
            "claim_seconds": 4,
            "sweep": {"maximum_usd": maximum_usd, **values},
        }
    )


def jobs_of(emulator: RunningEmulator, use_case: UseCase) -> list[Any]:
    client = VertexAI(GoogleCloudSettings.from_environment(emulator.variables)).genai
    return [
        job
        for job in client.tunings.list()
        if (job.labels or {}).get("genaiops_use_case") == use_case.name
    ]


def test_every_combination_has_a_name_and_is_a_candidate() -> None:
    sweep = Sweep(epochs=[1, 4], learning_rate_multiplier=[0.5], maximum_usd=1)
    assert dict(sweep.variants()) == {
        "epochs_1_rate_0_5": {"epochs": 1, "learning_rate_multiplier": 0.5},
        "epochs_4_rate_0_5": {"epochs": 4, "learning_rate_multiplier": 0.5},
    }
    use_case = sweeping(1, epochs=[1, 4])
    assert list(use_case.candidates) == ["flash", "tuned", "tuned_epochs_1", "tuned_epochs_4"]
    added = use_case.candidates["tuned_epochs_4"]
    assert added.generation == use_case.candidates["tuned"].generation
    assert use_case.tuning.variant("epochs_4").epochs == 4
    assert use_case.tuning.variant(None).epochs == 2


def test_a_sweep_needs_values_and_known_names() -> None:
    with pytest.raises(ValueError, match="give values"):
        Sweep(maximum_usd=1)
    with pytest.raises(ValueError, match="epochs_9"):
        colours_use_case(candidates={"mine": {"model": "tuned", "variant": "epochs_9"}})


def test_each_variant_is_tuned_and_evaluated(emulator: RunningEmulator, store: ObjectStore) -> None:
    use_case = sweeping(1.0, epochs=[1, 2])
    store_data(store, use_case)
    reports = [
        asset
        for asset in evaluation_assets(use_case)
        if not isinstance(asset, dg.AssetChecksDefinition)
        and asset.key.path[-1] == "tuned_epochs_1"
    ]
    result = materialize(use_case, [*budget_assets(use_case), *tuning_assets(use_case), *reports])
    assert result.success, error_text(result)
    own, one, two = (
        record_of(store, use_case, f"tuned_model{name}") or {}
        for name in ("", "/epochs_1", "/epochs_2")
    )
    assert (own["epochs"], one["epochs"], two["epochs"]) == (2, 1, 2)
    assert own["job"] == two["job"], "the same hyperparameters are one job"
    assert len(jobs_of(emulator, use_case)) == 2
    report = record_of(store, use_case, "evaluation_report/tuned_epochs_1")
    assert report is not None
    assert report["model"] == one["endpoint"]


def test_a_sweep_that_may_cost_too_much_is_not_begun(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = sweeping(0.000_001, epochs=[1, 4])
    store_data(store, use_case)
    assets = [*budget_assets(use_case), *tuning_assets(use_case)]
    result = materialize(use_case, assets)
    assert not result.success
    assert jobs_of(emulator, use_case) == []
    alone = materialize(use_case, assets, only=["tuned_model/epochs_1"])
    assert "tuning.sweep.maximum_usd" in error_text(alone)
    assert jobs_of(emulator, use_case) == []
