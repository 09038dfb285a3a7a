"""`genaiops report`: one self-contained HTML page of a use case's comparison."""

from __future__ import annotations

import contextlib
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.terminal import Terminal, styled
from genaiops_dagster.cli.umask import files_of_the_user
from genaiops_dagster.cli.working import working_on

if TYPE_CHECKING:
    from genaiops_dagster.orchestration.workspace import Workspace
    from genaiops_dagster.promotion.page import PageContent


def report(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")] = "python_modules",
    output: Annotated[
        Path | None, typer.Option(help="File to write; default <use case>.html in the folder.")
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser.")
    ] = True,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Write the newest comparison, verdict, cost and worst rows as one page, and open it."""
    from genaiops_dagster.promotion.champion import ChampionError
    from genaiops_dagster.promotion.page import report_page

    with working_on(use_case, folder, refusals=(ChampionError,)) as here:
        content = _content(here)
    if content is None:
        fail(f"{use_case} was not compared yet; `genaiops run {use_case}` does that")
    page = (output or folder / f"{use_case}.html").resolve()
    with files_of_the_user() if output else contextlib.nullcontext():
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(report_page(content), encoding="utf-8")
    Terminal().print(styled("Report", "green"), f"is in {page}")
    if open_page:
        with files_of_the_user():
            webbrowser.open(page.as_uri())


def _content(here: Workspace) -> PageContent | None:
    """The content of the page, from the bucket and the tables; None before the first comparison."""
    from genaiops_dagster.comparison.trend import read_trend
    from genaiops_dagster.evaluation.report import read_rows
    from genaiops_dagster.promotion.champion import read_champion
    from genaiops_dagster.promotion.page import PageContent
    from genaiops_dagster.records.comparison import Comparison
    from genaiops_dagster.records.promotion import Decision
    from genaiops_dagster.records.record import find_record

    use_case, store = here.use_case, here.store
    comparison = find_record(store, Comparison, use_case.name, "model_comparison")
    if comparison is None:
        return None
    decision = find_record(store, Decision, use_case.name, "promotion_decision")
    return PageContent(
        use_case=use_case,
        comparison=comparison,
        rows={r.candidate: read_rows(store, r) for r in comparison.leaderboard},
        decision=decision if decision and decision.comparison_id == comparison.id else None,
        champion=read_champion(store, use_case.name),
        trend=read_trend(here.warehouse, use_case.name, comparison.primary_metric),
    )
