"""Which project, location, bucket and dataset to use, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

PROJECT = "GOOGLE_CLOUD_PROJECT"
LOCATION = "GOOGLE_CLOUD_LOCATION"
BUCKET = "GENAIOPS_BUCKET"
DATASET = "GENAIOPS_DATASET"
BIGQUERY_LOCATION = "GENAIOPS_BIGQUERY_LOCATION"
VERTEX_URL = "GOOGLE_VERTEX_BASE_URL"
EMULATOR_TOKEN = "VERTEX_EMULATOR_TOKEN"  # noqa: S105

REMEDIES = {
    PROJECT: "the id of a Google Cloud project with the Vertex AI, Cloud Storage and BigQuery APIs",
    BUCKET: "the name of a bucket of that project, without gs://",
}


class SettingsError(RuntimeError):
    """A setting is missing; the message names the variable and how to set it."""


@dataclass(frozen=True)
class GoogleCloudSettings:
    """Where everything is kept and runs.

    Attributes:
        project: Google Cloud project id.
        bucket: Bucket for data, reports and pointers.
        location: Vertex AI location.
        dataset: BigQuery dataset of the result tables.
        bigquery_location: BigQuery location of that dataset; public datasets are in `US`.
        vertex_url: Base URL of the Vertex AI API when it is not Google's.
    """

    project: str
    bucket: str
    location: str = "us-central1"
    dataset: str = "genaiops"
    bigquery_location: str = "US"
    vertex_url: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> GoogleCloudSettings:
        """Read the settings.

        Raises:
            SettingsError: a required variable is missing.
        """
        missing = [name for name in REMEDIES if not environment.get(name)]
        if missing:
            needs = "\n".join(f"  export {name}=...   # {REMEDIES[name]}" for name in missing)
            raise SettingsError(
                f"Google Cloud is not configured: {', '.join(missing)} not set.\n{needs}\n"
                f"or leave {BUCKET} unset to work on the emulator, where nothing is charged."
            )
        return cls(
            project=environment[PROJECT],
            bucket=environment[BUCKET],
            location=environment.get(LOCATION) or cls.location,
            dataset=environment.get(DATASET) or cls.dataset,
            bigquery_location=environment.get(BIGQUERY_LOCATION) or cls.bigquery_location,
            vertex_url=environment.get(VERTEX_URL) or None,
        )
