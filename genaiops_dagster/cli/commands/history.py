"""`genaiops history`: the decision log of a use case, verified."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.table import Table

from genaiops_dagster.cli.options import FOLDER
from genaiops_dagster.cli.terminal import Terminal, joined, styled, write
from genaiops_dagster.cli.working import working_on

if TYPE_CHECKING:
    from genaiops_dagster.records.promotion import LogEntry

_STYLES = {"PROMOTE": "green", "REJECT": "red", "INSUFFICIENT": "yellow"}


def history(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")] = "python_modules",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the entries as JSON lines.")
    ] = False,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Verify and print every decision, approval, promotion and rollback of a use case.

    Exits with 1 when an entry was changed or removed, or when the champion is not the one that the
    log says.
    """
    from genaiops_dagster.promotion.assets import open_champion
    from genaiops_dagster.promotion.champion import ChampionError, settle
    from genaiops_dagster.promotion.log import require_published
    from genaiops_dagster.records.chain import BrokenLogError

    with working_on(use_case, folder, refusals=(BrokenLogError, ChampionError)) as here:
        books = open_champion(here)
        entries = books.log.read()
        require_published(here.warehouse, use_case, entries)
        _print(entries, as_json=as_json)
        _, champion = settle(books)
    if not as_json:
        serves = (
            f"champion {champion.number} serves: {champion.model}"
            if champion
            else "there is no champion yet"
        )
        Terminal().print(joined(styled("The log is whole", "green"), f"; {serves}"))


def _print(entries: Sequence[LogEntry], *, as_json: bool) -> None:
    if as_json:
        for entry in entries:
            write(json.dumps(entry.model_dump(mode="json")) + "\n")
        return
    table = Table("#", "when", "what", "who", "why", "digest", box=None, pad_edge=False)
    for entry in entries:
        table.add_row(
            str(entry.number),
            entry.at[:19].replace("T", " "),
            _what(entry),
            _who(entry),
            "\n".join(_why(entry)),
            entry.digest[:8],
        )
    Terminal().print(table)


def _what(entry: LogEntry) -> RenderableType:
    if entry.decision:
        outcome = entry.decision.verdict.outcome
        decided = f"decision on {entry.decision.challenger}: "
        return joined(decided, styled(outcome, _STYLES[outcome]))
    if entry.champion:
        return f"{entry.kind}: champion {entry.champion.number} is {entry.champion.candidate}"
    if entry.rollout:
        return f"{entry.kind}: {entry.rollout.candidate.candidate} at {entry.rollout.stage}"
    if entry.completes_entry:
        return f"entry {entry.completes_entry} in place"
    if entry.completes:
        return f"champion {entry.completes} in place"
    return entry.kind


def _who(entry: LogEntry) -> str:
    """The name that was given, with the account that it was given from."""
    account = f" ({entry.account})" if entry.account else ""
    return f"{entry.by}{account}" or "-"


def _why(entry: LogEntry) -> Iterator[str]:
    """Why the entry was written; of a decision the rules that did not simply hold."""
    if entry.decision is None:
        yield entry.reason
        return
    rules = entry.decision.verdict.rules
    held = [rule for rule in rules if rule.outcome == "PROMOTE"]
    yield f"{len(held)} of {len(rules)} rules hold"
    yield from (f"{rule.rule}: {rule.reason}" for rule in rules if rule not in held)
