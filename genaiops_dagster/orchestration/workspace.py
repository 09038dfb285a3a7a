"""A use case and the services that hold its data, for asset bodies and commands.

Only the edge imports this: asset bodies, jobs, sensors and commands. Plain functions take the
section, the store or the value that they need.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from genaiops_dagster.google_cloud.base_models import tuning_location
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.records.clock import SYSTEM_CLOCK, Clock
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.resources import (
        ObjectStoreResource,
        VertexAIResource,
        WarehouseResource,
    )

RESOURCES = frozenset({"object_store", "vertex_ai", "warehouse"})
"""Keys of the resources that `open_workspace` uses."""


@dataclass(frozen=True)
class Workspace:
    """A use case and what its assets read and write.

    Attributes:
        use_case: The use case whose data, models and budget these are.
        store: The bucket; connected at once.
        warehouse: The dataset of result tables; connected on first use.
        models: Vertex AI; each client is built on first use.
        clock: Gives the time.
    """

    use_case: UseCase
    store: ObjectStore
    warehouse: Warehouse
    models: VertexAI
    clock: Clock


class _Resources(Protocol):
    """The resources of a context, as `build_resources` names them."""

    @property
    def object_store(self) -> ObjectStoreResource: ...

    @property
    def vertex_ai(self) -> VertexAIResource: ...

    @property
    def warehouse(self) -> WarehouseResource: ...


class _Context(Protocol):
    """Context of an asset, an op or a sensor that requires `RESOURCES`."""

    @property
    def resources(self) -> _Resources: ...


def models_for(use_case: UseCase, models: VertexAI) -> VertexAI:
    """Clients for the region in which the use case tunes."""
    tuning = use_case.tuning
    default = tuning_location(tuning.base_model, models.settings.location)
    return models.at(tuning.location or default)


@contextmanager
def open_workspace(context: _Context, use_case: UseCase) -> Iterator[Workspace]:
    """The workspace of `use_case` over a context's resources, whose clients close at the end."""
    resources = context.resources
    with resources.warehouse.get_warehouse(SYSTEM_CLOCK) as warehouse:
        yield Workspace(
            use_case,
            resources.object_store.get_store(),
            warehouse,
            models_for(use_case, resources.vertex_ai.get_clients()),
            SYSTEM_CLOCK,
        )
