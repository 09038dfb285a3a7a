"""The commands of `genaiops`, in the order in which `--help` shows them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated

import typer

from genaiops_dagster.cli.commands import (
    approve,
    deliver,
    dev,
    doctor,
    emulator,
    feedback,
    generate,
    generate_day,
    history,
    init,
    load_test,
    open_page,
    plan,
    prune,
    rejected,
    report,
    rollback,
    rollout,
    run,
    schema,
    teardown,
    use_cases,
)
from genaiops_dagster.cli.disk import disk_problem
from genaiops_dagster.cli.loopback import proxy_exceptions
from genaiops_dagster.cli.options import fail
from genaiops_dagster.cli.umask import private_files

_COMMANDS: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "init": (init.init, ("tickets.csv", "tickets.csv --output queue --input subject --yes")),
    "deliver": (deliver.deliver, ("tickets tickets.csv", "tickets monday.jsonl tuesday.parquet")),
    "plan": (plan.plan, ("python_modules", "stackoverflow_qa --exact")),
    "run": (run.run, ("python_modules", "article_summaries --json results.json --verbose")),
    "generate": (
        generate.generate,
        (
            'python_modules "How do I read a table of comma-separated values?"',
            '--model gemini-3.5-flash --raw "Name three gases." --preset random --candidates 3',
        ),
    ),
    "generate-day": (
        generate_day.generate_day,
        ("python_modules", "python_modules --prompts prompts.jsonl"),
    ),
    "rejected": (rejected.rejected, ("tickets", "tickets --reason personal_data --output bad.csv")),
    "report": (report.report, ("python_modules", "python_modules --output page.html --no-open")),
    "history": (history.history, ("python_modules",)),
    "approve": (
        approve.approve,
        ('python_modules --by "A. Person" --reason "looked at the worst rows"',),
    ),
    "rollback": (
        rollback.rollback,
        ('python_modules --reason "complaints"', 'python_modules --to 3 --reason "complaints"'),
    ),
    "rollout": (rollout.rollout, ("python_modules",)),
    "feedback": (
        feedback.feedback,
        (
            "python_modules 20261121-5f0c --rating 1",
            "python_modules 20261121-5f0c --rating 0 --correct json",
        ),
    ),
    "load-test": (load_test.load_test, ("python_modules", "python_modules --candidate champion")),
    "prune": (prune.prune, ("python_modules",)),
    "teardown": (
        teardown.teardown,
        (
            "python_modules --dry-run",
            "python_modules --only cache --only endpoint",
            "python_modules --everything python_modules",
        ),
    ),
    "dev": (dev.dev, ("", "--port 4000")),
    "open": (open_page.open_page, ("python_modules", "python_modules champion --console")),
    "use-cases": (use_cases.use_cases, ("",)),
    "schema": (schema.schema, ("", "--output use_case.schema.json")),
    "doctor": (doctor.doctor, ("", "--probe", "--probe --spend 1 --json probe.json")),
    "emulator": (emulator.emulator, ("", "--port 0 --env-file emulator.env", "--reset")),
}
"""Function of each command, and examples of what may follow its name."""

app = typer.Typer(
    name="genaiops",
    help="Generative-AI operations on Vertex AI, as Dagster assets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_debug = False


@app.callback()
def _all_commands(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error that was not foreseen.")
    ] = False,
) -> None:
    global _debug
    _debug = debug
    context.with_resource(private_files())
    os.environ.update(proxy_exceptions())  # the emulator and the UI are on this machine


def _epilog(name: str, examples: tuple[str, ...]) -> str:
    lines = [f"genaiops {name} {example}".rstrip() for example in examples]
    return "\n\n".join(["Examples:", *lines])


for _name, (_function, _examples) in _COMMANDS.items():
    app.command(_name, epilog=_epilog(_name, _examples))(_function)


def _unforeseen(error: Exception) -> str:
    message = str(error).strip() or "no details are known"
    return f"{type(error).__name__}: {message}\n`genaiops --debug ...` shows where"


def main() -> None:
    """Run the command line; an unforeseen error is one line, unless `--debug` is given."""
    try:
        app()
    except Exception as error:
        if _debug:
            raise
        try:
            fail(disk_problem(error) or _unforeseen(error))
        except typer.Exit as end:
            raise SystemExit(end.exit_code) from error
