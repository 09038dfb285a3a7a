"""`genaiops plan`: what a run would do and cost, before anything is paid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import Field
from rich.table import Table

from genaiops_dagster.budget.ledger import STALE_SECONDS, Entry, Ledger
from genaiops_dagster.budget.limits import refusals, sweep_refusals
from genaiops_dagster.cli.lifecycle import run_job
from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.terminal import Terminal, styled
from genaiops_dagster.cli.umask import files_of_the_user
from genaiops_dagster.cli.working import reporting, workspace
from genaiops_dagster.google_cloud.base_models import concerns, stale_facts
from genaiops_dagster.planning.estimate import models_of
from genaiops_dagster.planning.finished import finished_stages, stage_name, without
from genaiops_dagster.planning.retirement import Closing, closing
from genaiops_dagster.records.budget import CostEstimate
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.record import Record, find_record, read_record
from genaiops_dagster.use_case import UseCase, known_use_case, load_use_cases

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore


class Plan(Record):
    """The cost of a run, and the part of it that is already paid.

    Attributes:
        estimate: The whole run, as if nothing were there.
        kept: Stages whose results are kept, as `stage` or `stage/candidate`.
        to_pay: The estimate without them.
        refusals: Why the budget would not allow it; empty when it would.
        spent_this_month_usd: What all runs of this month have spent and reserved.
        concerns: Base models that are retired, or may be soon; that facts of models are old.
        reservations: What other runs hold of the month, and what releases it.
    """

    estimate: CostEstimate
    kept: list[str]
    to_pay: CostEstimate
    refusals: list[str]
    spent_this_month_usd: float
    concerns: list[str]
    reservations: list[str] = Field(default_factory=list)


def plan(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")] = "python_modules",
    exact: Annotated[
        bool, typer.Option("--exact", help="Count the tokens of every row, not of a sample.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the plan to this file.")
    ] = None,
    retirement: Annotated[
        int | None,
        typer.Option(
            "--retirement",
            metavar="DAYS",
            min=0,
            help="Instead: models of all use cases that may be retired within this number of days, "
            "what may follow them, and what tuning on that costs.",
        ),
    ] = None,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Show what a run would cost, stage by stage, and whether the budget allows it.

    Reads the data and counts tokens; no model is called and nothing is tuned. Exits with 0 when the
    budget allows the run, with 2 when the configuration is wrong, and with 1 when it does not
    allow it or the data could not be made.
    """
    console = Terminal()
    if retirement is not None:
        _plan_retirement(retirement, json_file, folder, console)
        return
    with reporting():
        chosen = known_use_case(use_case)
        if exact:
            counted = chosen.budget.model_copy(update={"token_sample_rows": None})
            chosen = chosen.model_copy(update={"budget": counted})
        with workspace(chosen, folder) as here:
            errors = _make_data(chosen)
            if errors:
                fail("\n".join(errors))
            planned = plan_run(chosen, here.store, here.clock)
    _show(planned, console)
    if json_file is not None:
        with files_of_the_user():
            json_file.write_text(planned.model_dump_json(indent=2) + "\n")
    if planned.refusals:
        raise typer.Exit(1)


def plan_run(use_case: UseCase, store: ObjectStore, clock: Clock) -> Plan:
    """The plan of a use case whose data and estimate are in the bucket.

    Args:
        use_case: Whose run.
        store: Its bucket.
        clock: Tells month and day.

    Raises:
        FileNotFoundError: the estimate was never made.
    """
    estimate = read_record(store, CostEstimate, use_case.name, "cost_estimate")
    done = finished_stages(use_case, store, estimate)
    to_pay = without(estimate, done)
    month = Ledger(store, use_case.name, use_case.budget, clock).read()
    spent = month.taken()
    return Plan(
        estimate=estimate,
        kept=sorted(done),
        to_pay=to_pay,
        refusals=[
            *refusals(estimate, use_case.budget, month=spent, left=to_pay),
            *sweep_refusals(estimate, use_case.tuning.sweep),
        ],
        spent_this_month_usd=spent.usd,
        concerns=[
            *(concern.sentence for concern in concerns(models_of(use_case), clock.today())),
            *filter(None, [stale_facts(clock.today())]),
        ],
        reservations=[_reservation(entry, clock) for entry in month.entries if entry.reserved_usd],
    )


def _plan_retirement(days: int, json_file: Path | None, folder: Path, console: Terminal) -> None:
    """Show which models go within `days`, for all use cases."""
    found: list[Closing] = []
    with reporting():
        use_cases = list(load_use_cases().values())
        with workspace(use_cases[0], folder) as here:  # all are in one bucket
            today = here.clock.today()
            for use_case in use_cases:
                estimate = find_record(here.store, CostEstimate, use_case.name, "cost_estimate")
                found += closing(use_case, days, here.clock.now(), estimate)
    for one in found:
        console.print(styled(one.use_case, "bold"), f"{one.sentence}.")
        console.print(f"  used as    {', '.join(one.used_as)}")
        console.print(f"  after it   {', '.join(one.successors) or 'none is known'}")
        if one.tuned_in:
            price = (
                f"the price is not known; `genaiops plan {one.use_case}` counts the data, and "
                "budget.prices names a price that was not published"
                if one.tuning_usd is None
                else f"about ${one.tuning_usd:.2f} with the data of the latest estimate"
            )
            console.print(f"  tuned in   {' or '.join(one.tuned_in)}: {price}")
    if not found:
        console.print(f"No model of any use case may be retired within {days} days.")
    if stale := stale_facts(today):
        console.print(styled(stale, "yellow"))
    if json_file is not None:
        content = [one.model_dump(mode="json") for one in found]
        with files_of_the_user():
            json_file.write_text(json.dumps(content, indent=2) + "\n")


def _reservation(entry: Entry, clock: Clock) -> str:
    """A run's reservation in the month, and what releases it."""
    minutes = (clock.now().timestamp() - entry.updated) / 60
    return (
        f"${entry.reserved_usd:.4f} is reserved for {entry.work} by run {entry.run_id[:8]}, last "
        f"seen {minutes:.0f} min ago; released when that run ends, when the work is found "
        f"done, or when it is reserved again after {STALE_SECONDS / 60:.0f} min of silence"
    )


def _make_data(use_case: UseCase) -> list[str]:
    """Materialize everything up to the estimate; what went wrong, except the budget."""
    import dagster as dg

    from genaiops_dagster.evaluation.first_answer_checks import CHECK as FIRST_ANSWERS
    from genaiops_dagster.orchestration.assembly import build_definitions
    from genaiops_dagster.orchestration.asset_options import asset_key

    key = asset_key(use_case, "cost_estimate")
    needed = dg.AssetSelection.assets(key).upstream().materializable()
    asks_models = dg.AssetSelection.checks(dg.AssetCheckKey(key, FIRST_ANSWERS))
    selection = needed.required_multi_asset_neighbors() - asks_models
    job = dg.define_asset_job("plan", selection)
    definitions = dg.Definitions.merge(build_definitions([use_case]), dg.Definitions(jobs=[job]))
    with dg.DagsterInstance.get() as instance:
        outcome = run_job(definitions.resolve_job_def("plan"), instance, on_progress=lambda _: None)
    return [
        f"{step.name}: {step.error or 'failed'}"
        for step in outcome.steps.values()
        if step.status == "failed" and not step.name.endswith("within_budget")
    ]


def _show(planned: Plan, console: Terminal) -> None:
    table = Table(title=f"{planned.estimate.use_case}: what a run would cost", title_justify="left")
    for heading in ("Stage", "Candidate", "Model", "Calls", "Tokens", "Expected $", "At most $"):
        table.add_column(heading, overflow="fold")
    for stage in planned.estimate.stages:
        done = stage_name(stage) in planned.kept
        table.add_row(
            stage.stage,
            stage.candidate,
            stage.model,
            "kept" if done else f"{stage.calls:,}",
            f"{stage.input_tokens + stage.output_tokens:,}",
            _usd(0.0 if done else stage.cost_usd),
            _usd(0.0 if done else stage.maximum_usd),
            style="dim" if done else None,
        )
    console.print(table)
    to_pay = planned.to_pay
    console.print(
        f"To pay: ${to_pay.cost_usd:.4f} expected, ${to_pay.maximum_usd:.4f} at most"
        + (f"; tokens are estimated to ±{to_pay.error_share:.1%}" if to_pay.error_share else "")
        + ("; emulated, nothing will be charged" if to_pay.emulated else "")
    )
    console.print(f"Spent and reserved this month: ${planned.spent_this_month_usd:.4f}")
    for reservation in planned.reservations:
        console.print(styled(f"  {reservation}", "dim"), soft_wrap=True)
    for sentence in to_pay.degradation.done if to_pay.degradation else ():
        console.print(styled(f"With less: {sentence}", "yellow"))
    for concern in planned.concerns:
        console.print(styled(concern, "yellow"))
    for refusal in planned.refusals:
        console.print(styled(refusal, "red"))


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:.4f}"
