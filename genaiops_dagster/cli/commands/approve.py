"""`genaiops approve`: a person says yes to a decision to promote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.session import SessionError, open_session
from genaiops_dagster.cli.terminal import Terminal, styled
from genaiops_dagster.use_case import UseCaseError, known_use_case


def approve(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")],
    by: Annotated[str, typer.Option(help="Who approves.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the decision log.")],
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Approve the newest decision to promote; `champion` may then be materialized.

    The name is what you say. The account that you are logged in with is recorded beside it.
    """
    from genaiops_dagster.cli.account import account
    from genaiops_dagster.cli.clients import places, warehouse
    from genaiops_dagster.promotion.approve import ApprovalError
    from genaiops_dagster.promotion.approve import approve as approve_decision
    from genaiops_dagster.promotion.log import BrokenLogError
    from genaiops_dagster.promotion.tables import publish_log

    try:
        chosen = known_use_case(use_case)
        with open_session(folder) as session:
            log = places(session, chosen.name).log
            try:
                entry = approve_decision(
                    chosen, log, by=by, reason=reason, account=account(session)
                )
            except (ApprovalError, BrokenLogError) as error:
                fail(str(error))
            publish_log(warehouse(session), log)
    except (UseCaseError, SessionError) as error:
        fail(str(error), code=2)
    Terminal().print(
        styled("Approved", "green"),
        f"by {entry.by} as entry {entry.number} of the decision log; "
        f"`genaiops run {chosen.name}` promotes it now.",
    )
