"""Steps of the lifecycle pipeline: what the command says reaches the step that runs it."""

from __future__ import annotations

import json

import pytest

from genaiops_dagster.pipelines import stages
from genaiops_dagster.use_case import load_use_cases

PLACE = {
    "project": "p",
    "location": "us-central1",
    "bucket": "b",
    "dataset": "d",
    "bigquery_location": "US",
}


def test_what_the_command_refuses_is_told_by_the_step() -> None:
    with pytest.raises(stages.StageError, match="ValidationError"):
        stages.prepare_data("{}", PLACE, "")


def test_a_command_that_ends_without_a_result_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_COMMAND", "genaiops_dagster.no_such_module")
    definition = json.dumps(load_use_cases()["python_modules"].model_dump(mode="json"))
    with pytest.raises(stages.StageError, match="exit code 1"):
        stages.evaluate(definition, PLACE, "flash", "gs://b/x", "digest", "")
