"""Inputs of evaluation in the emulator's bucket, and evaluations of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from genaiops_dagster.evaluation.assets import build_assets
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.records.evaluation import EvaluationReport
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.use_case import UseCase
from tests.values import present
from vertex_emulator.testing import RunningEmulator

MODULES = ["argparse", "asyncio", "calendar", "csv", "datetime", "decimal", "json", "logging"]


def use_case_of(candidates: dict[str, Any] | None = None, **evaluation: Any) -> UseCase:
    """A small use case of its own name, so that tests meet nothing of each other."""
    return UseCase.model_validate(
        {
            "name": f"modules_{uuid4().hex[:8]}",
            "description": "Which module?",
            "source": {"sql": "SELECT 1"},
            "columns": {"output": "module"},
            "prompt": {
                "template": "Which module does this describe?\n{{ text }}\nChoose one of: "
                + ", ".join(MODULES),
                "system_instruction": "Answer with the name of one module and nothing else.",
            },
            "candidates": candidates
            or {
                "flash": {
                    "model": "gemini-3.5-flash",
                    "generation": {"max_output_tokens": 16, "thinking_level": "MINIMAL"},
                },
                "tuned": {"model": "tuned"},
            },
            "tuning": {"base_model": "gemini-3.5-flash"},
            "evaluation": {"metrics": ["exact_match", "rouge_l"], **evaluation},
            "gate": {
                "challenger": "flash",
                "rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 1.01}],
            },
        }
    )


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    from google.cloud import storage

    return ObjectStore(storage.Client(), emulator.variables["GENAIOPS_BUCKET"])


def put_inputs(store: ObjectStore, use_case: UseCase, rows: int = 24) -> None:
    """Write what the assets before evaluation would have written."""
    examples = [
        Example(
            id=f"row-{index:04}",
            group=f"group-{index // 2}",
            slices={"topic": MODULES[index % len(MODULES)]},
            variables={"text": f"The {MODULES[index % len(MODULES)]} module, in words {index}."},
            output=MODULES[index % len(MODULES)],
        )
        for index in range(rows)
    ]
    content = "\n".join(example.model_dump_json() for example in examples).encode()
    name = f"{use_case.name}/datasets/d/evaluation.jsonl"
    store.write(name, content)
    prompt = version(use_case.prompt)
    split = DatasetSplit(
        name="evaluation",
        uri=store.uri(name),
        digest=hashlib.sha256(content).hexdigest(),
        dataset_digest="d",
        prompt_digest=prompt.digest,
        rows=rows,
        characters=len(content),
    )
    for asset, record in {"evaluation_set": split, "prompt": prompt}.items():
        store.write(f"{use_case.name}/assets/{asset}.json", record.model_dump_json().encode())


def put_tuned_model(store: ObjectStore, use_case: UseCase, endpoint: str, digest: str) -> None:
    tuned = TunedModel(
        fingerprint="f",
        job="j",
        state="JOB_STATE_SUCCEEDED",
        base_model="gemini-3.5-flash-lite",
        model="m",
        endpoint=endpoint,
        checkpoints=[],
        training_digest="t",
        prompt_digest=digest,
        epochs=None,
        examples=None,
        steps=None,
        billable_tokens=None,
        dropped_count=0,
        dropped_examples={},
        cost_usd=None,
        emulated=True,
    )
    store.write(f"{use_case.name}/assets/tuned_model.json", tuned.model_dump_json().encode())


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def materialize(use_case: UseCase, candidate: str, **options: Any) -> dg.ExecuteInProcessResult:
    return materialize_asset(use_case, "evaluation_report", candidate, **options)


def materialize_asset(use_case: UseCase, *name: str, **options: Any) -> dg.ExecuteInProcessResult:
    key = dg.AssetKey([use_case.name, *name])
    before = [
        dg.AssetSpec([use_case.name, name])
        for name in ("evaluation_set", "prompt", "tuned_model", "cost_estimate")
    ]
    return dg.materialize(
        [*build_assets(use_case), *before], resources=build_resources(), selection=[key], **options
    )


def report_of(result: dg.ExecuteInProcessResult) -> EvaluationReport:
    [event] = result.get_asset_materialization_events()
    return result.asset_value(present(event.asset_key))


def content_requests(emulator: RunningEmulator) -> int:
    return emulator.stats()["requests"].get("vertex", {}).get("generateContent", 0)


@pytest.fixture
def faults(emulator: RunningEmulator) -> Iterator[Callable[..., None]]:
    """Puts faults in force for one test."""

    yield lambda *plan: emulator.ask("PUT", "faults", plan)
    emulator.clear_faults()
