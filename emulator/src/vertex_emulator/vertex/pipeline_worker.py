"""Moves pipeline jobs through their states and runs their tasks on this machine.

What a job has done is in the store alone: after a crash each unfinished job goes on, keeps the
tasks that had ended, and starts those again that were under way. Each task is a process of its own;
the emulator itself never imports KFP.
"""

from __future__ import annotations

from vertex_emulator.vertex.context import VertexContext
from vertex_emulator.vertex.jobs import JobThreads
from vertex_emulator.vertex.pipeline_processes import TaskProcesses
from vertex_emulator.vertex.pipeline_run import PipelineRun

KIND = "pipelineJobs"
TERMINAL = {
    "PIPELINE_STATE_SUCCEEDED",
    "PIPELINE_STATE_FAILED",
    "PIPELINE_STATE_CANCELLED",
}


class PipelineWorker(JobThreads):
    """Runs pipeline jobs, each in a thread of its own, at most two tasks at once in all."""

    cancelling = "PIPELINE_STATE_CANCELLING"

    def __init__(self, context: VertexContext) -> None:
        self._processes = TaskProcesses(context.config)
        super().__init__(context, KIND, TERMINAL)

    def cancel(self, name: str) -> None:
        """Ask the job called `name` to stop, and end its processes."""
        super().cancel(name)
        self._processes.stop(name)

    def close(self) -> None:
        """Stop; unfinished jobs go on at the next start."""
        self.closed = True
        self._processes.stop_all()
        super().close()

    def run(self, name: str) -> None:
        """Take the job called `name` to its end; raises nothing."""
        PipelineRun(self._context, self._processes, name, lambda: self.closed).run()
