"""`genaiops load-test`: how a model answers under load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from genaiops_dagster.cli.options import FOLDER
from genaiops_dagster.cli.terminal import Terminal, joined, styled
from genaiops_dagster.cli.working import reporting, workspace
from genaiops_dagster.use_case import known_use_case
from genaiops_dagster.use_case.serving import LoadTestPolicy

if TYPE_CHECKING:
    from genaiops_dagster.records.serving import LoadTest


def load_test(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")],
    candidate: Annotated[
        str, typer.Option(help="What to load; `champion` for what serves. Default the challenger.")
    ] = "",
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Send a model the load of the use case file, and compare its latency with the objective.

    Exits with 1 when the objective is missed. Costs are reserved in the budget first.
    """
    from genaiops_dagster.cli.lifecycle import run_named_job
    from genaiops_dagster.records.record import read_record
    from genaiops_dagster.records.serving import LoadTest
    from genaiops_dagster.serving.load_testing.assets import load_test_job_name

    console = Terminal()
    with reporting():
        chosen = known_use_case(use_case)
        if chosen.serving.load_test is None:
            serving = chosen.serving.model_copy(update={"load_test": LoadTestPolicy()})
            chosen = chosen.model_copy(update={"serving": serving})
        with workspace(chosen, folder) as here:
            configured = {f"{chosen.name}__load_test": {"candidate": candidate}}
            run_named_job(chosen, load_test_job_name(chosen.name), config=configured)
            test = read_record(here.store, LoadTest, chosen.name, "load_test")
    _print(test, console)
    if test.met is False:
        raise typer.Exit(1)


def _print(test: LoadTest, console: Terminal) -> None:
    headers = ("load", "requests", "failed", "answered/s", "p50 s", "p95 s", "p99 s", "first p95 s")
    table = Table(*headers, box=None, pad_edge=False)
    for step in test.steps:
        figures = (step.throughput, step.latency.p50, step.latency.p95, step.latency.p99)
        table.add_row(
            step.load,
            str(step.requests),
            str(step.failed),
            *("-" if f is None else f"{f:.3g}" for f in (*figures, step.first_token.p95)),
        )
    console.print(styled(test.candidate, "bold"), test.model)
    console.print(table)
    if test.objective:
        verdict = styled("met", "green") if test.met else styled("missed", "red")
        reasons = "; ".join(test.reasons)
        console.print(joined(f"{test.objective}: ", verdict, f": {reasons}"))
