"""The command that a step of the lifecycle pipeline runs: it materializes the assets of a stage.

Run as `python -m genaiops_dagster.orchestration.steps STEP RESULT`, with a JSON list of the step's
arguments as input; the result is written to the file RESULT (`pipelines/stages.py` does so).

A step is a process in a container, far from Dagster's instance. It materializes the same assets
with the same checks as a run of Dagster does, in an instance of its own that ends with it. What the
assets make stays in the bucket and in the service, where later runs find it by fingerprint. So each
stage has one implementation, and gives the same result wherever it runs.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from google.cloud import storage

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import (
    BIGQUERY_LOCATION,
    BUCKET,
    DATASET,
    LOCATION,
    PROJECT,
)
from genaiops_dagster.orchestration.assembly import build_definitions
from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.pipelines.stages import StageError
from genaiops_dagster.records.data import DatasetSplit, StoredRows
from genaiops_dagster.records.evaluation import EvaluationReport
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import find_record, read_record
from genaiops_dagster.records.tuning import TunedModel, tuned_model_path
from genaiops_dagster.use_case import UseCase

_PLACE = {
    "project": PROJECT,
    "location": LOCATION,
    "bucket": BUCKET,
    "dataset": DATASET,
    "bigquery_location": BIGQUERY_LOCATION,
}
SPLITS = ("training_set", "validation_set", "evaluation_set")


def prepare_data(
    definition: str, place: Mapping[str, str], source_version: str
) -> tuple[str, str, str, str]:
    """The result of `pipelines.stages.prepare_data`."""
    use_case, store = _begin(definition, place)
    rows = find_record(store, StoredRows, use_case.name, "source_rows")
    known = rows is not None and rows.digest == source_version
    estimate = asset_key(use_case, "cost_estimate")
    wanted: dg.AssetSelection = dg.AssetSelection.assets(estimate).upstream()
    if known:
        wanted = wanted - dg.AssetSelection.assets(asset_key(use_case, "source_rows"))
    _materialize(use_case, wanted)
    training, validation, evaluation = (
        read_record(store, DatasetSplit, use_case.name, name).uri for name in SPLITS
    )
    prompt = read_record(store, PromptVersion, use_case.name, "prompt")
    return training, validation, evaluation, prompt.digest


def tune(
    definition: str,
    place: Mapping[str, str],
    training_set: str,
    validation_set: str,
    prompt: str,
    variant: str,
) -> str:
    """The result of `pipelines.stages.tune`."""
    use_case, store = _begin(definition, place)
    for name, uri in (("training_set", training_set), ("validation_set", validation_set)):
        found = read_record(store, DatasetSplit, use_case.name, name)
        _require(name, uri, found.uri)
        _require("prompt", prompt, found.prompt_digest)
    asset = tuned_model_path(variant)
    _materialize(use_case, dg.AssetSelection.assets(asset_key(use_case, *asset)))
    return read_record(store, TunedModel, use_case.name, *asset).endpoint


def evaluate(
    definition: str,
    place: Mapping[str, str],
    candidate: str,
    evaluation_set: str,
    prompt: str,
    tuned_model: str,
) -> tuple[str, dict[str, float]]:
    """The result of `pipelines.stages.evaluate`."""
    use_case, store = _begin(definition, place)
    chosen = use_case.candidates[candidate]
    found = read_record(store, DatasetSplit, use_case.name, "evaluation_set")
    _require("evaluation_set", evaluation_set, found.uri)
    _require("prompt", prompt, found.prompt_digest)
    assets = [asset_key(use_case, "evaluation_report", candidate)]
    if tuned_model:
        variant = chosen.tuned_model[1:]
        model = read_record(store, TunedModel, use_case.name, "tuned_model", *variant)
        _require("tuned_model", tuned_model, model.endpoint)
        if chosen.checkpoint == "best":
            assets.append(asset_key(use_case, *chosen.tuned_model))
    _materialize(use_case, dg.AssetSelection.assets(*assets))
    report = read_record(store, EvaluationReport, use_case.name, "evaluation_report", candidate)
    metrics = {name: found.mean for name, found in report.metrics.items() if found.mean is not None}
    return report.summary_uri, metrics


def _begin(definition: str, place: Mapping[str, str]) -> tuple[UseCase, ObjectStore]:
    """The use case, and its bucket; points this process at the place."""
    logging.getLogger("google_genai").setLevel(logging.WARNING)  # KFP logs every request otherwise
    os.environ.update({variable: place[name] for name, variable in _PLACE.items()})
    use_case = UseCase.model_validate_json(definition)
    return use_case, ObjectStore(storage.Client(place["project"]), place["bucket"])


def _materialize(use_case: UseCase, wanted: dg.AssetSelection) -> None:
    """Materialize assets with their checks, one after the other, in this process.

    Raises:
        StageError: an asset gave nothing, as the tuned model whose job still runs.
        Exception: an asset failed, or a blocking check did.
    """
    job = dg.define_asset_job("stage", wanted.materializable().required_multi_asset_neighbors())
    definitions = dg.Definitions.merge(build_definitions([use_case]), dg.Definitions(jobs=[job]))
    resolved = definitions.resolve_job_def("stage")
    with dg.DagsterInstance.ephemeral() as instance:
        result = resolved.execute_in_process(
            instance=instance,
            run_config={"loggers": {"console": {"config": {"log_level": "INFO"}}}},
        )
    made = {event.asset_key for event in result.get_asset_materialization_events()}
    missing = sorted(
        key.to_user_string() for key in resolved.asset_layer.selected_asset_keys - made
    )
    if missing:
        raise StageError(
            f"{', '.join(missing)} is not ready yet; submit the pipeline again, and it goes on"
        )


def _require(what: str, wanted: str, found: str) -> None:
    if wanted != found:
        raise StageError(
            f"{what} in the bucket is {found}, and this pipeline was given {wanted}: something "
            "else changed it in between. Submit the pipeline again"
        )


STEPS: Mapping[str, Callable[..., Any]] = {
    "prepare_data": prepare_data,
    "tune": tune,
    "evaluate": evaluate,
}


def main(step: str, result: Path) -> None:
    """Run a step with the arguments in the input; `result` gets its `value`, or its `error`."""
    try:
        found = {"value": STEPS[step](*json.load(sys.stdin))}
    except Exception as error:  # noqa: BLE001 - whatever it is, the step reports it
        traceback.print_exc()
        message = (
            str(error) if isinstance(error, StageError) else f"{type(error).__name__}: {error}"
        )
        found = {"error": message}
    result.write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
