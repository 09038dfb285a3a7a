"""Tuning jobs: create, get, list and cancel.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/projects.locations.tuningJobs
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.models.base_models import BASE_MODELS, BaseModel
from vertex_emulator.models.catalog import base_model_name
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.http import Served, both_versions_of, parent_name, refuse
from vertex_emulator.vertex.jobs import JobMethods
from vertex_emulator.vertex.listing import refuse_labels
from vertex_emulator.vertex.messages import Document
from vertex_emulator.vertex.model_versions import find_version
from vertex_emulator.vertex.tuning_worker import KIND, TuningWorker

__all__ = ["TuningWorker", "routes"]

_ADAPTER_SIZES = {
    "ADAPTER_SIZE_ONE": 1,
    "ADAPTER_SIZE_TWO": 2,
    "ADAPTER_SIZE_FOUR": 4,
    "ADAPTER_SIZE_EIGHT": 8,
    "ADAPTER_SIZE_SIXTEEN": 16,
}
_DEFAULT_ADAPTER = "ADAPTER_SIZE_FOUR"
_DEFAULT_EPOCHS = 3
_MOST_EPOCHS = 100
_SPECS = ("supervisedTuningSpec", "preferenceOptimizationSpec")
_SETTABLE = {
    "baseModel",
    "preTunedModel",
    "tunedModelDisplayName",
    "description",
    "labels",
    "encryptionSpec",
    "serviceAccount",
    *_SPECS,
}
_OUTPUT_ONLY = {
    "name",
    "state",
    "createTime",
    "startTime",
    "endTime",
    "updateTime",
    "error",
    "experiment",
    "tunedModel",
    "tuningDataStats",
    "tuningJobMetadata",
    "pipelineJob",
    "evaluateDatasetRuns",
}
_NOT_SERVED = ("rebaseTunedModel", "optimizePrompt", "validateReinforcementTuningReward")
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")


def routes(context: VertexContext, worker: TuningWorker) -> list[Route]:
    """The routes of `projects.locations.tuningJobs`."""
    service = _TuningJobs(context, worker)
    refused: list[Served] = [
        ("POST", f"{service.path}:{name}", f"{KIND}.{name}", refuse(f"{KIND}.{name}"))
        for name in _NOT_SERVED
    ]
    return both_versions_of(context.stats, [*service.served(), *refused])


class _TuningJobs(JobMethods):
    message = "TuningJob"

    def _new(self, request: Request, body: Document) -> Document:
        unknown = sorted(body.keys() - _SETTABLE - _OUTPUT_ONLY)
        if unknown:
            raise not_served(f"the field `{unknown[0]}` of tuning jobs")
        job: Document = {key: value for key, value in body.items() if key in _SETTABLE}
        base, pre_tuned = self._base(job)
        location = parent_name(request).rpartition("/")[2]
        if base.tuned_in and location not in base.tuned_in:
            # https://github.com/google/skills: FAILED_PRECONDITION for `global`; the words are not
            # published, nor the answer of other regions that the list of regions lacks
            raise ApiError(
                400,
                f"Tuning of {base.name} is not supported in location {location}.",
                status="FAILED_PRECONDITION",
            )
        spec_name = _only(job, _SPECS, "tuning spec")
        _check_spec(job, spec_name, base)
        _check_labels(job.get("labels", {}))
        if len(job.get("tunedModelDisplayName", "")) > 128:
            raise ApiError(400, "tuned_model_display_name must have at most 128 characters.")
        if pre_tuned is not None:
            job["preTunedModel"] = pre_tuned
        job_id = self._context.resources.new_id()
        time = self._context.now()
        job |= {
            "name": f"{parent_name(request)}/{KIND}/{job_id}",
            "state": "JOB_STATE_PENDING",
            "createTime": time,
            "updateTime": time,
            "baseModel": base.name,
        }
        job.setdefault("tunedModelDisplayName", f"tuned-{base.name}-{job_id}")
        return job

    def _listed(self, jobs: list[Document], query: Mapping[str, str]) -> list[Document]:
        refuse_labels(query.get("filter", ""))
        return super()._listed(jobs, query)

    def _base(self, job: Document) -> tuple[BaseModel, Document | None]:
        """The base model, and the resolved `preTunedModel` of continuous tuning."""
        if _only(job, ("baseModel", "preTunedModel"), "source model") == "preTunedModel":
            wanted = job["preTunedModel"]
            version = find_version(self._context.resources, wanted.get("tunedModelName", ""))
            source = version["_tuned"]
            checkpoint = wanted.get("checkpointId") or version["defaultCheckpointId"]
            if checkpoint not in source["endpoints"]:
                raise ApiError(
                    400,
                    f"The tuned model has no checkpoint {checkpoint!r}; it has"
                    f" {', '.join(source['endpoints'])}.",
                )
            resolved = {
                "tunedModelName": f"{version['name']}@{version['versionId']}",
                "checkpointId": checkpoint,
                "baseModel": source["base"],
            }
            # Without a new display name the result is a new version of the same model:
            # https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-use-continuous-tuning
            if not job.get("tunedModelDisplayName"):
                job["tunedModelDisplayName"] = version["displayName"]
                job["_model"] = version["name"]
            return BASE_MODELS[source["base"]], resolved
        name = base_model_name(job["baseModel"])
        if name is None or not BASE_MODELS[name].tunable:
            able = ", ".join(model.name for model in BASE_MODELS.values() if model.tunable)
            raise ApiError(
                400,
                f"Base model {job['baseModel']} is not supported for tuning. Supported: {able}.",
            )
        return BASE_MODELS[name], None


def _check_spec(job: Document, spec_name: str, base: BaseModel) -> None:
    """Check the spec and fill in the hyperparameters that it leaves out."""
    spec = job[spec_name]
    preference = spec_name == "preferenceOptimizationSpec"
    if preference and not base.preference_tunable:
        raise ApiError(400, f"Preference tuning is not supported for base model {base.name}.")
    if spec.get("evaluationConfig"):
        raise not_served("`evaluationConfig` of a tuning job")
    if spec.get("tuningMode") == "TUNING_MODE_FULL":
        raise not_served("full fine-tuning")
    faults = []
    for field in ("training_dataset_uri", "validation_dataset_uri"):
        uri = spec.get(re.sub(r"_(\w)", lambda match: match[1].upper(), field), "")
        if uri.startswith("projects/"):
            raise not_served("multimodal datasets as tuning data")
        if (uri or field == "training_dataset_uri") and not re.fullmatch(
            r"gs://[^/]+/.+\.jsonl", uri
        ):
            faults.append(
                (
                    f"tuning_job.{_snake(spec_name)}.{field}",
                    f"{field} should be a GCS object of type JSONL.",
                )
            )
    hyper: dict[str, Any] = spec.setdefault("hyperParameters", {})
    where = f"tuning_job.{_snake(spec_name)}.hyper_parameters"
    for name in ("learningRate", "batchSize"):
        if hyper.get(name):
            raise not_served(f"the hyperparameter `{name}` of tuning jobs")
    epochs = hyper.setdefault("epochCount", _DEFAULT_EPOCHS)
    if not 0 < epochs <= _MOST_EPOCHS:
        faults.append(
            (f"{where}.epoch_count", f"epoch_count must be from 1 to {_MOST_EPOCHS}, not {epochs}.")
        )
    rate = hyper.setdefault("learningRateMultiplier", 1.0)
    if not 0 < rate <= 100:
        faults.append(
            (
                f"{where}.learning_rate_multiplier",
                f"learning_rate_multiplier must be above 0 and at most 100, not {rate}.",
            )
        )
    if hyper.get("adapterSize") in (None, "ADAPTER_SIZE_UNSPECIFIED"):
        hyper["adapterSize"] = _DEFAULT_ADAPTER
    if hyper["adapterSize"] not in _ADAPTER_SIZES:
        raise ApiError(400, "The adapter size is not supported for this base model.")
    if faults:
        raise _found_errors(faults)
    hyper["epochCount"] = str(epochs)


def _found_errors(faults: list[tuple[str, str]]) -> ApiError:
    """The form in which tuning names several faults at once."""
    listed = "".join(
        f"\t{number}.Field: {field}; Message: {text}"
        for number, (field, text) in enumerate(faults, 1)
    )
    violations = [{"field": field, "description": text} for field, text in faults]
    return ApiError(
        400,
        f"List of found errors:{listed}\t",
        details=[
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}
        ],
    )


def _check_labels(labels: dict[str, str]) -> None:
    if len(labels) > 64:
        raise ApiError(400, f"A resource has at most 64 labels, not {len(labels)}.")
    for key, value in labels.items():
        if not _LABEL.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise ApiError(
                400,
                f"Invalid label {key!r}: {value!r}. Keys start with a lowercase letter; keys and"
                " values have lowercase letters, digits, _ and -, at most 63 of them.",
            )


def _only(job: Document, names: tuple[str, ...], what: str) -> str:
    """Which one of `names` the job has.

    Raises:
        ApiError: 400 when it has none or several.
    """
    given = [name for name in names if job.get(name) is not None]
    if len(given) != 1:
        raise ApiError(400, f"A tuning job needs one {what}: {' or '.join(names)}.")
    return given[0]


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)
