"""Vertex AI Experiments: a run with its parameters and metrics, to compare with others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from genaiops_dagster.google_cloud.settings import GoogleCloudSettings

_EPOCH = re.compile(r"(?P<metric>.+)_epoch_(?P<epoch>\d+)")


@dataclass(frozen=True)
class Point:
    """A metric at a step of training; the step is an epoch where the run tells epochs alone."""

    metric: str
    step: int
    value: float


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
        metrics: The results.

    Source: https://cloud.google.com/vertex-ai/docs/experiments/create-manage-exp-run
    """
    from google.api_core.exceptions import NotFound
    from google.cloud import aiplatform

    _connect(settings)
    aiplatform.init(experiment=experiment, experiment_tensorboard=False)
    try:
        found = aiplatform.start_run(run, resume=True)
    except (NotFound, ValueError):  # there is none of that name yet
        found = aiplatform.start_run(run)
    with found:
        found.log_params(dict(parameters))
        found.log_metrics(dict(metrics))
    return str(found.resource_name)


def read_experiment_series(settings: GoogleCloudSettings, experiment: str) -> list[Point]:
    """How the metrics of an experiment's runs developed, by metric and step.

    Tuning keeps them as TensorBoard time series; without TensorBoard they are metrics of the run,
    each with its epoch at the end of its name.

    Args:
        settings: Project, location and base URL.
        experiment: Resource name of the experiment's context, or its last part.

    Raises:
        google.api_core.exceptions.GoogleAPICallError: the experiment cannot be read.

    Source: https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-use-supervised-tuning
    """
    from google.cloud import aiplatform

    _connect(settings)
    found = []
    for run in aiplatform.ExperimentRun.list(experiment=experiment.rpartition("/")[2]):
        frame = run.get_time_series_data_frame()
        for metric in frame.columns.difference(["step", "wall_time"]):
            series = frame[["step", metric]].dropna()
            found += [
                Point(metric.strip("/"), int(step), float(value))
                for step, value in series.itertuples(index=False)
            ]
        for name, value in run.get_metrics().items():
            parts = _EPOCH.fullmatch(name)
            if parts:
                found.append(Point(parts["metric"], int(parts["epoch"]), float(value)))
    return sorted(found, key=lambda point: (point.metric, point.step))


def _connect(settings: GoogleCloudSettings) -> None:
    """Point the SDK at the project's API."""
    from google.cloud import aiplatform

    aiplatform.init(
        project=settings.project,
        location=settings.location,
        api_endpoint=settings.vertex_url,
        api_transport="rest",
    )
