"""Vertex AI Experiments: a run with its parameters and metrics, to compare beside others."""

from __future__ import annotations

from collections.abc import Mapping

from genaiops_dagster.google_cloud.settings import GoogleCloudSettings


def record_experiment_run(
    settings: GoogleCloudSettings,
    experiment: str,
    run: str,
    parameters: Mapping[str, str | int | float],
    metrics: Mapping[str, float],
) -> str:
    """Write a run, or write it again with the same name; its resource name.

    Args:
        settings: Project, location and base URL.
        experiment: Name of the experiment; created when missing.
        run: Name of the run: lower-case letters, digits and hyphens, at most 128.
        parameters: What was tried.
        metrics: What came of it.

    Source: https://cloud.google.com/vertex-ai/docs/experiments/create-manage-exp-run
    """
    from google.api_core.exceptions import NotFound
    from google.cloud import aiplatform

    aiplatform.init(
        project=settings.project,
        location=settings.location,
        experiment=experiment,
        experiment_tensorboard=False,
        api_endpoint=settings.vertex_url,
        api_transport="rest",
    )
    try:
        found = aiplatform.start_run(run, resume=True)
    except (NotFound, ValueError):  # there is none of that name yet
        found = aiplatform.start_run(run)
    with found:
        found.log_params(dict(parameters))
        found.log_metrics(dict(metrics))
    return str(found.resource_name)
