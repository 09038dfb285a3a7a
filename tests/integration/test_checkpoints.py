"""The best checkpoint is the one that does best on rows that it was not trained on."""

from __future__ import annotations

import dagster as dg
import pytest

from genaiops_dagster.evaluation.assets import build_assets as evaluation_assets
from genaiops_dagster.evaluation.checkpoints import CheckpointScore, best_checkpoint
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.planning.assets import build_assets as budget_assets
from genaiops_dagster.records.evaluation import MetricSummary
from genaiops_dagster.records.tuning import Checkpoint
from genaiops_dagster.tuning.assets import build_assets as tuning_assets
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import (
    colours_use_case,
    error_text,
    materialize,
    open_store,
    record_of,
    store_data,
)
from vertex_emulator.testing import RunningEmulator

BEST = {
    "flash": {
        "model": "gemini-3.5-flash",
        "generation": {"max_output_tokens": 8, "thinking_level": "MINIMAL"},
    },
    "tuned": {
        "model": "tuned",
        "checkpoint": "best",
        "generation": {"max_output_tokens": 8},
    },
}


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


def asked(emulator: RunningEmulator) -> int:
    vertex = emulator.stats()["requests"].get("vertex", {})
    return int(vertex.get("generateContent", 0))


def scored(*means: float | None) -> list[CheckpointScore]:
    return [
        CheckpointScore(
            checkpoint=Checkpoint(id=str(epoch), epoch=epoch, step=epoch, endpoint=f"e/{epoch}"),
            score=MetricSummary(mean=mean, low=None, high=None, rows=1, errors=0),
        )
        for epoch, mean in enumerate(means, 1)
    ]


@pytest.mark.parametrize(
    ("means", "epoch"),
    [((0.1, 0.9, 0.5), 2), ((0.7, 0.7, 0.7), 1), ((None, 0.2), 2), ((0.3, 0.6, 0.6), 2)],
)
def test_the_highest_mean_wins_and_the_earliest_of_equals(
    means: tuple[float | None, ...], epoch: int
) -> None:
    found = best_checkpoint(scored(*means))
    assert found is not None
    assert found.epoch == epoch


def test_without_a_score_nothing_is_chosen() -> None:
    assert best_checkpoint(scored(None, None)) is None


def build(use_case: UseCase) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    mine = {"best_checkpoint", "tuned"}
    reports = [
        asset
        for asset in evaluation_assets(use_case)
        if not isinstance(asset, dg.AssetChecksDefinition) and asset.key.path[-1] in mine
    ]
    return [*budget_assets(use_case), *tuning_assets(use_case), *reports]


def test_the_candidate_is_asked_at_its_best_checkpoint(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(
        candidates=BEST, tuning={"base_model": "gemini-3.5-flash", "epochs": 3, "claim_seconds": 4}
    )
    store_data(store, use_case, rows=80, validation=15)
    before = asked(emulator)
    result = materialize(use_case, build(use_case))
    assert result.success, error_text(result)
    assert asked(emulator) - before == 3 * 15 + 25
    tuned = record_of(store, use_case, "tuned_model") or {}
    best = record_of(store, use_case, "best_checkpoint") or {}
    report = record_of(store, use_case, "evaluation_report/tuned") or {}
    assert best["endpoint"] in {one["endpoint"] for one in tuned["checkpoints"]}
    assert best["fingerprint"] == tuned["fingerprint"]
    assert report["model"] == best["endpoint"]
    estimate = record_of(store, use_case, "cost_estimate") or {}
    (choosing,) = [one for one in estimate["stages"] if one["stage"] == "checkpoints"]
    assert choosing["calls"] == 3 * 15
    assert materialize(use_case, build(use_case)).success
    assert asked(emulator) - before == 3 * 15 + 25


def test_without_validation_rows_there_is_no_best_checkpoint(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(candidates=BEST)
    store_data(store, use_case)
    result = materialize(use_case, build(use_case))
    assert "split.validation" in error_text(result)
