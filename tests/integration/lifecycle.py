"""A use case whose data is in the bucket already, and a way to materialize some of its assets."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

import dagster as dg
from google.cloud import storage

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.prompts.rendering import tuning_line, version
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import Record
from genaiops_dagster.use_case import UseCase
from vertex_emulator.testing import RunningEmulator

UPSTREAM = ("training_set", "validation_set", "evaluation_set", "prompt")


def open_store(emulator: RunningEmulator) -> ObjectStore:
    settings = GoogleCloudSettings.from_environment(emulator.variables)
    return ObjectStore(storage.Client(project=settings.project), settings.bucket)


def colours_use_case(**sections: Any) -> UseCase:
    """A use case of its own name that is cheap to tune; `sections` replace its own."""
    return UseCase.model_validate(
        {
            "name": f"c{uuid.uuid4().hex[:12]}",
            "description": "Which colour is it?",
            "source": {"sql": "SELECT 1"},
            "columns": {"output": "colour"},
            "prompt": {
                "template": "Which colour is {{ thing }}? One of: red, green, blue.",
                "system_instruction": "Answer with one word.",
            },
            "candidates": {
                "flash": {
                    "model": "gemini-3.5-flash",
                    "generation": {"max_output_tokens": 8, "thinking_level": "MINIMAL"},
                },
                "tuned": {"model": "tuned", "generation": {"max_output_tokens": 8}},
            },
            "tuning": {"base_model": "gemini-3.5-flash", "epochs": 2, "claim_seconds": 4},
            "gate": {"rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0.1}]},
            "serving": {"samples": [{"thing": "a leaf in spring"}, {"thing": "the sea"}]},
            **sections,
        }
    )


def store_data(store: ObjectStore, use_case: UseCase, rows: int = 60, validation: int = 0) -> None:
    """Write the three sets and the prompt as the data assets would.

    Half of the rows are for training; `validation` of the others are for validation.
    """
    prompt = version(use_case.prompt)
    colours = ["red", "green", "blue"]
    examples = [
        Example(
            id=f"row-{number}",
            group=f"row-{number}",
            slices={"colour": colours[number % 3]},
            variables={"thing": f"thing {number} of {colours[number % 3]} {'x' * (number % 17)}"},
            output=colours[number % 3],
        )
        for number in range(rows)
    ]
    sets = {
        "training": examples[: rows // 2],
        "validation": examples[rows // 2 : rows // 2 + validation],
        "evaluation": examples[rows // 2 + validation :],
    }
    dataset = fingerprint([example.model_dump() for example in examples])
    _put(store, use_case, "prompt", prompt)
    for name, members in sets.items():
        lines = [_line(name, prompt, example) for example in members]
        content = "".join(f"{line}\n" for line in lines)
        path = f"{use_case.name}/datasets/{dataset}/{name}.jsonl"
        store.write(path, content.encode())
        split = DatasetSplit.model_validate(
            {
                "name": name,
                "uri": store.uri(path),
                "digest": fingerprint(content),
                "dataset_digest": dataset,
                "prompt_digest": prompt.digest,
                "rows": len(members),
                "characters": len(content),
            }
        )
        _put(store, use_case, f"{name}_set", split)


def _line(name: str, prompt: PromptVersion, example: Example) -> str:
    if name == "evaluation":
        return example.model_dump_json()
    return json.dumps(tuning_line(prompt, example.variables, example.output))


def _put(store: ObjectStore, use_case: UseCase, asset: str, record: Record) -> None:
    store.write(f"{use_case.name}/assets/{asset}.json", record.model_dump_json().encode())


def materialize(
    use_case: UseCase,
    assets: Iterable[dg.AssetsDefinition | dg.AssetChecksDefinition],
    only: Iterable[str] | None = None,
    instance: dg.DagsterInstance | None = None,
    **options: Any,
) -> dg.ExecuteInProcessResult:
    """Materialize assets, all or `only` some, whose data is in the bucket already."""
    definitions = dg.Definitions(
        assets=[
            *(dg.AssetSpec(asset_key(use_case, name)) for name in UPSTREAM),
            *assets,
        ],
        resources=build_resources(),
    )
    selection = (
        dg.AssetSelection.assets(*(asset_key(use_case, *name.split("/")) for name in only))
        if only
        else dg.AssetSelection.all().materializable()
    )
    job = dg.define_asset_job("test_job", selection=selection)
    resolved = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
    return resolved.resolve_job_def("test_job").execute_in_process(
        instance=instance, raise_on_error=False, **options
    )


def record_of(store: ObjectStore, use_case: UseCase, asset: str) -> dict[str, Any] | None:
    """What an asset handed on, or None when it was never materialized."""
    content: dict[str, Any] | None = store.read_json(f"{use_case.name}/assets/{asset}.json")
    return content


def error_text(result: dg.ExecuteInProcessResult) -> str:
    """Everything that failing steps said."""
    texts = []
    for event in result.all_events:
        if event.event_type_value == "STEP_FAILURE":
            error = event.step_failure_data.error
            while error is not None:
                texts.append(error.message)
                error = error.cause
    return "\n".join(texts)
