"""Pipeline jobs as the API gives them."""

from __future__ import annotations

from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.database import ResourceStore
from vertex_emulator.vertex.messages import Document
from vertex_emulator.vertex.model_versions import visible
from vertex_emulator.vertex.pipeline_records import PipelineRecords


def shown(context: VertexContext, job: Document) -> Document:
    """A job as the API gives it, with the details of its tasks."""
    records, resources = PipelineRecords(context, job), context.resources
    run_id = job["_root_id"]
    details: list[Document] = [
        {
            "taskId": run_id,
            "taskName": job["name"].rpartition("/")[2],
            "createTime": job["createTime"],
            "state": _root_state(job["state"]),
            **{key: job[key] for key in ("startTime", "endTime", "error") if key in job},
            **_execution(resources, job.get("_execution")),
        }
    ]
    for path, task in job["_tasks"].items():
        outer, _, name = path.rpartition("/")
        details.append(
            {
                **visible(task),
                "taskName": name,
                "taskUniqueName": path,
                "parentTaskId": job["_tasks"][outer]["taskId"] if outer else run_id,
                **_execution(resources, task.get("_execution")),
                "inputs": records.shown(task.get("_inputs", {})),
                "outputs": records.shown(task.get("_outputs", {}).get("artifacts", {})),
            }
        )
    contexts = dict(
        zip(
            ("pipelineContext", "pipelineRunContext"),
            (visible(found) for name in job.get("_contexts", []) if (found := resources.get(name))),
            strict=False,
        )
    )
    return {**visible(job), "jobDetail": {**contexts, "taskDetails": details}}


def _execution(resources: ResourceStore, name: str | None) -> Document:
    found = resources.get(name) if name else None
    return {"execution": visible(found)} if found else {}


def _root_state(state: str) -> str:
    return state.removeprefix("PIPELINE_STATE_")
