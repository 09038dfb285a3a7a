"""Removing what a use case has left; what is gone already is not an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genaiops_dagster.google_cloud.base_models import location_in
from genaiops_dagster.promotion.prune import StaleModel, delete_endpoint, delete_model
from genaiops_dagster.teardown.leftovers import Leftover

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI
    from genaiops_dagster.google_cloud.warehouse import Warehouse


def remove(
    leftover: Leftover, use_case: str, store: ObjectStore, warehouse: Warehouse, models: VertexAI
) -> None:
    """Delete something, or cancel it if it is a job.

    Args:
        leftover: What to remove.
        use_case: Name of the use case, whose rows go.
        store: Its bucket.
        warehouse: The dataset of result tables.
        models: Vertex AI.

    Raises:
        google.api_core.exceptions.GoogleAPICallError: the service refused.
        google.genai.errors.APIError: the service refused.
    """
    from google.api_core.exceptions import NotFound
    from google.genai.errors import ClientError

    try:
        _remove(leftover, use_case, store, warehouse, models)
    except NotFound:
        return
    except ClientError as error:
        if error.code != 404:
            raise


def _remove(
    leftover: Leftover, use_case: str, store: ObjectStore, warehouse: Warehouse, models: VertexAI
) -> None:
    name = leftover.name
    clients = models.at(location_in(name) or models.settings.location)
    match leftover.kind:
        case "tuning job":
            clients.genai.tunings.cancel(name=name)
        case "batch job":
            clients.genai.batches.cancel(name=name)
        case "pipeline job":
            clients.pipelines.cancel_pipeline_job(name=name)
        case "cache":
            clients.genai.caches.delete(name=name)
        case "endpoint":
            delete_endpoint(models, name, [deployed for _, deployed in leftover.deployments])
        case "model":
            delete_model(models, StaleModel(name, "", leftover.deployments))
        case "table":
            warehouse.delete_table(name)
        case "rows":
            warehouse.delete_rows(name, {"use_case": use_case})
        case "objects":
            for object_name in leftover.objects:
                store.delete(object_name)
