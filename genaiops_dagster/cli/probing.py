"""How a probe is shown while it runs, as a table, and as a file."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.box import SIMPLE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from genaiops_dagster.cli.options import fail
from genaiops_dagster.cli.terminal import Terminal, joined, styled
from genaiops_dagster.cli.umask import files_of_the_user
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.use_case import load_use_cases

if TYPE_CHECKING:
    from genaiops_dagster.probe.assumption import Assumption, Result
    from genaiops_dagster.probe.bench import Bench

_STYLES = {"holds": "green", "differs": "red", "not tried": "yellow"}
_LONGEST = 120
"""Characters of what was seen in the table; what differs is shown in full below it."""


def probe(settings: GoogleCloudSettings, spend_usd: float | None, json_file: Path | None) -> None:
    """Check all assumptions about Google, and show what was seen.

    Args:
        settings: Project, bucket, dataset and locations.
        spend_usd: What jobs may cost; none are created if None.
        json_file: Where the results are written, without names of the project.

    Raises:
        typer.Exit: with 1 if something differs, with 2 if the jobs cost more than allowed.
    """
    from genaiops_dagster.probe.bench import Bench
    from genaiops_dagster.probe.run import ASSUMPTIONS, report, run_probe

    console = Terminal()
    with Bench(settings, load_use_cases(), SYSTEM_CLOCK, spend_usd) as bench:
        if spend_usd is not None:
            _require_allowed(bench, spend_usd)
        with _progress(bench, len(ASSUMPTIONS)) as shown:
            results = list(run_probe(bench, ASSUMPTIONS, shown))
    _show(results, bench, console)
    if json_file is not None:
        content = report(
            results,
            settings,
            day=bench.clock.today().isoformat(),
            release=importlib.metadata.version("genaiops-dagster"),
            emulated=bench.models.emulated,
            spent_usd=bench.spent_usd,
        )
        with files_of_the_user():
            json_file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if any(result.outcome == "differs" for result in results):
        raise typer.Exit(1)


def _require_allowed(bench: Bench, spend_usd: float) -> None:
    from genaiops_dagster.probe.outcome import NotTriedError
    from genaiops_dagster.probe.run import jobs_usd

    try:
        usd = jobs_usd(bench)
    except NotTriedError as error:
        fail(f"--spend: what the jobs cost is not known: {error}", code=2)
    if usd > spend_usd:
        fail(f"the jobs cost up to ${usd:.4f}, and --spend allows ${spend_usd:.4f}", code=2)


@contextmanager
def _progress(bench: Bench, total: int) -> Iterator[Step]:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Terminal(stderr=True), transient=True) as bars:
        step = Step(bars, total)
        bench.tell = step.tell
        yield step


class Step:
    """The bar of the checks, which says what is checked.

    Args:
        bars: Where it is shown.
        total: How many checks there are.
    """

    def __init__(self, bars: Progress, total: int) -> None:
        self._bars = bars
        self._task = bars.add_task("", total=total)
        self._begun = 0

    def __call__(self, assumption: Assumption) -> None:
        """Say that the next check begins."""
        self._bars.update(self._task, completed=self._begun, description=assumption.id)
        self._begun += 1

    def tell(self, text: str) -> None:
        """Say how far a job is."""
        self._bars.update(self._task, description=text)


def _show(results: list[Result], bench: Bench, console: Terminal) -> None:
    table = Table(title="What is assumed of Google", title_justify="left", box=SIMPLE)
    table.add_column("", no_wrap=True)
    table.add_column("Assumption", overflow="fold", max_width=30)
    table.add_column("Seen", overflow="fold")
    for result in results:
        short = result.seen if len(result.seen) <= _LONGEST else f"{result.seen[:_LONGEST]}..."
        mark = styled(result.outcome, _STYLES[result.outcome])
        table.add_row(mark, result.assumption.id, short)
    console.print(table)
    for result in results:
        if result.outcome == "differs":
            about = result.assumption
            console.print(joined(styled("differs ", "red"), styled(about.id, "bold")))
            console.print(f"  assumed  {about.assumed}")
            console.print(f"  seen     {result.seen}")
            console.print(f"  breaks   {about.breaks}")
            console.print(f"  source   {about.source}", soft_wrap=True)
    counts = [
        f"{sum(result.outcome == outcome for result in results)} {word}"
        for outcome, word in (("holds", "hold"), ("differs", "differ"), ("not tried", "not tried"))
    ]
    emulated = "; emulated, nothing was charged" if bench.models.emulated else ""
    console.print(
        f"{', '.join(counts)}. It cost about ${bench.spent_usd:.4f} at Google's prices{emulated}."
    )
    for what in bench.left:
        console.print(styled(f"Not deleted, delete it yourself: {what}", "yellow"))
