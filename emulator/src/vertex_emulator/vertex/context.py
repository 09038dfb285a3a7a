"""What every part of the Vertex AI service shares."""

from __future__ import annotations

from dataclasses import dataclass

from vertex_emulator.access import Access
from vertex_emulator.bigquery.service import BigQueryService
from vertex_emulator.config import EmulatorConfig
from vertex_emulator.faults import FaultBook
from vertex_emulator.models.catalog import ModelCatalog
from vertex_emulator.stats import Stats
from vertex_emulator.storage.service import StorageService
from vertex_emulator.vertex.database import ResourceStore
from vertex_emulator.vertex.messages import timestamp


@dataclass(frozen=True)
class VertexContext:
    """The services, models and stored resources that request handlers work with."""

    config: EmulatorConfig
    storage: StorageService
    bigquery: BigQueryService
    resources: ResourceStore
    catalog: ModelCatalog
    stats: Stats
    faults: FaultBook
    access: Access

    def now(self) -> str:
        """The emulator's time, clock faults included, as the API prints it."""
        return timestamp(self.faults.now())
