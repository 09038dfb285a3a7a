"""`genaiops approve`: a person says yes to a decision to promote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genaiops_dagster.cli.options import FOLDER
from genaiops_dagster.cli.terminal import Terminal, styled
from genaiops_dagster.cli.working import working_on


def approve(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")],
    by: Annotated[str, typer.Option(help="Who approves.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the decision log.")],
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Approve the newest decision to promote; `champion` may then be materialized.

    The name is what you say. The account that you are logged in with is recorded next to it.
    """
    from genaiops_dagster.cli.account import account
    from genaiops_dagster.promotion.approve import ApprovalError
    from genaiops_dagster.promotion.approve import approve as approve_decision
    from genaiops_dagster.promotion.log import DecisionLog
    from genaiops_dagster.promotion.tables import publish_log
    from genaiops_dagster.records.chain import BrokenLogError

    with working_on(use_case, folder, refusals=(ApprovalError, BrokenLogError)) as here:
        log = DecisionLog(here.store, here.use_case.name, here.clock)
        who = account(here.models.settings)
        entry = approve_decision(here.use_case, log, by=by, reason=reason, account=who)
        publish_log(here.warehouse, log)
    Terminal().print(
        styled("Approved", "green"),
        f"by {entry.by} as entry {entry.number} of the decision log; "
        f"`genaiops run {use_case}` promotes it now.",
    )
