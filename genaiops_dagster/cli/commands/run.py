"""`genaiops run`: the whole lifecycle of one use case, from data to a served champion."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live

from genaiops_dagster.cli.lifecycle import (
    StepProgress,
    run_job,
)
from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.session import dagster_instance
from genaiops_dagster.cli.summary import print_summary, progress_table, summarize
from genaiops_dagster.cli.terminal import Terminal, styled
from genaiops_dagster.cli.umask import files_of_the_user
from genaiops_dagster.cli.working import reporting, workspace
from genaiops_dagster.pipelines.recipe import TemplateError, require_pullable
from genaiops_dagster.records.pipelines import PipelineRunRecord
from genaiops_dagster.records.record import find_record
from genaiops_dagster.use_case import UseCase, known_use_case
from genaiops_dagster.use_case.pipelines import LIFECYCLE, PipelineRun

if TYPE_CHECKING:
    import dagster as dg

    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.orchestration.workspace import Workspace

INTERRUPTED = 130
STILL_RUNNING = 3


def run(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")] = "python_modules",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the results to this file.")
    ] = None,
    via_pipelines: Annotated[
        bool,
        typer.Option(
            "--via-pipelines",
            help="Tune and evaluate in a KFP pipeline on Vertex AI Pipelines; the assets find "
            "what it made.",
        ),
    ] = False,
    folder: FOLDER = Path(".genaiops"),
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print the log lines of the run.")
    ] = False,
) -> None:
    """Run a use case from data to a served champion; what did not change is reused.

    Works on Google Cloud when GENAIOPS_BUCKET is set, else on an emulator on this machine, where
    nothing is charged. Exits with 0 when the lifecycle completed (also when the gate refused the
    challenger), with 2 when the configuration is wrong, with 3 when a tuning job is still running,
    and with 1 when something failed.
    """
    console = Terminal()
    try:
        with reporting(mistakes=(TemplateError,)):
            chosen = known_use_case(use_case)
            if via_pipelines:
                chosen = _with_pipeline(chosen)
            with workspace(chosen, folder) as here:
                completed, tuning = _run(here, json_file, verbose, console, again=via_pipelines)
    except KeyboardInterrupt:
        fail("interrupted; what was finished is kept, run again to go on", code=INTERRUPTED)
    for job in tuning:
        console.print(
            styled("Still running ", "yellow"),
            f"{job}: nothing waits for it. Run again when it has ended, "
            "or leave `genaiops dev` running: its sensor goes on by itself.",
        )
    if not completed or tuning:
        raise typer.Exit(STILL_RUNNING if completed else 1)


def _run(
    here: Workspace,
    json_file: Path | None,
    verbose: bool,
    console: Terminal,
    *,
    again: bool,
) -> tuple[bool, list[str]]:
    """Run the lifecycle and print its results.

    Args:
        here: Use case and services.
        json_file: Where the results are written, too.
        verbose: Whether log lines are printed.
        console: Where progress and results are printed.
        again: Whether a pipeline that has ended is submitted again.

    Returns:
        Whether nothing failed, and the names of tuning jobs that outlast the run.
    """
    from genaiops_dagster.orchestration.assembly import build_definitions, lifecycle_job_name
    from genaiops_dagster.orchestration.asset_options import pipeline_keys
    from genaiops_dagster.tuning.pending import pending_jobs

    use_case, store, settings = here.use_case, here.store, here.models.settings
    if again and not settings.vertex_url:
        for name in use_case.lifecycle_pipelines:
            require_pullable(name, use_case.pipelines[name])
    where = f"the emulator at {settings.vertex_url}" if settings.vertex_url else "Google Cloud"
    console.print(styled(use_case.name, "bold"), f"on {where}, project {settings.project}")
    definitions = build_definitions([use_case])
    job = definitions.resolve_job_def(lifecycle_job_name(use_case.name))
    names, checks = _step_names(definitions, job)
    with dagster_instance() as instance, _progress(console, names, checks) as on_progress:
        steps = {v: k for k, v in names.items()} if again else {}
        config = {
            steps["/".join(key.path[1:])]: {"run_again": True}
            for key in (pipeline_keys(use_case) if again else [])
        }
        level = "INFO" if verbose else "CRITICAL"
        outcome = run_job(job, instance, on_progress, level, config)
    summary = summarize(use_case.name, outcome, names, store)
    print_summary(summary, console)
    _tell_of_pipelines(use_case, store, console)
    if json_file is not None:
        with files_of_the_user():
            json_file.write_text(json.dumps(summary.as_json(), indent=2, allow_nan=False) + "\n")
        console.print(styled(f"Results are in {json_file}", "dim"))
    left = (one for one in pending_jobs(store, use_case.name) if one.run_id == outcome.run_id)
    return outcome.completed, [one.job for one in left]


def _with_pipeline(use_case: UseCase) -> UseCase:
    """The use case with a pipeline that tunes and evaluates, unless its file has one."""
    if importlib.util.find_spec("kfp") is None:
        fail("--via-pipelines needs KFP: pip install 'genaiops-dagster[pipelines]'", code=2)
    if use_case.lifecycle_pipelines:
        return use_case
    added = {LIFECYCLE: PipelineRun(template=LIFECYCLE)}
    return use_case.model_copy(update={"pipelines": {**use_case.pipelines, **added}})


def _tell_of_pipelines(use_case: UseCase, store: ObjectStore, console: Terminal) -> None:
    """Say how many steps of the use case's pipeline ran, and how many came from the cache."""
    for name in use_case.lifecycle_pipelines:
        run = find_record(store, PipelineRunRecord, use_case.name, "vertex_pipeline_run", name)
        if run is not None:
            console.print(
                f"Pipeline  {run.job.rpartition('/')[2]}: {len(run.tasks)} steps, "
                f"{run.cached} of them from the cache"
            )


def _step_names(
    definitions: dg.Definitions, job: dg.JobDefinition
) -> tuple[dict[str, str], set[str]]:
    """Assets of each step, by step key, without the use case's prefix; and the checks."""
    names: dict[str, str] = {}
    checks: set[str] = set()
    assets = definitions.get_repository_def().assets_defs_by_key.values()
    for definition in assets:
        if definition.is_executable:
            keys = ["/".join(key.path[1:]) for key in sorted(definition.keys)]
            names[definition.node_def.name] = ", ".join(keys)
    for node in job.all_node_defs:
        if node.name not in names and node.name != job.graph.name:
            names[node.name] = node.name.partition("__")[2] or node.name
            checks.add(node.name)
    return names, checks


@contextmanager
def _progress(
    console: Terminal, names: dict[str, str], checks: set[str]
) -> Iterator[Callable[[dict[str, StepProgress]], None]]:
    """Show steps as they go: a table that is redrawn on a terminal, else a line for each end."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8) as live:
            yield lambda steps: live.update(progress_table(steps, names, checks))
        return
    printed: set[str] = set()

    def tell(steps: dict[str, StepProgress]) -> None:
        for key, step in steps.items():
            if step.status in ("done", "failed") and key not in printed:
                printed.add(key)
                if key not in checks or step.status == "failed":
                    console.print(f"{step.status:6} {names.get(key, key)} {step.seconds:.1f} s")

    yield tell
