"""How training and validation loss developed, as far as the service says."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from genaiops_dagster.google_cloud.experiments import Point, read_experiment_series
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings

if TYPE_CHECKING:
    import altair as alt
    from google.genai import types


def read_losses(
    settings: GoogleCloudSettings, job: types.TuningJob, log: logging.Logger
) -> list[Point] | None:
    """Losses of a job so far, by metric and step; None where they cannot be read.

    A model that was paid is not lost because of its chart: what goes wrong is logged as a warning.
    """
    if not job.experiment:
        return []
    try:
        series = read_experiment_series(settings, job.experiment)
    except Exception as error:  # noqa: BLE001 - whatever it is, the job is worth more than its chart
        log.warning("The losses of %s cannot be read: %s", job.name, error)
        return None
    return [point for point in series if "loss" in point.metric]


def loss_chart(losses: Sequence[Point]) -> alt.Chart:
    """A line for each loss, by step."""
    import altair as alt

    return (
        alt.Chart(alt.Data(values=[asdict(point) for point in losses]))
        .mark_line(point=True)
        .encode(
            x=alt.X("step:Q", title="step or epoch", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("value:Q", title="loss", scale=alt.Scale(zero=False)),
            color=alt.Color("metric:N", title=None),
        )
        .properties(width=420, height=220)
    )
