"""The summary of a run: the comparison, the gate's verdict, the champion and the cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table

from genaiops_dagster.budget.ledger import spent_by_run
from genaiops_dagster.cli.lifecycle import GATE_CHECK, RunOutcome, StepProgress
from genaiops_dagster.cli.terminal import Terminal, joined, panel, styled
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.evaluation import EvaluationReport, MetricSummary
from genaiops_dagster.records.promotion import Champion, Decision, served_champion
from genaiops_dagster.records.record import Record, find_record
from genaiops_dagster.records.serving import GeneratedContent
from genaiops_dagster.records.tuning import TunedModel

_VERDICT_STYLES = {"PROMOTE": "green", "REJECT": "red", "INSUFFICIENT": "yellow"}
AnyRecord = TypeVar("AnyRecord", bound=Record)


class RunSummary(Record):
    """A run's results; fields are None where the run did not get that far.

    Attributes:
        use_case: Name of the use case.
        run_id: Dagster's id of the run.
        completed: Whether the lifecycle completed; a gate that refuses is a completed one.
        errors: Error texts of what failed.
        assets: Every step's status and seconds, by asset or check.
        comparison, decision, tuned_model: Records of this run.
        champion: What production serves now, promoted by this run or an earlier one.
        samples: What the champion said to the samples, if this run asked for it.
        waits: What a decision to promote waits for, and how it is given.
        paid_usd: What this run paid itself; the rest was found, as others had paid it.
    """

    use_case: str
    run_id: str
    completed: bool
    errors: list[str]
    assets: dict[str, dict[str, str | float]]
    comparison: Comparison | None
    decision: Decision | None
    tuned_model: TunedModel | None
    champion: Champion | None
    samples: GeneratedContent | None = None
    waits: str | None = None
    paid_usd: float = 0.0

    @property
    def emulated(self) -> bool:
        """Whether the emulator answered, so that nothing was charged."""
        return bool(self.comparison and any(r.emulated for r in self.comparison.leaderboard))

    @property
    def cost_usd(self) -> float | None:
        """Price of the tuning job and of all answers; None when a price is not known."""
        if self.comparison is None:
            return None
        costs = [report.cost_usd for report in self.comparison.leaderboard]
        if self.tuned_model is not None:
            costs.append(self.tuned_model.cost_usd)
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    def as_json(self) -> dict[str, Any]:
        """The summary as `genaiops run --json` writes it."""
        leaderboard = self.comparison.leaderboard if self.comparison else []
        return {
            "use_case": self.use_case,
            "run_id": self.run_id,
            "completed": self.completed,
            "emulated": self.emulated,
            "candidates": {report.candidate: _candidate(report) for report in leaderboard},
            "verdict": self.decision.verdict.outcome if self.decision else None,
            "reasons": self.decision.verdict.reasons if self.decision else [],
            "waits": self.waits,
            "champion": self.champion.model_dump(mode="json") if self.champion else None,
            "cost_usd": self.cost_usd,
            "paid_usd": self.paid_usd,
            "errors": self.errors,
            "assets": self.assets,
        }


def _candidate(report: EvaluationReport) -> dict[str, Any]:
    return {
        "model": report.model,
        "model_version": report.model_version,
        "rows": report.rows,
        "states": report.states,
        "metrics": {name: summary.mean for name, summary in report.metrics.items()},
        "intervals": {name: [m.low, m.high] for name, m in report.metrics.items()},
        "cost_usd": report.cost_usd,
        "latency_p50_seconds": report.latency_p50_seconds,
    }


def summarize(
    use_case: str, outcome: RunOutcome, step_assets: Mapping[str, str], store: ObjectStore
) -> RunSummary:
    """Read what the run's assets recorded.

    Args:
        use_case: Name of the use case.
        outcome: How the run ended.
        step_assets: Name of the asset or check by step key.
        store: Bucket of the records.
    """

    def record(kind: type[AnyRecord], asset: str) -> AnyRecord | None:
        """The record of `asset`, if this run materialized it."""
        steps = [outcome.steps[key] for key, name in step_assets.items() if name == asset]
        if not any(step.status == "done" for step in steps):
            return None
        return find_record(store, kind, use_case, asset)

    decision = record(Decision, "promotion_decision")
    promotes = decision is not None and decision.verdict.outcome == "PROMOTE"
    request = outcome.failed_checks.get(GATE_CHECK, "").removeprefix("PROMOTE: ")
    return RunSummary(
        use_case=use_case,
        run_id=outcome.run_id,
        completed=outcome.completed,
        errors=[] if outcome.completed else outcome.errors,
        assets={
            step_assets.get(key, key): {"status": step.status, "seconds": round(step.seconds, 3)}
            for key, step in outcome.steps.items()
        },
        comparison=record(Comparison, "model_comparison"),
        decision=decision,
        tuned_model=record(TunedModel, "tuned_model"),
        champion=served_champion(store, use_case),
        samples=record(GeneratedContent, "sample_content"),
        waits=request if promotes and request else None,
        paid_usd=spent_by_run(store, use_case, outcome.run_id),
    )


def print_summary(summary: RunSummary, console: Terminal) -> None:
    """Print the leaderboard, the verdict with its reasons, the champion and the cost."""
    if summary.comparison is not None:
        console.print(_leaderboard(summary.comparison, console))
    if summary.decision is not None:
        console.print(_verdict(summary.decision))
    if summary.waits is not None:
        console.print(styled("Waiting  ", "bold yellow"), styled(summary.waits, "yellow"))
    champion = summary.champion
    if champion is None:
        console.print(styled("Champion ", "bold"), "none yet")
    else:
        console.print(
            styled("Champion ", "bold"),
            f"{champion.candidate} (number {champion.number}), served by {champion.model}",
        )
    if summary.samples is not None:
        states = ", ".join(f"{n} {state}" for state, n in sorted(summary.samples.states.items()))
        console.print(styled("Samples  ", "bold"), states or "none in the use case file")
    if summary.comparison is not None:
        cost = "unknown" if summary.cost_usd is None else f"${summary.cost_usd:.4f}"
        note = " at Google's prices; emulated, nothing was charged" if summary.emulated else ""
        console.print(styled("Cost     ", "bold"), f"{cost}{note}")
        paid = f"${summary.paid_usd:.4f} by this run"
        if summary.cost_usd is not None and summary.paid_usd < summary.cost_usd - 1e-6:
            paid += "; what was paid before was found"
        console.print(styled("Paid     ", "bold"), paid)
    for error in summary.errors:
        console.print(styled(f"Failed: {error}", "red"))


def _leaderboard(comparison: Comparison, console: Terminal) -> Table:
    """Candidates with all metrics; with the primary one alone where they have no room."""
    primary = comparison.primary_metric
    metrics = [name for name in comparison.leaderboard[0].metrics if name != primary]
    table = _metric_table(comparison, [primary, *metrics])
    room = console.options.update(max_width=10_000)  # else it is measured as if it were cut off
    if not metrics or console.measure(table, options=room).maximum <= console.width:
        return table
    table = _metric_table(comparison, [primary])
    table.caption = f"and {len(metrics)} more metrics: `genaiops report {comparison.use_case}`"
    table.caption_justify = "left"
    return table


def _metric_table(comparison: Comparison, metrics: Sequence[str]) -> Table:
    reports = comparison.leaderboard
    title = f"{comparison.use_case}: {reports[0].rows if reports else 0} held-out rows"
    if reports and reports[0].rows_in_whole not in (None, reports[0].rows):
        title += f" (a sample of {reports[0].rows_in_whole}, for the budget)"
    if any(report.emulated for report in reports):
        title += ", emulated models"
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    for heading in ("Candidate", "Model"):
        table.add_column(heading, no_wrap=True)
    for heading in (*metrics, "Cost $"):
        table.add_column(heading.replace("_", " "), justify="right", no_wrap=True)
    for report in reports:
        table.add_row(
            report.candidate,
            (report.model_version or report.model).removesuffix("-emulated"),
            *(
                _metric(report.metrics.get(metric), interval=metric == comparison.primary_metric)
                for metric in metrics
            ),
            "-" if report.cost_usd is None else f"{report.cost_usd:.4f}",
        )
    return table


def _metric(metric: MetricSummary | None, *, interval: bool) -> str:
    if metric is None or metric.mean is None:
        return "-"
    if not interval or metric.low is None or metric.high is None:
        return f"{metric.mean:.3f}"
    return f"{metric.mean:.3f} ({metric.low:.2f} to {metric.high:.2f})"


def _verdict(decision: Decision) -> RenderableType:
    marks = {
        "PROMOTE": styled("pass", "green"),
        "REJECT": styled("fail", "red"),
        "INSUFFICIENT": styled("?", "yellow"),
        "WAIVED": styled("waived", "yellow"),
    }
    lines = [
        joined(marks[rule.outcome], f"  {rule.rule}: {rule.reason}")
        for rule in decision.verdict.rules
    ]
    outcome = decision.verdict.outcome
    return panel(Group(*lines), f"Gate: {outcome} {decision.challenger}", _VERDICT_STYLES[outcome])


def progress_table(
    steps: Mapping[str, StepProgress], step_assets: Mapping[str, str], checks: set[str]
) -> Table:
    """Every asset with its status and seconds; checks only where they failed."""
    marks = {
        "waiting": styled("...", "dim"),
        "running": styled("run", "cyan"),
        "done": styled("ok", "green"),
        "failed": styled("fail", "red"),
        "skipped": styled("skip", "yellow"),
    }
    table = Table.grid(padding=(0, 2))
    for key, step in steps.items():
        if key in checks and step.status != "failed":
            continue
        seconds = f"{step.seconds:.1f} s" if step.started else ""
        note = step.note if step.status == "running" else ""
        table.add_row(marks[step.status], step_assets.get(key, key), seconds, note)
    return table
