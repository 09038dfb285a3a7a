"""Executes one task of a pipeline with KFP's local runner, in a process of its own.

`python -m vertex_emulator.vertex.pipeline_task <folder>` reads `task.json` there, runs
the component in a child process, and writes `outputs.json`. KFP keeps the settings of its runner in
globals, and a component may change its folder and environment: nothing of it outlives the task.

The process ends, with all that it started, when its standard input closes, as it does when the
emulator dies.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

Document = dict[str, Any]

TASK_FILE = "task.json"
OUTPUTS_FILE = "outputs.json"


def main(folder: Path) -> int:
    """Execute the task that `folder` describes; the exit status of the process."""
    task = json.loads((folder / TASK_FILE).read_text())
    outputs = execute(task, folder)
    if outputs is None:
        return 1
    temporary = folder / f"{OUTPUTS_FILE}.tmp"
    temporary.write_text(json.dumps(outputs))
    temporary.replace(folder / OUTPUTS_FILE)
    return 0


def execute(task: Document, folder: Path) -> Document | None:
    """Run one component.

    Args:
        task: `name`, `component` and `executor` as the pipeline's spec has them, `parameters` by
            name, `artifacts` by name as lists of objects with `name`, `uri`, `metadata` and type.
        folder: Where its outputs are put.

    Returns:
        `parameters` and `artifacts` in the same form; None when the component failed.
    """
    from google.protobuf import json_format
    from kfp import local
    from kfp.local import importer_handler, status, task_dispatcher
    from kfp.pipeline_spec import pipeline_spec_pb2

    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder / "outputs"),
        workspace_root=str(folder / "workspace"),
        raise_on_error=False,
    )
    executor = json_format.ParseDict(
        task["executor"],
        pipeline_spec_pb2.PipelineDeploymentConfig.ExecutorSpec(),
        ignore_unknown_fields=True,
    )
    common: Document = {
        "pipeline_resource_name": task["job"],
        "component_name": task["component_name"],
        "component_spec": json_format.ParseDict(
            task["component"], pipeline_spec_pb2.ComponentSpec(), ignore_unknown_fields=True
        ),
        "executor_spec": executor,
        "arguments": {
            **task["parameters"],
            **{name: _artifact(items[0]) for name, items in task["artifacts"].items()},
        },
        "pipeline_root": str(folder / "outputs"),
        "unique_pipeline_id": task["job"],
    }
    if executor.WhichOneof("spec") == "importer":
        outputs, ended = importer_handler.run_importer(**common)
    else:
        outputs, ended = task_dispatcher.run_single_task_implementation(
            **common,
            runner=local.SubprocessRunner(use_venv=False),
            raise_on_error=False,
            block_input_artifact=False,
        )
    return _plain(outputs) if ended == status.Status.SUCCESS else None


def _artifact(item: Document) -> Any:
    from kfp.dsl import executor

    return executor.create_artifact_instance(
        {
            "name": item["name"],
            "uri": item["uri"],
            "metadata": item["metadata"],
            "type": {"schemaTitle": item["schemaTitle"], "schemaVersion": item["schemaVersion"]},
        }
    )


def _plain(outputs: Document) -> Document:
    found: Document = {"parameters": {}, "artifacts": {}}
    for name, value in outputs.items():
        items = value if isinstance(value, list) else [value]
        if items and all(hasattr(item, "uri") for item in items):
            found["artifacts"][name] = [
                {
                    "name": item.name,
                    "uri": item.uri,
                    "metadata": item.metadata,
                    "schemaTitle": item.schema_title,
                    "schemaVersion": item.schema_version,
                }
                for item in items
            ]
        else:
            found["parameters"][name] = value
    return found


def _end_with_input() -> None:
    while os.read(0, 4096):  # not `sys.stdin`, whose lock the end of the interpreter wants
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.exit(main(Path(sys.argv[1])))
