"""The model registry and its endpoints.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/projects.locations.models
https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/projects.locations.endpoints
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vertex_emulator.errors import ApiError
from vertex_emulator.vertex import operations
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.http import (
    PARENT,
    Handler,
    both_versions_of,
    parent_name,
    refuse,
)
from vertex_emulator.vertex.listing import camel, page_answer, select
from vertex_emulator.vertex.messages import Document, parse
from vertex_emulator.vertex.model_versions import (
    ENDPOINTS,
    VERSIONS,
    etag,
    find_version,
    merge_aliases,
    store_version,
    undeploy,
    versions_of,
    visible,
)

# https://cloud.google.com/vertex-ai/docs/model-registry/model-alias
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
_PATCHABLE_MODEL = {
    "displayName",
    "description",
    "versionDescription",
    "labels",
    "defaultCheckpointId",
}
_PATCHABLE_ENDPOINT = {"displayName", "description", "labels"}


def routes(context: VertexContext) -> list[Route]:
    """The routes of `projects.locations.models` and `projects.locations.endpoints`."""
    models, endpoints = _Models(context), _Endpoints(context)
    model, endpoint = PARENT + "/models/{model}", PARENT + "/endpoints/{endpoint}"
    served: tuple[tuple[str, str, str, Handler], ...] = (
        ("GET", model + ":listVersions", "models.listVersions", models.list_versions),
        ("GET", model + ":listCheckpoints", "models.listCheckpoints", models.list_checkpoints),
        ("POST", model + ":mergeVersionAliases", "models.mergeVersionAliases", models.merge),
        ("DELETE", model + ":deleteVersion", "models.deleteVersion", models.delete_version),
        ("POST", PARENT + "/models:upload", "models.upload", refuse("uploading models")),
        ("POST", PARENT + "/models:copy", "models.copy", refuse("copying models")),
        ("POST", model + ":export", "models.export", refuse("exporting models")),
        ("GET", model, "models.get", models.get),
        ("PATCH", model, "models.patch", models.patch),
        ("DELETE", model, "models.delete", models.delete),
        ("GET", PARENT + "/models", "models.list", models.list_all),
        ("POST", endpoint + ":undeployModel", "endpoints.undeployModel", endpoints.undeploy),
        ("POST", endpoint + ":deployModel", "endpoints.deployModel", refuse("deploying models")),
        ("GET", endpoint, "endpoints.get", endpoints.get),
        ("PATCH", endpoint, "endpoints.patch", endpoints.patch),
        ("DELETE", endpoint, "endpoints.delete", endpoints.delete),
        ("GET", PARENT + "/endpoints", "endpoints.list", endpoints.list_all),
        ("POST", PARENT + "/endpoints", "endpoints.create", refuse("creating endpoints")),
    )
    return both_versions_of(context.stats, served)


class _Models:
    def __init__(self, context: VertexContext) -> None:
        self._resources = context.resources
        self._catalog = context.catalog
        self._now = context.now

    async def get(self, request: Request) -> Response:
        return JSONResponse(visible(self._find(request)))

    async def list_all(self, request: Request) -> Response:
        versions = self._resources.list(VERSIONS, parent_name(request))
        current = [visible(v) for v in versions if "default" in v["versionAliases"]]
        return _listed("models", current, request)

    async def list_versions(self, request: Request) -> Response:
        model = self._find(request)["name"]
        versions = versions_of(self._resources, model)
        return _listed("models", [visible(version) for version in versions], request)

    async def list_checkpoints(self, request: Request) -> Response:
        checkpoints = self._find(request)["checkpoints"]
        return JSONResponse(page_answer("checkpoints", checkpoints, request.query_params))

    async def merge(self, request: Request) -> Response:
        body = parse("MergeVersionAliasesRequest", await request.body())
        version = self._find(request)
        aliases = body.get("versionAliases", [])
        if not aliases:
            raise ApiError(400, "version_aliases must name at least one alias.")
        for alias in aliases:
            if not _ALIAS.fullmatch(alias.removeprefix("-")):
                raise ApiError(
                    400,
                    f"Invalid version alias {alias!r}: it must match [a-z][a-zA-Z0-9-]{{0,126}}"
                    "[a-z0-9], with a leading - to remove it.",
                )
        if "-default" in aliases:
            raise ApiError(400, "The alias `default` cannot be removed, only moved.")
        with self._resources.transaction():
            changed = merge_aliases(
                self._resources, version["name"], version["versionId"], aliases, self._now()
            )
        return JSONResponse(visible(changed))

    async def patch(self, request: Request) -> Response:
        body = parse("Model", await request.body())
        version = self._find(request)
        for field in _mask(request, body, _PATCHABLE_MODEL):
            value = body.get(field)
            if field == "defaultCheckpointId" and value not in version["_tuned"]["endpoints"]:
                raise ApiError(400, f"The model has no checkpoint {value!r}.")
            version[field] = value if value is not None else ({} if field == "labels" else "")
        store_version(self._resources, version, self._now())
        return JSONResponse(visible(version))

    async def delete_version(self, request: Request) -> Response:
        version = self._find(request)
        if "@" not in request.path_params["model"]:
            raise ApiError(400, "The name must have a version: models/MODEL@VERSION.")
        versions = versions_of(self._resources, version["name"])
        if len(versions) == 1:
            raise _precondition("The only version of a model cannot be deleted; delete the model.")
        if "default" in version["versionAliases"]:
            raise _precondition("The default version cannot be deleted; move the alias first.")
        return JSONResponse(self._remove(request, [version], version["name"]))

    async def delete(self, request: Request) -> Response:
        name = self._find(request)["name"]
        return JSONResponse(self._remove(request, versions_of(self._resources, name), name))

    def _remove(self, request: Request, versions: list[Document], name: str) -> Document:
        for version in versions:
            if version["deployedModels"]:
                raise _precondition(
                    f"The Model {name}@{version['versionId']} is deployed at"
                    f" {version['deployedModels'][0]['endpoint']}; undeploy it first."
                )
        with self._resources.transaction():
            for version in versions:
                self._resources.delete(f"{name}@{version['versionId']}")
        for version in versions:
            for endpoint in version["_tuned"]["endpoints"].values():
                self._catalog.remove(endpoint.rpartition("/")[2])
        return operations.done(
            request, self._resources, name, self._now(), metadata="DeleteOperationMetadata"
        )

    def _find(self, request: Request) -> Document:
        return find_version(
            self._resources, f"{parent_name(request)}/models/{request.path_params['model']}"
        )


class _Endpoints:
    def __init__(self, context: VertexContext) -> None:
        self._resources = context.resources
        self._now = context.now

    async def get(self, request: Request) -> Response:
        return JSONResponse(visible(self._find(request)))

    async def list_all(self, request: Request) -> Response:
        found = self._resources.list(ENDPOINTS, parent_name(request))
        return _listed("endpoints", [visible(endpoint) for endpoint in found], request)

    async def patch(self, request: Request) -> Response:
        body = parse("Endpoint", await request.body())
        endpoint = self._find(request)
        for field in _mask(request, body, _PATCHABLE_ENDPOINT):
            endpoint[field] = body.get(field, {} if field == "labels" else "")
        time = self._now()
        endpoint["updateTime"], endpoint["etag"] = time, etag(time)
        self._resources.put(endpoint["name"], ENDPOINTS, endpoint)
        return JSONResponse(visible(endpoint))

    async def undeploy(self, request: Request) -> Response:
        body = parse("UndeployModelRequest", await request.body())
        endpoint = self._find(request)
        with self._resources.transaction():
            undeploy(self._resources, endpoint, body.get("deployedModelId", ""), self._now())
        return JSONResponse(
            operations.done(
                request,
                self._resources,
                endpoint["name"],
                endpoint["updateTime"],
                metadata="UndeployModelOperationMetadata",
                response="UndeployModelResponse",
            )
        )

    async def delete(self, request: Request) -> Response:
        endpoint = self._find(request)
        if endpoint["deployedModels"]:
            raise _precondition(
                f"The Endpoint {endpoint['name']} has deployed models; undeploy them first."
            )
        self._resources.delete(endpoint["name"])
        return JSONResponse(
            operations.done(
                request,
                self._resources,
                endpoint["name"],
                self._now(),
                metadata="DeleteOperationMetadata",
            )
        )

    def _find(self, request: Request) -> Document:
        name = f"{parent_name(request)}/endpoints/{request.path_params['endpoint']}"
        endpoint = self._resources.get(name)
        if endpoint is None:
            raise ApiError(404, f"The Endpoint {name} was not found.")
        return endpoint


def _mask(request: Request, body: Document, patchable: set[str]) -> list[str]:
    """The fields to write: those of `updateMask`, or those that the body has."""
    text = request.query_params.get("updateMask") or request.query_params.get("update_mask") or ""
    fields = [camel(path.partition(".")[0]) for path in text.split(",") if path]
    if not text:
        fields = [field for field in body if field != "name"]
    refused = sorted(set(fields) - patchable)
    if refused:
        raise ApiError(400, f"The field {refused[0]!r} cannot be updated.")
    return fields


def _listed(key: str, documents: list[Document], request: Request) -> Response:
    """One page, newest first."""
    chosen = select(documents[::-1], request.query_params.get("filter", ""))
    return JSONResponse(page_answer(key, chosen, request.query_params))


def _precondition(message: str) -> ApiError:
    return ApiError(400, message, status="FAILED_PRECONDITION")
