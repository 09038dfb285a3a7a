"""Who approves: by Dagster's own web server, its queue and its runs; and by the commands."""

from __future__ import annotations

import contextlib
import os
import platform
import pwd
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.testclient import TestClient

from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.orchestration.run_coordinator import USER_TAG
from genaiops_dagster.promotion.jobs import build_jobs
from genaiops_dagster.records.promotion import LogEntry
from genaiops_dagster.records.tuning import TunedModel
from tests.integration.promotion_bench import Bench
from tests.integration.test_promotion_commands import make_bench, run
from tests.values import present

HEADER = "X-Goog-Authenticated-User-Email"
ANN = "accounts.google.com:ann@example.com"
COORDINATOR = {
    "module": "genaiops_dagster.orchestration.run_coordinator",
    "class": "UserRunCoordinator",
    "config": {"user_header": HEADER, "user_prefix": "accounts.google.com:"},
}
APPROVERS = {"approvers": ["ann@example.com", "bo@example.com"]}
LOCATION = """
import dagster as dg
import yaml
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.promotion.jobs import build_jobs
from genaiops_dagster.use_case import UseCase

use_case = UseCase.model_validate(yaml.safe_load(open({file!r})))
defs = dg.Definitions(jobs=build_jobs(use_case), resources=build_resources())
"""
LAUNCHES = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""
LAUNCHES_AGAIN = """
mutation LaunchAgain($params: ReexecutionParams!) {
  launchPipelineReexecution(reexecutionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""


class Dagster:
    """An instance with the web server before it, and runs that take place in this process."""

    def __init__(self, bench: Bench, workspace: WorkspaceProcessContext) -> None:
        self.bench = bench
        self.workspace = workspace
        self.instance = workspace.instance
        self.web = TestClient(create_app_from_workspace_process_context(workspace))

    def launch(self, *users: str, tags: dict[str, str] | None = None, **config: str) -> str:
        """Launch the approval job by a request with a header for each of `users`."""
        params = {
            "selector": {
                "repositoryLocationName": "location",
                "repositoryName": "__repository__",
                "pipelineName": f"{self.bench.name}_approve",
            },
            "runConfigData": {"ops": {f"{self.bench.name}_approval": {"config": config}}},
            "executionMetadata": {
                "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]
            },
        }
        return self._ask(LAUNCHES, params, users)

    def launch_again(self, run_id: str, *users: str) -> str:
        """Re-execute a run with its tags."""
        params = {"parentRunId": run_id, "strategy": "ALL_STEPS", "useParentRunTags": True}
        return self._ask(LAUNCHES_AGAIN, params, users)

    def _ask(self, query: str, params: dict[str, Any], users: tuple[str, ...]) -> str:
        response = self.web.post(
            "/graphql",
            json={"query": query, "variables": {"params": params}},
            headers=[(HEADER, user) for user in users],
        )
        (launched,) = response.json()["data"].values()
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return launched["run"]["runId"]

    def finish(self, run_id: str) -> str:
        """Take a run from the queue as the daemon does; what made it fail, or nothing."""
        queued = present(self.instance.get_run_by_id(run_id))
        assert queued.status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
        self.instance.launch_run(run_id, self.workspace.create_request_context())
        return failure(self.instance, run_id)

    def approvals(self) -> list[LogEntry]:
        return [entry for entry in self.bench.log.read() if entry.kind == "approval"]


def failure(instance: dg.DagsterInstance, run_id: str) -> str:
    """What the failed step of a run said; empty if it succeeded."""
    for event in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        failed = present(event.dagster_event).step_failure_data
        return present(present(failed.user_failure_data).description)
    assert present(instance.get_run_by_id(run_id)).status == dg.DagsterRunStatus.SUCCESS
    return ""


@pytest.fixture
def make_dagster(tmp_path: Path, models: list[TunedModel]) -> Iterator[Callable[..., Dagster]]:
    """Makes an instance with a bench whose gate has the given approval section."""
    opened = contextlib.ExitStack()

    def make(approval: dict[str, Any], **configuration: Any) -> Dagster:
        bench = Bench(models, approval=approval)
        bench.decide()
        home = tmp_path / bench.name
        home.mkdir()
        configuration |= {
            "telemetry": {"enabled": False},
            "run_launcher": {
                "module": "dagster._core.launcher.sync_in_memory_run_launcher",
                "class": "SyncInMemoryRunLauncher",
            },
        }
        (home / "dagster.yaml").write_text(yaml.safe_dump(configuration))
        use_case = home / "use_case.yaml"
        use_case.write_text(yaml.safe_dump(bench.use_case.model_dump(mode="json")))
        location = home / "location.py"
        location.write_text(LOCATION.format(file=str(use_case)))
        target = LoadableTargetOrigin(
            executable_path=sys.executable, python_file=str(location), attribute="defs"
        )
        instance = opened.enter_context(dg.DagsterInstance.from_config(str(home)))
        origin = InProcessCodeLocationOrigin(target, location_name="location")
        workspace = WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin))
        return Dagster(bench, opened.enter_context(workspace))

    with opened:
        yield make


@pytest.fixture
def dagster(make_dagster: Callable[..., Dagster]) -> Dagster:
    """Dagster behind a proxy that names users, with a policy that names approvers."""
    return make_dagster(APPROVERS, run_coordinator=COORDINATOR)


def tag(dagster: Dagster, run_id: str) -> str | None:
    return present(dagster.instance.get_run_by_id(run_id)).tags.get(USER_TAG)


def test_whom_the_proxy_names_approves(dagster: Dagster) -> None:
    run_id = dagster.launch(ANN, reason="looked at the rows")

    assert dagster.finish(run_id) == ""
    assert tag(dagster, run_id) == "ann@example.com"
    [entry] = dagster.approvals()
    assert (entry.by, entry.account) == ("ann@example.com", "proxy: ann@example.com")
    assert dagster.bench.materialize("champion").success


def test_the_config_may_name_the_same_and_nobody_else(dagster: Dagster) -> None:
    other = dagster.launch(ANN, by="bo@example.com", reason="for Bo")
    said = dagster.finish(other)
    assert "launched by ann@example.com, but its config says `by: bo@example.com`" in said
    assert dagster.approvals() == []

    assert dagster.finish(dagster.launch(ANN, by="ann@example.com", reason="good")) == ""
    assert len(dagster.approvals()) == 1


def test_who_is_signed_in_and_no_approver_is_refused(dagster: Dagster) -> None:
    said = dagster.finish(dagster.launch("accounts.google.com:eve@example.com", reason="hm"))
    assert "eve@example.com may not approve; who may: ann@example.com, bo@example.com" in said
    assert dagster.approvals() == []


def test_a_tag_that_came_with_the_launch_counts_for_nothing(dagster: Dagster) -> None:
    """Without a header, with another prefix or none, and with a header that is there twice."""
    for users in (
        (),
        ("ann@example.com",),
        ("securetoken.example.com:ann@example.com",),
        (ANN, "accounts.google.com:eve@example.com"),
        (ANN, ANN),
    ):
        run_id = dagster.launch(
            *users, tags={USER_TAG: "ann@example.com"}, by="ann@example.com", reason="it is me"
        )

        said = dagster.finish(run_id)

        assert tag(dagster, run_id) == "", users
        assert f"no request with the header {HEADER} launched this run" in said
        assert f"approve with `genaiops approve {dagster.bench.name}` at a terminal" in said
        assert "docs/how-to/production.md" in said
    assert dagster.approvals() == []


def test_a_tag_gives_way_to_the_header(dagster: Dagster) -> None:
    run_id = dagster.launch(
        "accounts.google.com:eve@example.com", tags={USER_TAG: "ann@example.com"}, reason="hm"
    )
    assert tag(dagster, run_id) == "eve@example.com"
    assert "eve@example.com may not approve" in dagster.finish(run_id)


def test_a_run_of_an_approver_that_is_executed_again_is_the_others(dagster: Dagster) -> None:
    first = dagster.launch(ANN, reason="")
    assert "and a reason" in dagster.finish(first)

    again = dagster.launch_again(first, "accounts.google.com:eve@example.com")
    nobodys = dagster.launch_again(first)

    assert (tag(dagster, first), tag(dagster, again)) == ("ann@example.com", "eve@example.com")
    assert tag(dagster, nobodys) == ""


def test_a_run_that_was_never_queued_is_not_believed(dagster: Dagster) -> None:
    """`dagster job execute --tags` makes such runs."""
    [job, _] = build_jobs(dagster.bench.use_case)
    config = {"by": "ann@example.com", "reason": "it is me"}

    result = job.execute_in_process(
        run_config={"ops": {f"{dagster.bench.name}_approval": {"config": config}}},
        resources=build_resources(),
        instance=dagster.instance,
        tags={USER_TAG: "ann@example.com"},
        raise_on_error=False,
    )

    assert "launched this run" in failure(dagster.instance, result.run_id)
    assert dagster.approvals() == []


def test_without_the_coordinator_neither_header_nor_tag_is_believed(
    make_dagster: Callable[..., Dagster],
) -> None:
    dagster = make_dagster(APPROVERS)
    run_id = dagster.launch(
        ANN, tags={USER_TAG: "ann@example.com"}, by="ann@example.com", reason="it is me"
    )

    said = dagster.finish(run_id)

    assert "its dagster.yaml names no UserRunCoordinator" in said
    assert f"the policy of {dagster.bench.name} names who may approve" in said
    assert dagster.approvals() == []


def test_where_anybody_may_approve_the_config_says_who(
    make_dagster: Callable[..., Dagster],
) -> None:
    dagster = make_dagster({})
    assert "needs the name of who gives it" in dagster.finish(dagster.launch(reason="good"))
    assert dagster.finish(dagster.launch(by="ann", reason="good")) == ""
    [entry] = dagster.approvals()
    assert (entry.by, entry.account) == ("ann", "")


def test_a_name_does_not_steer_the_terminal_that_the_log_is_on(
    make_dagster: Callable[..., Dagster],
) -> None:
    dagster = make_dagster({})
    run_id = dagster.launch(by="ann\x1b[2J", reason="good")
    assert dagster.finish(run_id) == ""
    logged = [event.user_message for event in dagster.instance.all_logs(run_id)]
    assert [text for text in logged if r"approved by ann\x1b[2J" in text]
    assert [text for text in logged if "\x1b" in text] == []


def test_where_anybody_may_approve_the_proxys_user_is_recorded_too(
    make_dagster: Callable[..., Dagster],
) -> None:
    dagster = make_dagster({}, run_coordinator=COORDINATOR)
    assert dagster.finish(dagster.launch(ANN, by="Ann", reason="good")) == ""
    [entry] = dagster.approvals()
    assert (entry.by, entry.account) == ("Ann", "proxy: ann@example.com")


def test_commands_record_who_is_logged_in(
    folder: Path, models: list[TunedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(variable, "eve")
    logged_in = f"operating system: {pwd.getpwuid(os.getuid()).pw_name}@{platform.node()}"
    bench = make_bench(folder, models, approval={"approvers": ["ann"]})
    bench.decide()

    approved = run("approve", bench.name, "--by", "ann", "--reason", "looked at the rows")
    bench.promote()
    rolled_back = run("rollback", bench.name, "--by", "bo", "--reason", "a drill", "--to", "1")

    assert (approved.exit_code, rolled_back.exit_code) == (0, 0), rolled_back.output
    people = {entry.kind: (entry.by, entry.account) for entry in bench.log.read()}
    assert people["approval"] == ("ann", logged_in)
    assert people["rollback"] == ("bo", logged_in)
    assert people["decision"] == ("", "")
    written = present(bench.store.read(bench.store.name_of(bench.log.uri(1))))
    assert b"account" not in written, "earlier releases read entries that need no account"
    monkeypatch.setenv("COLUMNS", "400")
    history = run("history", bench.name).output
    assert f"ann ({logged_in})" in history
    assert f"bo ({logged_in})" in history
