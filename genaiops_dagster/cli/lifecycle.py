"""One run of a use case's job in this process, watched while it goes on."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import psutil

from genaiops_dagster.cli.options import fail
from genaiops_dagster.cli.session import dagster_instance
from genaiops_dagster.cli.terminal import visible_log_lines
from genaiops_dagster.orchestration.plain_text import unescape_markdown
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    import dagster as dg

Status = Literal["waiting", "running", "done", "failed", "skipped"]
_LOOKS_AT_OTHERS = 40
"""So many looks of a quarter of a second lie between two looks for processes that were killed."""

PROCESS_TAG = "genaiops/process"
GATE_CHECK = "gate"


@dataclass
class StepProgress:
    """How far one step of the run is; `note` is the last thing it reported."""

    name: str
    status: Status = "waiting"
    note: str = ""
    seconds: float = 0.0
    started: float | None = None
    error: str | None = None


@dataclass
class RunOutcome:
    """How a run ended.

    Attributes:
        run_id: Dagster's id of the run.
        steps: Every step, in the order of the plan.
        failed_checks: Names of the blocking checks that failed, with what they said.
        completed: Whether every stage did its work; a gate that refuses is a completed run.
    """

    run_id: str
    steps: dict[str, StepProgress]
    failed_checks: dict[str, str] = field(default_factory=dict)

    @property
    def completed(self) -> bool:
        """Whether nothing failed but the gate."""
        failed = [step for step in self.steps.values() if step.status == "failed"]
        return all(step.name.endswith(f"_{GATE_CHECK}") for step in failed) and set(
            self.failed_checks
        ) <= {GATE_CHECK}

    @property
    def errors(self) -> list[str]:
        """Error texts of the failed steps."""
        return [
            f"{step.name}: {step.error or 'failed'}"
            for step in self.steps.values()
            if step.status == "failed"
        ]


def run_named_job(
    use_case: UseCase,
    name: str,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    partition: str | None = None,
) -> None:
    """Run one of a use case's jobs, and end the command if it fails; arguments as for `run_job`.

    Raises:
        typer.Exit: the job failed.
    """
    from genaiops_dagster.orchestration.assembly import build_definitions

    job = build_definitions([use_case]).resolve_job_def(name)
    with dagster_instance() as instance:
        outcome = run_job(job, instance, lambda _: None, config=config, partition=partition)
    if not outcome.completed:
        fail("\n".join(outcome.errors))


def run_job(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    on_progress: Callable[[dict[str, StepProgress]], None],
    log_level: str = "CRITICAL",
    config: Mapping[str, Mapping[str, Any]] | None = None,
    partition: str | None = None,
) -> RunOutcome:
    """Run `job` here to its end.

    Args:
        job: Job to run.
        instance: Where the run is recorded.
        on_progress: Called with all steps whenever one of them changed.
        log_level: Least level of the log lines that are printed; all are kept in the instance.
        config: What a person would choose in the launchpad, by step.
        partition: Partition of the job's assets, where they have any.

    Returns:
        The outcome; a failure is reported there, not raised.
    """
    fail_abandoned_runs(instance)
    run_id = str(uuid.uuid4())
    steps: dict[str, StepProgress] = {}
    with visible_log_lines(), _watching(instance, run_id, steps, on_progress):
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            raise_on_error=False,
            partition_key=partition,
            tags={PROCESS_TAG: _this_process()},
            run_config={
                "loggers": {"console": {"config": {"log_level": log_level}}},
                "ops": {step: {"config": dict(chosen)} for step, chosen in (config or {}).items()},
            },
        )
    outcome = RunOutcome(run_id, steps)
    for event in result.all_events:
        if event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            if not check.passed and check.blocking:
                outcome.failed_checks[check.check_name] = unescape_markdown(check.description or "")
    for step in steps.values():
        if step.status in ("waiting", "running"):
            step.status = "skipped"
    return outcome


@contextmanager
def _watching(
    instance: dg.DagsterInstance,
    run_id: str,
    steps: dict[str, StepProgress],
    on_progress: Callable[[dict[str, StepProgress]], None],
) -> Iterator[None]:
    """Follow the run's event log from a second thread until the block ends.

    Now and then it looks for processes that were killed: the run may wait for their slots.
    """
    stop = threading.Event()

    def follow() -> None:
        cursor: str | None = None
        for look in itertools.count(1):
            last_look = stop.is_set()
            try:
                if look % _LOOKS_AT_OTHERS == 0:
                    fail_abandoned_runs(instance)
                cursor, changed = _read_events(instance, run_id, cursor, steps)
            except Exception:  # noqa: BLE001 - the run itself will meet it, and say it
                return
            if changed or not last_look:
                on_progress(steps)
            if last_look:
                return
            stop.wait(0.25)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _read_events(
    instance: dg.DagsterInstance,
    run_id: str,
    cursor: str | None,
    steps: dict[str, StepProgress],
) -> tuple[str | None, bool]:
    """Apply the events after `cursor` to `steps`; the new cursor, and whether any changed."""
    if not steps:
        run = instance.get_run_by_id(run_id)
        if run is None or run.execution_plan_snapshot_id is None:
            return cursor, False
        plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
        for key in plan.step_keys_to_execute:
            steps[key] = StepProgress(key)
    connection = instance.get_records_for_run(run_id, cursor=cursor)
    changed = False
    for record in connection.records:
        entry = record.event_log_entry
        event = entry.dagster_event
        if event is None or event.step_key is None:
            continue
        step = steps.setdefault(event.step_key, StepProgress(event.step_key))
        changed = True
        if event.is_step_start:
            step.status, step.started = "running", entry.timestamp
        elif event.is_step_success:
            step.status = "done"
        elif event.is_step_failure:
            step.status = "failed"
            step.error = step.error or _innermost(event.step_failure_data.error)
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            if check.blocking and not check.passed:
                step.error = unescape_markdown(check.description or "")
        elif event.event_type_value == "ASSET_OBSERVATION":
            description = event.asset_observation_data.asset_observation.description
            step.note = unescape_markdown(description or "")
        elif event.is_step_skipped:
            step.status = "skipped"
        if step.started is not None:
            step.seconds = (
                time.time() if step.status == "running" else entry.timestamp
            ) - step.started
    return connection.cursor, changed


def _innermost(error: object) -> str:
    """The asset's own exception, without Dagster's frame around it."""
    while getattr(error, "cause", None) is not None:
        error = error.cause  # type: ignore[attr-defined]
    return str(getattr(error, "message", error)).strip()


def fail_abandoned_runs(instance: dg.DagsterInstance) -> int:
    """Mark runs as over whose process on this machine is gone; how many there were.

    Slots of pools that a run holds after its end are given back: a process that is killed cannot
    do so, and other runs would wait for them for ever.
    """
    import dagster as dg

    statuses = dg.DagsterRunStatus
    under_way = [statuses.STARTING, statuses.STARTED, statuses.CANCELING]
    abandoned = 0
    for run in instance.get_runs(dg.RunsFilter(statuses=under_way)):
        process = run.tags.get(PROCESS_TAG)
        if process and _is_gone(process):
            gone = "The process that executed this run is gone."
            if run.status == statuses.CANCELING:
                instance.report_run_canceled(run, gone)
            else:
                instance.report_run_failed(run, gone)
            abandoned += 1
    _free_slots_of_ended_runs(instance)
    return abandoned


def _free_slots_of_ended_runs(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    for run_id in storage.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            storage.free_concurrency_slots_for_run(run_id)


def _this_process() -> str:
    """Names this process among all of all machines, also of those that get its id later."""
    return f"{socket.gethostname()} {os.getpid()} {_began(os.getpid())}"


def _is_gone(process: str) -> bool:
    """Whether a process of this machine has ended; of another machine's, nothing is known."""
    match process.split():
        case [number]:  # as earlier releases wrote it
            return number.isdigit() and not psutil.pid_exists(int(number))
        case [host, number, began]:
            return host == socket.gethostname() and _began(int(number)) != began
    return False


def _began(process: int) -> str:
    """When a process began, in seconds since 1970; empty if there is none."""
    try:
        return f"{psutil.Process(process).create_time():.2f}"
    except psutil.Error:
        return ""
