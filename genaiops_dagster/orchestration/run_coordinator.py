"""Who launched a run, where a proxy in front of Dagster says who is signed in.

Open-source Dagster knows no users. A proxy that does sends a header with each request, and Dagster
shows a request's headers to the run coordinator alone, which here makes a tag of the run of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self, cast

import dagster as dg
from dagster._config.config_schema import UserConfigSchema
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._serdes import ConfigurableClassData
from starlette.requests import HTTPConnection

USER_TAG = "genaiops/user"
"""Tag of a run: who launched it, as the proxy says; empty if a launch only claimed to know."""


class Launcher(NamedTuple):
    """Who launched a run.

    Attributes:
        user: The user that the proxy named; empty if unknown.
        unknown: Why it is unknown; empty if it is not.
    """

    user: str
    unknown: str


class UserRunCoordinator(QueuedRunCoordinator[dg.DagsterInstance]):
    """Dagster's queue of runs, which tags each run with the user that a header of its launch names.

    A tag of that name which came with the launch is overwritten, also where no request is behind
    it: in the launchpad, a re-execution, a schedule, or on the command line.

    Args:
        user_header: Header that the proxy sets; it must drop one that comes from outside.
        user_prefix: What comes before the user in it. A value without it names nobody.
        queue: What Dagster's own queue takes.
    """

    def __init__(self, user_header: str, user_prefix: str = "", **queue: Any) -> None:
        super().__init__(**queue)
        self.user_header = user_header
        self._user_prefix = user_prefix

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """The settings in `dagster.yaml`."""
        return {
            **cast("Mapping[str, Any]", super().config_type()),
            "user_header": dg.Field(
                dg.StringSource,
                description="Header in which the proxy names who is signed in.",
            ),
            "user_prefix": dg.Field(
                dg.StringSource,
                is_required=False,
                description="What comes before the name, such as `accounts.google.com:`.",
            ),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> Self:
        """The coordinator that `dagster.yaml` describes."""
        return cls(inst_data=inst_data, **config_value)

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Tag the run with who launched it, and queue it."""
        run = context.dagster_run
        user = self._user(context)
        if user or USER_TAG in run.tags:
            self._instance.add_run_tags(run.run_id, {USER_TAG: user})
        return super().submit_run(context)

    def _user(self, context: SubmitRunContext) -> str:
        """The user that the launching request's header names; empty if there is no such request.

        A header that is there twice names nobody: one of the two came from outside.
        """
        request = getattr(context.workspace, "source", None)
        if not isinstance(request, HTTPConnection):
            return ""
        values = request.headers.getlist(self.user_header)
        if len(values) != 1 or not values[0].startswith(self._user_prefix):
            return ""
        return values[0].removeprefix(self._user_prefix).strip()


def launched_by(run: dg.DagsterRun, instance: dg.DagsterInstance) -> Launcher:
    """The user who launched a run, as the proxy in front of Dagster says.

    The run's tag is believed only where `UserRunCoordinator` queued the run.
    """
    coordinator = instance.run_coordinator
    if not isinstance(coordinator, UserRunCoordinator):
        return Launcher(
            "",
            "this Dagster reads from no proxy who is signed in: its dagster.yaml names no "
            f"{UserRunCoordinator.__name__}",
        )
    # A run that never was in the queue may have any tag: `dagster job execute` makes such runs.
    was_queued = instance.get_run_stats(run.run_id).enqueued_time is not None
    user = run.tags.get(USER_TAG, "") if was_queued else ""
    if not user:
        return Launcher(
            "",
            f"no request with the header {coordinator.user_header} launched this run: it came past "
            "the proxy, from a schedule or from a command line",
        )
    return Launcher(user, "")
