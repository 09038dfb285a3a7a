"""What pipelines leave behind: objects under the pipeline root, and nodes of the metadata store.

Each task is an execution with its inputs and outputs, each artifact a node with its address, and
pipeline and run are contexts, as in Vertex ML Metadata. The execution of a task is its cache entry:
https://cloud.google.com/vertex-ai/docs/pipelines/configure-caching
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.metadata import put_node
from vertex_emulator.vertex.metadata_graph import add_events, add_members
from vertex_emulator.vertex.model_versions import visible

Document = dict[str, Any]

_SCHEMA_VERSION = "0.0.1"


class PipelineRecords:
    """Objects and metadata of one pipeline job.

    Args:
        context: The service.
        job: The job's document.
    """

    def __init__(self, context: VertexContext, job: Document) -> None:
        self._context = context
        self._parent, _, self._job_id = job["name"].partition("/pipelineJobs/")
        self._store = f"{self._parent}/metadataStores/default"
        self._root = job["runtimeConfig"]["gcsOutputDirectory"].rstrip("/")
        self._pipeline = job["pipelineSpec"]["pipelineInfo"]["name"]

    def begin(self) -> tuple[Document, Document]:
        """The contexts of the pipeline and of the run, made where they are missing."""
        resources, now = self._context.resources, self._context.now()
        if resources.get(self._store) is None:
            document = {"name": self._store, "createTime": now, "updateTime": now}
            resources.put(self._store, "metadataStores", document)
        pipeline = self._context_node(self._pipeline, "system.Pipeline", [])
        run = self._context_node(self._job_id, "system.PipelineRun", [pipeline["name"]])
        return pipeline, run

    def cached(self, key: str) -> Document | None:
        """The execution that has this cache key, if there is one with all its artifacts."""
        found = self._context.resources.get(f"{self._store}/executions/{_cache_id(key)}")
        if found is None or found.get("state") != "COMPLETE":
            return None
        artifacts = [name for names in found["_outputs"]["artifacts"].values() for name in names]
        return found if all(map(self._context.resources.get, artifacts)) else None

    def keep(self, outputs: Document, task: str, task_id: str, folder: Path) -> Document:
        """Store a task's artifacts; its outputs, with artifacts by resource name.

        Files below `folder` become objects below the pipeline root.
        """
        kept: Document = {"parameters": outputs["parameters"], "artifacts": {}}
        for key, items in outputs["artifacts"].items():
            kept["artifacts"][key] = [
                self._artifact(item, f"{self._root}/{self._job_id}/{task}_{task_id}", folder)
                for item in items
            ]
        return kept

    def fetch(self, artifact: str, folder: Path) -> Document:
        """An artifact as a task gets it, its files copied into `folder` if we stored them."""
        node = self._context.resources.get(artifact) or {}
        uri = node["uri"]
        if node.get("_uploaded"):
            target = folder / node["name"].rpartition("/")[2] / uri.rpartition("/")[2]
            target.parent.mkdir(parents=True, exist_ok=True)
            self._download(uri, target)
            uri = str(target)
        return {
            "name": artifact,
            "uri": uri,
            "metadata": node.get("metadata", {}),
            "schemaTitle": node["schemaTitle"],
            "schemaVersion": node["schemaVersion"],
        }

    def execution(
        self,
        identifier: str,
        display_name: str,
        inputs: Document,
        outputs: Document | None,
        *,
        schema: str = "system.ContainerExecution",
        state: str = "COMPLETE",
    ) -> Document:
        """Record a task that has ended, with its inputs and outputs.

        Args:
            identifier: Cache key, or any id that is not used again.
            display_name: Name of the task.
            inputs: `parameters` by value, `artifacts` as lists of resource names.
            outputs: Likewise; None of a task that failed.
            schema: Schema title of the execution.
            state: `COMPLETE` or `FAILED`.
        """
        resources = self._context.resources
        name = f"{self._store}/executions/{_cache_id(identifier)}"
        made = outputs or {"parameters": {}, "artifacts": {}}
        metadata = {
            **{f"input:{key}": value for key, value in inputs["parameters"].items()},
            **{f"output:{key}": value for key, value in made["parameters"].items()},
        }
        fields: Document = {
            "displayName": display_name,
            "schemaTitle": schema,
            "schemaVersion": _SCHEMA_VERSION,
            "metadata": metadata,
            "state": state,
            "_outputs": made,
        }
        put_node(resources, name, fields, self._context.now(), replace=True)
        add_events(
            resources,
            name,
            [
                {"artifact": artifact, "type": kind}
                for kind, side in (("INPUT", inputs), ("OUTPUT", made))
                for names in side["artifacts"].values()
                for artifact in names
            ],
            self._context.now(),
        )
        self.join(name, made)
        return resources.get(name) or {}

    def join(self, execution: str, outputs: Document) -> None:
        """Put an execution and its artifacts into the contexts of pipeline and run."""
        names = [execution, *(n for names in outputs["artifacts"].values() for n in names)]
        for context in (self._pipeline, self._job_id):
            add_members(self._context.resources, f"{self._store}/contexts/{context}", names)

    def shown(self, artifacts: Mapping[str, Iterable[str]]) -> Document:
        """Artifacts by name as `ArtifactList`s."""
        return {
            key: {
                "artifacts": [
                    visible(node)
                    for node in (self._context.resources.get(name) for name in names)
                    if node is not None
                ]
            }
            for key, names in artifacts.items()
        }

    def _context_node(self, identifier: str, schema: str, parents: list[str]) -> Document:
        name = f"{self._store}/contexts/{identifier}"
        found = self._context.resources.get(name)
        if found is not None:
            return found
        fields = {
            "displayName": identifier,
            "schemaTitle": schema,
            "schemaVersion": _SCHEMA_VERSION,
            "parentContexts": parents,
            "metadata": {},
        }
        return put_node(self._context.resources, name, fields, self._context.now())

    def _artifact(self, item: Document, place: str, folder: Path) -> str:
        resources = self._context.resources
        uri, uploaded = item["uri"], False
        path = Path(uri)
        if path.is_absolute() and path.is_relative_to(folder):
            uri, uploaded = f"{place}/{path.name}", True
            self._upload(path, uri)
        name = f"{self._store}/artifacts/{resources.new_id()}"
        fields = {
            "displayName": item["name"].rpartition("/")[2],
            "uri": uri,
            "schemaTitle": item["schemaTitle"],
            "schemaVersion": item["schemaVersion"],
            "metadata": item["metadata"],
            "state": "LIVE",
            "_uploaded": uploaded,
        }
        return str(put_node(resources, name, fields, self._context.now())["name"])

    def _upload(self, path: Path, uri: str) -> None:
        if path.is_file():
            self._context.storage.write(uri, path.read_bytes())
        for file in sorted(path.rglob("*")) if path.is_dir() else ():
            if file.is_file():
                target = f"{uri}/{file.relative_to(path).as_posix()}"
                self._context.storage.write(target, file.read_bytes())

    def _download(self, uri: str, target: Path) -> None:
        storage = self._context.storage
        for found in storage.list_uris(uri):
            if found == uri:
                file = target
            elif found.startswith(f"{uri}/"):
                file = target / found.removeprefix(f"{uri}/")
            else:
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            with storage.open(found) as stream:
                file.write_bytes(stream.read())


def _cache_id(key: str) -> str:
    return f"pipeline-task-{key[:40]}"
