"""What every part of the Vertex AI service shares."""

from __future__ import annotations

from dataclasses import dataclass

from genaiops_dagster.emulator.access import Access
from genaiops_dagster.emulator.bigquery.service import BigQueryService
from genaiops_dagster.emulator.config import EmulatorConfig
from genaiops_dagster.emulator.faults import FaultBook
from genaiops_dagster.emulator.models.catalog import ModelCatalog
from genaiops_dagster.emulator.stats import Stats
from genaiops_dagster.emulator.storage.service import StorageService
from genaiops_dagster.emulator.vertex.messages import timestamp
from genaiops_dagster.emulator.vertex.resources import ResourceStore


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
