"""What the steps of the lifecycle pipeline do: they materialize the assets of a stage.

A step is a process in a container, far from Dagster's instance. It materializes the same assets
with the same checks as a run of Dagster does, in an instance of its own that ends with it; what the
assets make is in the bucket and in the service, found by fingerprint by whoever asks next. So there
is one implementation of each stage, and the same result wherever it runs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from genaiops_dagster.google_cloud.settings import (
    BIGQUERY_LOCATION,
    BUCKET,
    DATASET,
    LOCATION,
    PROJECT,
)

if TYPE_CHECKING:
    import dagster as dg

    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.use_case import UseCase

_PLACE = {
    "project": PROJECT,
    "location": LOCATION,
    "bucket": BUCKET,
    "dataset": DATASET,
    "bigquery_location": BIGQUERY_LOCATION,
}
SPLITS = ("training_set", "validation_set", "evaluation_set")


class StageError(RuntimeError):
    """A step cannot do its work; the message says what stands against it and what to do."""


def prepare_data(
    definition: str, place: Mapping[str, str], source_version: str
) -> tuple[str, str, str, str]:
    """Curate and split the source rows, and estimate what a run would cost.

    Args:
        definition: The use case, as JSON.
        place: `project`, `location`, `bucket`, `dataset` and `bigquery_location`.
        source_version: Digest of the source rows in the bucket; the sources are read again where
            there are others, or none.

    Returns:
        Addresses of the training, validation and evaluation set, and the prompt's digest.
    """
    from genaiops_dagster.orchestration.asset_options import asset_key
    from genaiops_dagster.records.data import DatasetSplit, StoredRows
    from genaiops_dagster.records.prompts import PromptVersion
    from genaiops_dagster.records.record import read_record

    use_case, store = _begin(definition, place)
    import dagster as dg

    rows = store.read_json(f"{use_case.name}/assets/source_rows.json")
    known = rows is not None and StoredRows.model_validate(rows).digest == source_version
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
    """Make or find the tuned model; the endpoint by which it is called.

    Args:
        definition: The use case, as JSON.
        place: Where it works; see `prepare_data`.
        training_set: Address of the set to tune on.
        validation_set: Address of the set that tuning is watched on.
        prompt: Digest of the prompt in the sets.
        variant: Variant of the sweep; empty for the tuned model.

    Raises:
        StageError: the bucket has other data by now, or the job has not ended in time.
    """
    from genaiops_dagster.orchestration.asset_options import asset_key
    from genaiops_dagster.records.data import DatasetSplit
    from genaiops_dagster.records.record import read_record
    from genaiops_dagster.records.tuning import TunedModel

    use_case, store = _begin(definition, place)
    for name, uri in (("training_set", training_set), ("validation_set", validation_set)):
        found = read_record(store, DatasetSplit, use_case.name, name)
        _require(name, uri, found.uri)
        _require("prompt", prompt, found.prompt_digest)
    asset = ("tuned_model", variant) if variant else ("tuned_model",)
    _materialize(use_case, _assets(asset_key(use_case, *asset)))
    return read_record(store, TunedModel, use_case.name, *asset).endpoint


def evaluate(
    definition: str,
    place: Mapping[str, str],
    candidate: str,
    evaluation_set: str,
    prompt: str,
    tuned_model: str,
) -> tuple[str, dict[str, float]]:
    """Make or find the report of a candidate; the address of its summary, and mean by metric.

    Args:
        definition: The use case, as JSON.
        place: Where it works; see `prepare_data`.
        candidate: Name of the candidate.
        evaluation_set: Address of the set to score on.
        prompt: Digest of the use case's prompt.
        tuned_model: Endpoint of the tuned model; empty for a base model.

    Raises:
        StageError: the bucket has other data or another model by now.
    """
    from genaiops_dagster.orchestration.asset_options import asset_key
    from genaiops_dagster.records.data import DatasetSplit
    from genaiops_dagster.records.evaluation import EvaluationReport
    from genaiops_dagster.records.record import read_record
    from genaiops_dagster.records.tuning import TunedModel

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
    _materialize(use_case, _assets(*assets))
    report = read_record(store, EvaluationReport, use_case.name, "evaluation_report", candidate)
    metrics = {name: found.mean for name, found in report.metrics.items() if found.mean is not None}
    return report.summary_uri, metrics


def _begin(definition: str, place: Mapping[str, str]) -> tuple[UseCase, ObjectStore]:
    """The use case, and its bucket; points this process at the place."""
    from google.cloud import storage

    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.use_case import UseCase

    logging.getLogger("google_genai").setLevel(logging.WARNING)  # KFP lets every request be told
    os.environ.update({variable: place[name] for name, variable in _PLACE.items()})
    store = ObjectStore(storage.Client(place["project"]), place["bucket"])
    return UseCase.model_validate_json(definition), store


def _assets(*keys: dg.AssetKey) -> dg.AssetSelection:
    import dagster as dg

    return dg.AssetSelection.assets(*keys)


def _materialize(use_case: UseCase, wanted: dg.AssetSelection) -> None:
    """Materialize assets with their checks, one after the other, in this process.

    Raises:
        StageError: an asset gave nothing, as the tuned model whose job still runs.
        Exception: an asset failed, or a blocking check did.
    """
    import dagster as dg

    from genaiops_dagster.orchestration.assembly import build_definitions

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
