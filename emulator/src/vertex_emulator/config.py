"""The emulator's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EmulatorConfig:
    """The settings of one emulator process.

    Attributes:
        state: Folder that holds everything the emulator keeps; created when missing.
        host: Loopback address to listen on.
        port: TCP port; 0 takes a free one.
        project: Google Cloud project the emulator's own credentials and bucket belong to.
        location: Vertex AI location that clients use.
        bucket: Bucket that exists from the start.
        tuning_seconds: Least duration of a tuning job, from creation to end.
        batch_seconds: How long a batch prediction job takes at least.
        faults: YAML or JSON file of the faults that are in force from the start; None for none.
        iam: YAML or JSON file of who may do what; None where everything is allowed.
        seed_public_data: Whether `bigquery-public-data` is filled with generated tables.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 0
    project: str = "emulated-project"
    location: str = "us-central1"
    bucket: str = "emulated-bucket"
    tuning_seconds: float = 1.0
    batch_seconds: float = 0.5
    faults: Path | None = None
    iam: Path | None = None
    seed_public_data: bool = True
