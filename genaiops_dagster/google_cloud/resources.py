"""The assets' Dagster resources: Cloud Storage, BigQuery, Vertex AI, and where results are kept."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dagster as dg
from dagster_gcp import BigQueryResource, GCSResource
from pydantic import PrivateAttr

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.records.clock import Clock


class ObjectStoreResource(dg.ConfigurableResource[Any]):
    """The bucket of data, reports and pointers."""

    gcs: dg.ResourceDependency[GCSResource]
    bucket: str

    def get_store(self) -> ObjectStore:
        """The bucket, over the Cloud Storage client of `gcs`."""
        return ObjectStore(self.gcs.get_client(), self.bucket)


class WarehouseResource(dg.ConfigurableResource[Any]):
    """The BigQuery dataset of result tables."""

    bigquery: dg.ResourceDependency[BigQueryResource]
    dataset: str

    @contextmanager
    def get_warehouse(self, clock: Clock) -> Iterator[Warehouse]:
        """The dataset, over a client of `bigquery` built on first use and closed at the end."""
        with ExitStack() as stack:
            yield Warehouse(
                lambda: stack.enter_context(self.bigquery.get_client()), self.dataset, clock
            )


class VertexAIResource(dg.ConfigurableResource[Any]):
    """Vertex AI in one project and location."""

    project: str
    location: str
    base_url: str | None = None

    _clients: VertexAI | None = PrivateAttr(default=None)

    def get_clients(self) -> VertexAI:
        """Clients of this project and location, built on first use."""
        if self._clients is None:
            self._clients = VertexAI(
                GoogleCloudSettings(
                    project=self.project,
                    bucket="",
                    location=self.location,
                    vertex_url=self.base_url,
                )
            )
        return self._clients
