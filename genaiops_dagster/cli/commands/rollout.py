"""`genaiops rollout`: one look at the candidate that is being rolled out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.terminal import Terminal, styled
from genaiops_dagster.cli.working import reporting, workspace
from genaiops_dagster.use_case import known_use_case


def rollout(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")],
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Look at the online figures, and begin the next stage, end the rollout or wait.

    Exits with 1 when the candidate had to be withdrawn. The schedule `<use case>_rollout` does the
    same at intervals; `genaiops rollback` ends a rollout by hand.
    """
    from genaiops_dagster.cli.lifecycle import run_named_job
    from genaiops_dagster.records.record import read_record
    from genaiops_dagster.serving.watching.rollout import RolloutLook
    from genaiops_dagster.serving.watching.rollout_assets import look_job_name

    with reporting():
        chosen = known_use_case(use_case)
        if chosen.serving.rollout is None:
            fail(f"{chosen.name} has no serving.rollout: a promotion changes all users at once")
        with workspace(chosen, folder) as here:
            run_named_job(chosen, look_job_name(chosen.name))
            look = read_record(here.store, RolloutLook, chosen.name, "rollout")
    console = Terminal()
    if look.rollout:
        console.print(
            f"{look.rollout.candidate.candidate} at stage {look.rollout.stage}:",
            styled(look.action, "bold"),
        )
    for reason in look.reasons:
        console.print(f"  {reason}")
    if look.stage_after:
        console.print(f"Stage now: {look.stage_after}")
    if look.action == "withdraw":
        raise typer.Exit(1)
