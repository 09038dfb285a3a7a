"""Runs whose process is gone are marked as over; others are left alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from genaiops_dagster.cli.lifecycle import PROCESS_TAG, _this_process, fail_abandoned_runs
from tests.values import present

STATUS = dg.DagsterRunStatus


@dg.op
def nothing() -> None:
    """Does nothing."""


@dg.job
def idle() -> None:
    nothing()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def run_of(instance: dg.DagsterInstance, process: str, status: dg.DagsterRunStatus) -> str:
    run = instance.create_run_for_job(idle, tags={PROCESS_TAG: process}, status=status)
    return run.run_id


@pytest.mark.parametrize(
    ("status", "then"),
    [
        (STATUS.STARTING, STATUS.FAILURE),
        (STATUS.STARTED, STATUS.FAILURE),
        (STATUS.CANCELING, STATUS.CANCELED),
        (STATUS.SUCCESS, STATUS.SUCCESS),
    ],
)
def test_a_run_whose_process_has_ended_is_over(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, then: dg.DagsterRunStatus
) -> None:
    gone = f"{socket.gethostname()} {ended_process()} 1764547200.00"
    run_id = run_of(instance, gone, status)
    assert fail_abandoned_runs(instance) == (status != then)
    assert present(instance.get_run_by_id(run_id)).status == then


@pytest.mark.parametrize(
    ("process", "is_gone"),
    [
        (_this_process(), False),
        (f"{socket.gethostname()} {os.getpid()} 1000000000.00", True),
        ("another-host 999999999 1764547200.00", False),
        (f"{os.getpid()}", False),
        ("999999999", True),
    ],
    ids=["this", "its id was used again", "another host's", "this, as 0.1 wrote it", "gone, 0.1"],
)
def test_who_is_gone(instance: dg.DagsterInstance, process: str, is_gone: bool) -> None:
    run_of(instance, process, STATUS.STARTED)
    assert fail_abandoned_runs(instance) == is_gone


def test_slots_of_pools_that_ended_runs_hold_are_given_back(tmp_path: Path) -> None:
    """A killed process keeps its slots, and the next run would wait for them for ever."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots("models", 4)
        gone = f"{socket.gethostname()} {ended_process()} 1764547200.00"
        killed = run_of(instance, gone, STATUS.STARTED)
        ended = run_of(instance, gone, STATUS.FAILURE)
        alive = run_of(instance, _this_process(), STATUS.STARTED)
        for run_id in (killed, ended, alive, "deleted"):
            storage.claim_concurrency_slot("models", run_id, "step")
        fail_abandoned_runs(instance)
        assert storage.get_concurrency_run_ids() == {alive}
