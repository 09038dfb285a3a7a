"""Model versions and endpoints in the store: what tuning makes and the registry serves.

A tuned Gemini model has versions, each with an endpoint per checkpoint, and answers at those. Keys
that begin with `_` are the emulator's own and never leave it.
"""

from __future__ import annotations

import re
from typing import Any

from vertex_emulator.errors import ApiError
from vertex_emulator.vertex.database import ResourceStore

Document = dict[str, Any]

VERSIONS = "modelVersions"
ENDPOINTS = "endpoints"
_MODEL_NAME = re.compile(r"projects/[^/]+/locations/[^/]+/models/[^/@]+")


def visible(document: Document) -> Document:
    """A stored document without the emulator's own keys."""
    return {key: value for key, value in document.items() if not key.startswith("_")}


def register_tuned(
    resources: ResourceStore, job: Document, checkpoints: list[Document], time: str
) -> tuple[str, list[str]]:
    """Register the model version and the endpoints that a finished tuning job made.

    Call it within a transaction.

    Args:
        resources: The store.
        job: The stored tuning job; its `_ids` name the model and endpoints, its `_model` the
            model that gets a version instead.
        checkpoints: `checkpointId`, `epoch` and `step` of each checkpoint, in order.
        time: When, as the API prints it.

    Returns:
        Name of the model with its version, and the endpoint of each checkpoint.
    """
    parent = job["name"].rpartition("/tuningJobs/")[0]
    model = job.get("_model") or f"{parent}/models/{job['_ids']['model']}"
    earlier = versions_of(resources, model)
    version_id = next(
        (version["versionId"] for version in earlier if version["_tuned"]["job"] == job["name"]),
        str(1 + max((int(version["versionId"]) for version in earlier), default=0)),
    )
    endpoints = [f"{parent}/endpoints/{number}" for number in job["_ids"]["endpoints"]]
    for endpoint, checkpoint in zip(endpoints, checkpoints, strict=True):
        document = _endpoint(endpoint, job, model, version_id, checkpoint, time)
        resources.put(endpoint, ENDPOINTS, document)
    version = _version(job, model, version_id, checkpoints, endpoints, time)
    resources.put(f"{model}@{version_id}", VERSIONS, version)
    merge_aliases(resources, model, version_id, ["default"], time)
    return f"{model}@{version_id}", endpoints


def _endpoint(
    name: str, job: Document, model: str, version_id: str, checkpoint: Document, time: str
) -> Document:
    number = name.rpartition("/")[2]
    return {
        "name": name,
        "displayName": job["tunedModelDisplayName"],
        "labels": dict(job.get("labels", {})),
        "createTime": time,
        "updateTime": time,
        "etag": etag(time),
        "trafficSplit": {number: 100},
        "deployedModels": [
            {
                "id": number,
                "model": model,
                "modelVersionId": version_id,
                "displayName": job["tunedModelDisplayName"],
                "checkpointId": checkpoint["checkpointId"],
                "createTime": time,
            }
        ],
    }


def _version(
    job: Document,
    model: str,
    version_id: str,
    checkpoints: list[Document],
    endpoints: list[str],
    time: str,
) -> Document:
    identifiers = [checkpoint["checkpointId"] for checkpoint in checkpoints]
    return {
        "name": model,
        "versionId": version_id,
        "versionAliases": [],
        "versionCreateTime": time,
        "versionUpdateTime": time,
        "displayName": job["tunedModelDisplayName"],
        "description": job.get("description", ""),
        "createTime": time,
        "updateTime": time,
        "labels": {
            "google-vertex-llm-tuning-base-model-id": job["baseModel"].replace(".", "-"),
            "google-vertex-llm-tuning-job-id": job["name"].rpartition("/")[2],
            "tune-type": "sft" if "supervisedTuningSpec" in job else "preference",
            **job.get("labels", {}),
        },
        "modelSourceInfo": {"sourceType": "GENIE"},
        "baseModelSource": {
            "genieSource": {"baseModelUri": f"publishers/google/models/{job['baseModel']}"}
        },
        "deployedModels": [
            {"endpoint": endpoint, "deployedModelId": endpoint.rpartition("/")[2]}
            for endpoint in endpoints
        ],
        "checkpoints": checkpoints,
        "defaultCheckpointId": identifiers[-1],
        "etag": etag(time),
        "_tuned": {
            "job": job["name"],
            "base": job["baseModel"],
            "endpoints": dict(zip(identifiers, endpoints, strict=True)),
        },
    }


def find_version(resources: ResourceStore, name: str) -> Document:
    """The model version that `projects/P/locations/L/models/ID[@version or alias]` names.

    Raises:
        ApiError: 400 for another form of name, 404 when there is no such version.
    """
    model, _, wanted = name.partition("@")
    if not _MODEL_NAME.fullmatch(model):
        raise ApiError(400, f"Invalid model resource name: {name!r}.")
    wanted = wanted or "default"
    for version in versions_of(resources, model):
        if wanted == version["versionId"] or wanted in version["versionAliases"]:
            return version
    raise ApiError(404, f"The Model {name} was not found.")


def versions_of(resources: ResourceStore, model: str) -> list[Document]:
    """All versions of the model named without a version, oldest first."""
    parent = model.rpartition("/models/")[0]
    return [version for version in resources.list(VERSIONS, parent) if version["name"] == model]


def store_version(resources: ResourceStore, version: Document, time: str) -> None:
    """Write a changed version back, with a new time and etag."""
    version["versionUpdateTime"] = version["updateTime"] = time
    version["etag"] = etag(time)
    resources.put(f"{version['name']}@{version['versionId']}", VERSIONS, version)


def merge_aliases(
    resources: ResourceStore, model: str, version_id: str, aliases: list[str], time: str
) -> Document:
    """Move `aliases` to a version, and take those written `-alias` from it; the version."""
    added = [alias for alias in aliases if not alias.startswith("-")]
    removed = {alias[1:] for alias in aliases if alias.startswith("-")}
    changed: Document = {}
    for version in versions_of(resources, model):
        own = version["versionId"] == version_id
        kept = [
            alias
            for alias in version["versionAliases"]
            if alias not in added and not (own and alias in removed)
        ]
        if own:
            kept += added
            changed = version
        if kept != version["versionAliases"]:
            version["versionAliases"] = kept
            store_version(resources, version, time)
    return changed


def undeploy(
    resources: ResourceStore, endpoint: Document, deployed_model_id: str, time: str
) -> None:
    """Take a deployed model from its endpoint and from the version that it belongs to.

    Raises:
        ApiError: 404 when the endpoint has no such deployed model.
    """
    found = [model for model in endpoint["deployedModels"] if model["id"] == deployed_model_id]
    if not found:
        raise ApiError(
            404, f"The Endpoint {endpoint['name']} has no deployed model {deployed_model_id!r}."
        )
    endpoint["deployedModels"].remove(found[0])
    endpoint["trafficSplit"] = {}
    endpoint["updateTime"], endpoint["etag"] = time, etag(time)
    resources.put(endpoint["name"], ENDPOINTS, endpoint)
    for version in versions_of(resources, found[0]["model"]):
        left = [
            model for model in version["deployedModels"] if model["endpoint"] != endpoint["name"]
        ]
        if left != version["deployedModels"]:
            version["deployedModels"] = left
            store_version(resources, version, time)


def etag(time: str) -> str:
    """An etag that changes with every write."""
    return f'"{time}"'
