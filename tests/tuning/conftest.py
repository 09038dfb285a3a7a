"""Training data in the emulator's bucket, and the clients that jobs are made with."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.cloud import storage

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.tuning.jobs import TuningJobs
from genaiops_dagster.tuning.recipe import TuningRecipe
from vertex_emulator.testing import RunningEmulator


@dataclass
class Cloud:
    """The emulator as the tuning room sees it."""

    emulator: RunningEmulator
    store: ObjectStore
    vertex: VertexAI

    def jobs(self, claim_seconds: float = 4.0) -> TuningJobs:
        return TuningJobs(
            self.vertex.genai,
            self.store,
            SYSTEM_CLOCK,
            logging.getLogger("tuning"),
            claim_seconds,
        )

    def created(self) -> int:
        """How many jobs were asked for so far."""
        return int(self.emulator.stats()["requests"].get("vertex", {}).get("tuningJobs.create", 0))

    def count_jobs(self, recipe: TuningRecipe) -> int:
        """How many jobs of the recipe the service has."""
        label = recipe.fingerprint[:63]
        listed = self.vertex.genai.tunings.list()
        return sum((job.labels or {}).get("genaiops_fingerprint") == label for job in listed)

    def fault(self, **fault: Any) -> None:
        self.emulator.add_fault(**fault)

    def no_faults(self) -> None:
        self.emulator.clear_faults()


@pytest.fixture
def cloud(emulator: RunningEmulator) -> Iterator[Cloud]:
    settings = GoogleCloudSettings.from_environment(emulator.variables)
    client = storage.Client(project=settings.project)
    running = Cloud(emulator, ObjectStore(client, settings.bucket), VertexAI(settings))
    yield running
    running.no_faults()


@pytest.fixture
def recipe(cloud: Cloud) -> TuningRecipe:
    """A recipe that no other test has, over twenty training examples."""
    return make_recipe(cloud.store)


def make_recipe(store: ObjectStore, rows: int = 20, **changes: Any) -> TuningRecipe:
    digest = uuid.uuid4().hex * 2
    lines = [
        {
            "contents": [
                {"role": "user", "parts": [{"text": f"What is {n} plus one?"}]},
                {"role": "model", "parts": [{"text": str(n + 1)}]},
            ]
        }
        for n in range(rows)
    ]
    name = f"sums/datasets/{digest}/training.jsonl"
    store.write(name, "".join(json.dumps(line) + "\n" for line in lines).encode())
    return TuningRecipe(
        **{
            "use_case": "sums",
            "base_model": "gemini-3.5-flash",
            "training_uri": store.uri(name),
            "training_digest": digest,
            "validation_uri": None,
            "validation_digest": None,
            "prompt_digest": "p" * 64,
            "epochs": 2,
            "learning_rate_multiplier": None,
            "adapter_size": 4,
            **changes,
        }
    )
