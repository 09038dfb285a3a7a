"""The steps of the lifecycle pipeline: each runs a command in a process of its own.

The command builds the whole use case, and is above this room (`orchestration/steps.py`).
Compiled pipelines that were submitted before name these functions.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_COMMAND = "genaiops_dagster.orchestration.steps"


class StageError(RuntimeError):
    """A step cannot do its work; the message says what prevents it and what to do."""


def prepare_data(
    definition: str, place: Mapping[str, str], source_version: str
) -> tuple[str, str, str, str]:
    """Curate and split the source rows, and estimate what a run would cost.

    Args:
        definition: The use case, as JSON.
        place: `project`, `location`, `bucket`, `dataset` and `bigquery_location`.
        source_version: Digest of the source rows in the bucket; the sources are read again where
            there are others, or none.

    Returns:
        Addresses of the training, validation and evaluation set, and the prompt's digest.

    Raises:
        StageError: a source cannot be read, or a blocking check failed.
    """
    training, validation, evaluation, prompt = _run(
        "prepare_data", definition, place, source_version
    )
    return training, validation, evaluation, prompt


def tune(
    definition: str,
    place: Mapping[str, str],
    training_set: str,
    validation_set: str,
    prompt: str,
    variant: str,
) -> str:
    """Make or find the tuned model; the endpoint by which it is called.

    Args:
        definition: The use case, as JSON.
        place: Where it works; see `prepare_data`.
        training_set: Address of the set to tune on.
        validation_set: Address of the set that tuning is watched on.
        prompt: Digest of the prompt in the sets.
        variant: Variant of the sweep; empty for the tuned model.

    Raises:
        StageError: the bucket has other data by now, or the job failed or has not ended in time.
    """
    endpoint: str = _run("tune", definition, place, training_set, validation_set, prompt, variant)
    return endpoint


def evaluate(
    definition: str,
    place: Mapping[str, str],
    candidate: str,
    evaluation_set: str,
    prompt: str,
    tuned_model: str,
) -> tuple[str, dict[str, float]]:
    """Make or find the report of a candidate; the address of its summary, and mean by metric.

    Args:
        definition: The use case, as JSON.
        place: Where it works; see `prepare_data`.
        candidate: Name of the candidate.
        evaluation_set: Address of the set to score on.
        prompt: Digest of the use case's prompt.
        tuned_model: Endpoint of the tuned model; empty for a base model.

    Raises:
        StageError: the bucket has other data or another model by now, or the evaluation failed.
    """
    summary, metrics = _run(
        "evaluate", definition, place, candidate, evaluation_set, prompt, tuned_model
    )
    return summary, metrics


def _run(step: str, definition: str, place: Mapping[str, str], *arguments: str) -> Any:
    """The command's result for a step; its log goes where this process's goes."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        process = subprocess.run(
            [sys.executable, "-m", _COMMAND, step, str(result)],
            input=json.dumps([definition, dict(place), *arguments]),
            text=True,
            check=False,
        )
        if not result.exists():
            raise StageError(
                f"step {step} ended with exit code {process.returncode} and gave nothing; its log "
                "says why. Submit the pipeline again when that is fixed"
            )
        found = json.loads(result.read_text())
    if "error" in found:
        raise StageError(found["error"])
    return found["value"]
