"""The commands of `genaiops`, in the order in which `--help` shows them."""

from __future__ import annotations

import typer

from genaiops_dagster.cli import (
    approve,
    dev,
    doctor,
    emulator,
    history,
    init,
    open_page,
    plan,
    prune,
    report,
    rollback,
    run,
    schema,
    use_cases,
)

app = typer.Typer(
    name="genaiops",
    help="Generative-AI operations on Vertex AI, as Dagster assets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("init")(init.init)
app.command("plan")(plan.plan)
app.command("run")(run.run)
app.command("report")(report.report)
app.command("history")(history.history)
app.command("approve")(approve.approve)
app.command("rollback")(rollback.rollback)
app.command("prune")(prune.prune)
app.command("dev")(dev.dev)
app.command("open")(open_page.open_page)
app.command("use-cases")(use_cases.use_cases)
app.command("schema")(schema.schema)
app.command("doctor")(doctor.doctor)
app.command("emulator")(emulator.emulator)


def main() -> None:
    """Run the command line."""
    app()
