"""The Vertex AI service: its parts behind one list of routes."""

from __future__ import annotations

from starlette.routing import BaseRoute

from vertex_emulator.access import Access
from vertex_emulator.bigquery.service import BigQueryService
from vertex_emulator.config import EmulatorConfig
from vertex_emulator.faults import FaultBook
from vertex_emulator.models.catalog import ModelCatalog
from vertex_emulator.stats import Stats
from vertex_emulator.storage.service import StorageService
from vertex_emulator.vertex import (
    batches,
    caches,
    content,
    embeddings,
    evaluation,
    metadata,
    operations,
    pipelines,
    publishers,
    registry,
    tuning,
)
from vertex_emulator.vertex.batch_worker import BatchWorker
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.database import ResourceStore
from vertex_emulator.vertex.pipeline_worker import PipelineWorker


class VertexService:
    """Serves `/v1` and `/v1beta1` of the Vertex AI API."""

    def __init__(
        self,
        config: EmulatorConfig,
        storage: StorageService,
        bigquery: BigQueryService,
        stats: Stats,
        faults: FaultBook,
        access: Access,
    ) -> None:
        folder = config.state / "vertex"
        folder.mkdir(parents=True, exist_ok=True)
        resources = ResourceStore(folder / "resources.sqlite")
        self.context = VertexContext(
            config=config,
            storage=storage,
            bigquery=bigquery,
            resources=resources,
            catalog=ModelCatalog(folder / "models", resources),
            stats=stats,
            faults=faults,
            access=access,
        )
        self.jobs = tuning.TuningWorker(self.context)
        self.batches = BatchWorker(self.context)
        self.pipelines = PipelineWorker(self.context)

    def routes(self) -> list[BaseRoute]:
        """Every route of the service."""
        return [
            *content.routes(self.context),
            *embeddings.routes(self.context),
            *publishers.routes(self.context),
            *caches.routes(self.context),
            *batches.routes(self.context, self.batches),
            *tuning.routes(self.context, self.jobs),
            *pipelines.routes(self.context, self.pipelines),
            *registry.routes(self.context),
            *evaluation.routes(self.context),
            *metadata.routes(self.context),
            *operations.routes(self.context),
        ]

    def close(self) -> None:
        """Stop background work and close the database."""
        self.pipelines.close()
        self.batches.close()
        self.jobs.close()
        self.context.resources.close()
