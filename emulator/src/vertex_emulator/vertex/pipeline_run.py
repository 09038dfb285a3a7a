"""One pipeline job: its tasks in order, each from an earlier attempt, the cache, or run now."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import socket
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from vertex_emulator.vertex import pipeline_spec as specs
from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.messages import Document
from vertex_emulator.vertex.pipeline_processes import TaskProcesses
from vertex_emulator.vertex.pipeline_records import PipelineRecords
from vertex_emulator.vertex.pipeline_task import OUTPUTS_FILE, TASK_FILE

_START_SECONDS = 60
_ENDED_WELL = {"SUCCEEDED", "SKIPPED"}

log = logging.getLogger(__name__)


class _StoppedError(Exception):
    """The job was cancelled, or the server stops."""


class _TaskFailedError(Exception):
    """A task failed, with its message."""


class PipelineRun:
    """Runs one job to its end.

    Args:
        context: The services and stores.
        processes: What runs its tasks.
        name: Name of the job.
        is_closed: Whether the server stops.
    """

    def __init__(
        self,
        context: VertexContext,
        processes: TaskProcesses,
        name: str,
        is_closed: Callable[[], bool],
    ) -> None:
        self._context = context
        self._processes = processes
        self._name = name
        self._is_closed = is_closed
        job = context.resources.get(name) or {}
        self._spec: Document = job["pipelineSpec"]
        self._runtime: Document = job["runtimeConfig"]
        self._records = PipelineRecords(context, job)
        self._failures: list[str] = []

    def run(self) -> None:
        """Take the job to its end; raises nothing."""
        try:
            self._run()
        except _StoppedError:
            if not self._is_closed():
                error = {"code": 1, "message": "The PipelineJob was cancelled."}
                self._end("PIPELINE_STATE_CANCELLED", error)
        except Exception:
            log.exception("pipeline job %s failed", self._name)
            self._end(
                "PIPELINE_STATE_FAILED",
                {"code": 13, "message": "Internal error encountered while running the pipeline."},
            )

    def _run(self) -> None:
        now = self._context.now()
        pipeline, run = self._records.begin()

        def begin(job: Document) -> None:
            if job["state"] == "PIPELINE_STATE_PENDING":
                job.update(state="PIPELINE_STATE_RUNNING", startTime=now)
            job["_contexts"] = [pipeline["name"], run["name"]]

        self._change(begin)
        root = self._spec["root"]
        given = self._runtime.get("parameterValues", {})
        scope = {"parameters": specs.defaults(root, given), "artifacts": {}}
        outputs = self._dag(root, scope, "")
        self._check()
        state = "COMPLETE" if outputs is not None else "FAILED"
        execution = self._records.execution(
            self._name.rpartition("/")[2],
            self._name.rpartition("/")[2],
            scope,
            outputs,
            schema="system.Run",
            state=state,
        )
        self._change(lambda job: job.update(_execution=execution["name"]))
        if outputs is None:
            self._end(
                "PIPELINE_STATE_FAILED",
                {
                    "code": 9,
                    "message": "The PipelineJob failed because of the following tasks: "
                    + "; ".join(self._failures),
                },
            )
        else:
            self._end("PIPELINE_STATE_SUCCEEDED")

    def _dag(self, component: Document, scope: Document, path: str) -> Document | None:
        """Run the tasks of a DAG, each when what it waits for has ended; None when one failed."""
        tasks = component["dag"].get("tasks", {})
        produced: dict[str, Document] = {}
        failed: set[str] = set()
        waiting = dict(tasks)
        running: dict[Future[Document | None], str] = {}
        with ThreadPoolExecutor(max(1, len(tasks)), thread_name_prefix="pipeline-task") as pool:
            while True:
                for name in [n for n, t in waiting.items() if specs.upstream(t) <= produced.keys()]:
                    if self._failures and self._fails_fast():
                        break
                    inputs = specs.arguments(waiting.pop(name), scope, produced)
                    running[pool.submit(self._task, tasks[name], inputs, f"{path}{name}")] = name
                if not running:
                    break
                for ended in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(ended)
                    try:
                        outputs = ended.result()
                    except _TaskFailedError as error:
                        failed.add(name)
                        self._failures.append(f"{path}{name}: {error}")
                    else:
                        if outputs is not None:
                            produced[name] = outputs
        for name in waiting:
            self._detail(f"{path}{name}", "NOT_TRIGGERED")
        if failed or (waiting and self._failures):
            return None
        return specs.dag_outputs(component, produced)

    def _task(self, task: Document, inputs: Document, path: str) -> Document | None:
        """The outputs of a task: from an earlier attempt, from the cache, or made now.

        None when its condition does not hold.

        Raises:
            _TaskFailedError: it failed, and was tried as often as it may be.
        """
        self._check()
        done = self._job()["_tasks"].get(path, {})
        if done.get("state") in _ENDED_WELL:
            return dict(done["_outputs"])
        if not specs.is_triggered(task, inputs):
            self._detail(path, "NOT_TRIGGERED")
            return None
        component = self._spec["components"][task["componentRef"]["name"]]
        inputs["parameters"] = specs.defaults(component, inputs["parameters"])
        if "dag" in component:
            return self._group(task, component, inputs, path)
        key = specs.cache_key(self._spec, component, inputs)
        use_cache = task.get("cachingOptions", {}).get("enableCache", False)
        found = self._records.cached(key) if use_cache else None
        if found is not None:
            self._records.join(found["name"], found["_outputs"])
            return self._ended(path, "SKIPPED", found["_outputs"], execution=found["name"])
        tries = 1 + int(task.get("retryPolicy", {}).get("maxRetryCount", 0))
        return self._execute(task, component, inputs, path, key, tries)

    def _group(self, task: Document, component: Document, inputs: Document, path: str) -> Document:
        """The outputs of a task that is a DAG of its own, or several passes of one.

        Raises:
            _TaskFailedError: a task in it failed.
        """
        self._detail(path, "RUNNING")
        passes = specs.iterations(task, inputs)
        if passes is None:
            outputs = self._dag(component, inputs, f"{path}/")
        else:
            most = int(task.get("iteratorPolicy", {}).get("parallelismLimit", 0)) or len(passes)

            def run_pass(place: int) -> Document | None:
                where = f"{path}/{place}"
                self._detail(where, "RUNNING")
                made = self._dag(component, passes[place], f"{where}/")
                self._detail(where, "FAILED" if made is None else "SUCCEEDED", outputs=made)
                return made

            with ThreadPoolExecutor(max(1, most), thread_name_prefix="pipeline-loop") as pool:
                made = list(pool.map(run_pass, range(len(passes))))
            whole = [one for one in made if one is not None]
            outputs = specs.collected(whole) if len(whole) == len(passes) else None
        if outputs is None:
            self._detail(path, "FAILED", error={"code": 9, "message": "A task of it failed."})
            raise _TaskFailedError("a task of it failed")
        return self._ended(path, "SUCCEEDED", outputs)

    def _execute(
        self, task: Document, component: Document, inputs: Document, path: str, key: str, tries: int
    ) -> Document:
        self._detail(path, "PENDING", inputs=inputs["artifacts"])
        with self._processes.slots:
            for left in reversed(range(tries)):
                self._check()
                self._detail(path, "RUNNING")
                try:
                    outputs = self._process(task, component, inputs, path)
                    break
                except _TaskFailedError as error:
                    self._check()
                    if left:
                        continue
                    execution = self._records.execution(
                        f"{key[:20]}-{self._context.resources.new_id()}",
                        path,
                        inputs,
                        None,
                        state="FAILED",
                    )
                    problem = {"code": 9, "message": str(error)}
                    self._detail(path, "FAILED", error=problem, execution=execution["name"])
                    raise
        execution = self._records.execution(key, path, inputs, outputs)
        return self._ended(path, "SUCCEEDED", outputs, execution=execution["name"])

    def _process(
        self, task: Document, component: Document, inputs: Document, path: str
    ) -> Document:
        """Run the process of a task; its outputs.

        Raises:
            _TaskFailedError: it failed; the message has the end of what it printed.
        """
        folder = self._processes.folder(self._name) / path.replace("/", ".")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        container = dict(specs.executor(self._spec, component))
        if "container" in container:
            container["container"] = specs.without_installation(container["container"])
        description = {
            "job": self._name.rpartition("/")[2],
            "component_name": task["componentRef"]["name"],
            "component": component,
            "executor": container,
            "parameters": inputs["parameters"],
            "artifacts": {
                name: [self._records.fetch(artifact, folder / "inputs") for artifact in artifacts]
                for name, artifacts in inputs["artifacts"].items()
            },
        }
        (folder / TASK_FILE).write_text(json.dumps(description))
        self._await_server()
        status, said = self._processes.run(self._name, folder, self._check)
        result = folder / OUTPUTS_FILE
        if status or not result.exists():
            self._check()
            raise _TaskFailedError(f"it ended with status {status} and said:\n{said}")
        task_id = self._context.resources.new_id()
        outputs = json.loads(result.read_text())
        return self._records.keep(outputs, path.replace("/", "."), task_id, folder)

    def _await_server(self) -> None:
        """Wait until requests are answered: a job may go on before the server is up."""
        config = self._context.config
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self._check()
            with contextlib.suppress(OSError):
                socket.create_connection((config.host, config.port), timeout=1).close()
                return
            time.sleep(0.05)

    def _ended(
        self, path: str, state: str, outputs: Document, execution: str | None = None
    ) -> Document:
        self._detail(path, state, outputs=outputs, execution=execution)
        return outputs

    def _detail(
        self,
        path: str,
        state: str,
        *,
        inputs: Document | None = None,
        outputs: Document | None = None,
        error: Document | None = None,
        execution: str | None = None,
    ) -> None:
        """Move a task to `state`, with what is known of it."""
        now = self._context.now()

        def change(job: Document) -> None:
            task = job["_tasks"].setdefault(
                path, {"taskId": self._context.resources.new_id(), "createTime": now, "_path": path}
            )
            status: Document = {"updateTime": now, "state": state}
            if error:
                task["error"] = status["error"] = error
            task.setdefault("pipelineTaskStatus", []).append(status)
            task["state"] = state
            if state in ("RUNNING", "SKIPPED"):
                task.setdefault("startTime", now)
            if state not in ("RUNNING", "PENDING"):
                task["endTime"] = now
            if inputs is not None:
                task["_inputs"] = inputs
            if outputs is not None:
                task["_outputs"] = outputs
            if execution is not None:
                task["_execution"] = execution

        self._change(change)

    def _end(self, state: str, error: Document | None = None) -> None:
        now = self._context.now()

        def change(job: Document) -> None:
            if job["state"] == "PIPELINE_STATE_CANCELLING" and state != "PIPELINE_STATE_CANCELLED":
                return
            job.update(state=state, endTime=now)
            if error:
                job["error"] = error
            for task in job["_tasks"].values():
                if task["state"] in ("PENDING", "RUNNING"):
                    task.update(state="CANCELLED", endTime=now)

        self._change(change)

    def _fails_fast(self) -> bool:
        return self._runtime.get("failurePolicy") == "PIPELINE_FAILURE_POLICY_FAIL_FAST"

    def _job(self) -> Document:
        job = None if self._is_closed() else self._context.resources.get(self._name)
        if job is None:
            raise _StoppedError
        return job

    def _check(self) -> None:
        """Raise `_StoppedError` when the job is to end."""
        if self._job()["state"] == "PIPELINE_STATE_CANCELLING":
            raise _StoppedError

    def _change(self, change: Callable[[Document], None]) -> None:
        if self._is_closed():
            return

        def apply(job: Document) -> None:
            change(job)
            job["updateTime"] = self._context.now()

        self._context.resources.update(self._name, apply)
