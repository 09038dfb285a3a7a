"""The record of a run of a pipeline."""

from __future__ import annotations

from typing import Any

from genaiops_dagster.records.record import Record


class PipelineTask(Record):
    """One step of a run.

    Attributes:
        name: As the pipeline names it.
        state: As the API spells it; `SKIPPED` is one that came from the cache.
        seconds: How long it took; None when it never started.
        about: The candidate that it evaluates, where it says so.
        error: What it said when it failed.
    """

    name: str
    state: str
    seconds: float | None
    about: str | None = None
    error: str | None = None


class PipelineRunRecord(Record):
    """A pipeline job that succeeded.

    Attributes:
        fingerprint: sha256 over template, parameters and root.
        job: Resource name.
        template: What the use case file names.
        pipeline: Name of the compiled pipeline.
        root: `gs://` address below which outputs are kept.
        tasks: Its steps.
        outputs: The pipeline's output parameters.
        artifacts: Addresses of the files that steps left, by `<step>/<output>`.
        emulated: Whether the emulator ran it.
    """

    fingerprint: str
    job: str
    template: str
    pipeline: str
    root: str
    tasks: list[PipelineTask]
    outputs: dict[str, Any]
    artifacts: dict[str, str]
    emulated: bool

    @property
    def cached(self) -> int:
        """How many steps came from the cache."""
        return sum(task.state == "SKIPPED" for task in self.tasks)
