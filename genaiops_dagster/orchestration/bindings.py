"""The resources as the environment configures them."""

from __future__ import annotations

import os
from typing import Any

import dagster as dg
from dagster_gcp import BigQueryResource, GCSResource

from genaiops_dagster.google_cloud import settings as environment
from genaiops_dagster.google_cloud.resources import (
    ObjectStoreResource,
    VertexAIResource,
    WarehouseResource,
)
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.orchestration.io_manager import RecordIOManager


def build_resources() -> dict[str, Any]:
    """Resources by the name that assets ask for.

    Required variables are read when a run starts, so that definitions load without them.
    """
    optional = os.environ.get
    project = dg.EnvVar(environment.PROJECT)
    gcs = GCSResource(project=project)
    bigquery = BigQueryResource(
        project=project,
        location=optional(environment.BIGQUERY_LOCATION, GoogleCloudSettings.bigquery_location),
    )
    object_store = ObjectStoreResource(gcs=gcs, bucket=dg.EnvVar(environment.BUCKET))
    return {
        "io_manager": RecordIOManager(object_store=object_store),
        "gcs": gcs,
        "bigquery": bigquery,
        "object_store": object_store,
        "warehouse": WarehouseResource(
            bigquery=bigquery,
            dataset=optional(environment.DATASET, GoogleCloudSettings.dataset),
        ),
        "vertex_ai": VertexAIResource(
            project=project,
            location=optional(environment.LOCATION, GoogleCloudSettings.location),
            base_url=optional(environment.VERTEX_URL),
        ),
    }
