"""Which model answers under which name."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from vertex_emulator.errors import ApiError
from vertex_emulator.imports import one_import_at_a_time
from vertex_emulator.models.base_models import BASE_MODELS, EMBEDDING_DIMENSIONS
from vertex_emulator.models.language_model import LanguageModel
from vertex_emulator.models.zero_shot import ZeroShotModel
from vertex_emulator.vertex.database import ResourceStore

if TYPE_CHECKING:
    from vertex_emulator.models.tuned import TunedModel

_PUBLISHER_MODEL = re.compile(
    r"(?:(?:projects/[^/]+/locations/(?P<location>[^/]+)/)?publishers/google/)?"
    r"models/(?P<name>[^/]+)"
    r"|(?P<bare>[^/]+)"
)
_ENDPOINT = re.compile(r"projects/[^/]+/locations/[^/]+/endpoints/(?P<id>\d+)")
_MODELS_IN_MEMORY = 8


class ModelCatalog:
    """Base models by name and tuned models by endpoint; thread-safe.

    Args:
        folder: Where trained models are kept, one file per endpoint.
        resources: Where endpoints are registered; without its resource an endpoint does not answer.
    """

    def __init__(self, folder: Path, resources: ResourceStore) -> None:
        self._folder = folder
        self._resources = resources
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, TunedModel] = OrderedDict()
        folder.mkdir(parents=True, exist_ok=True)
        for half_written in folder.glob("*.tmp"):
            half_written.unlink()

    def prepare(self) -> None:
        """Begin to import what tuned models need, a second's work that no job then waits for.

        The process ends after it: a thread cut off within a C++ library may abort the process.
        """
        threading.Thread(target=_import_learners).start()

    def base_models(self) -> list[str]:
        """Names of the base models that generate text."""
        return list(BASE_MODELS)

    def embedding_models(self) -> dict[str, int]:
        """Names of the embedding models, and the length of their vectors."""
        return dict(EMBEDDING_DIMENSIONS)

    def resolve(self, resource: str) -> LanguageModel:
        """The model that a client means by `resource`.

        Args:
            resource: A bare model name, a publisher model (with or without project and location)
                or an endpoint (`projects/P/locations/L/endpoints/ID`).

        Raises:
            ApiError: 404 when there is no such model, or it is not served in that location.
        """
        endpoint = _ENDPOINT.fullmatch(resource)
        if endpoint:
            return self._at_endpoint(resource, endpoint["id"])
        name = base_model_name(resource)
        if name is None:
            raise _not_found(resource, f"The emulator has: {', '.join(BASE_MODELS)}.")
        model, location = BASE_MODELS[name], _location(resource)
        if location is not None and location not in model.locations:
            raise _not_found(resource, f"It is served in: {', '.join(model.locations)}.")
        return ZeroShotModel(model)

    def add(self, endpoint_id: str, model: TunedModel) -> None:
        """Keep `model`; it answers as soon as its endpoint is registered."""
        with one_import_at_a_time:
            from vertex_emulator.models.tuned import save
        save(model, self._path(endpoint_id))

    def tuned(self, endpoint_id: str) -> TunedModel:
        """The tuned model kept for an endpoint.

        Raises:
            ApiError: 404 when there is none.
        """
        with self._lock:
            if endpoint_id in self._loaded:
                self._loaded.move_to_end(endpoint_id)
                return self._loaded[endpoint_id]
        path = self._path(endpoint_id)
        if not path.exists():
            raise ApiError(404, f"The endpoint {endpoint_id} has no deployed model.")
        with one_import_at_a_time:
            from vertex_emulator.models.tuned import load
        model = load(path)
        with self._lock:
            self._loaded[endpoint_id] = model
            while len(self._loaded) > _MODELS_IN_MEMORY:
                self._loaded.popitem(last=False)
        return model

    def remove(self, endpoint_id: str) -> None:
        """Forget the tuned model of an endpoint."""
        with self._lock:
            self._loaded.pop(endpoint_id, None)
        self._path(endpoint_id).unlink(missing_ok=True)

    def _at_endpoint(self, resource: str, endpoint_id: str) -> TunedModel:
        endpoint = self._resources.get(resource)
        if endpoint is None:
            raise ApiError(404, f"The Endpoint {resource} was not found.")
        if not endpoint["deployedModels"]:
            raise ApiError(404, f"The Endpoint {resource} has no deployed model.")
        return self.tuned(endpoint_id)

    def _path(self, endpoint_id: str) -> Path:
        return self._folder / f"{endpoint_id}.npz"


def _not_found(resource: str, remedy: str) -> ApiError:
    """The service's refusal of a model that it does not have in that location.

    Source: https://firebase.google.com/docs/ai-logic/locations (the message of the error 404).
    """
    return ApiError(
        404,
        f"Publisher Model `{resource}` was not found or your project does not have access to it."
        f" {remedy}",
    )


def _location(resource: str) -> str | None:
    """The location in the name of a publisher's model, if it has one."""
    match = _PUBLISHER_MODEL.fullmatch(resource)
    return match["location"] if match else None


def _import_learners() -> None:
    with one_import_at_a_time:
        import vertex_emulator.models.tuned  # noqa: F401


def base_model_name(resource: str) -> str | None:
    """The base model that `resource` names in any of its forms, or None."""
    match = _PUBLISHER_MODEL.fullmatch(resource)
    name = (match["name"] or match["bare"]) if match else ""
    name = name.partition("@")[0].removesuffix("-emulated")
    return name if name in BASE_MODELS else None
