"""`genaiops rollback`: a former champion serves again."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.terminal import Terminal, joined, styled
from genaiops_dagster.cli.working import working_on

if TYPE_CHECKING:
    from genaiops_dagster.records.promotion import Champion


def rollback(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")],
    reason: Annotated[
        str, typer.Option(prompt="Why", help="Why; kept in the decision log, asked for if missing.")
    ],
    by: Annotated[str, typer.Option(default_factory=getpass.getuser, help="Who rolls back.")],
    to: Annotated[
        int | None, typer.Option(help="Number of the champion; default the one before.")
    ] = None,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Bring a former champion back, after it was asked whether it still answers.

    What was rolled back from is not promoted again unless it is rolled back to. While a candidate
    is being rolled out, and without --to, its rollout is ended instead.
    """
    from genaiops_dagster.cli.account import account
    from genaiops_dagster.promotion.assets import open_champion
    from genaiops_dagster.promotion.champion import ChampionError
    from genaiops_dagster.promotion.rollback import RollbackError
    from genaiops_dagster.promotion.rollback import rollback as roll_back
    from genaiops_dagster.promotion.smoke_test import SmokeTestError, smoke_test
    from genaiops_dagster.promotion.tables import publish_log
    from genaiops_dagster.records.chain import BrokenLogError

    refusals = (RollbackError, ChampionError, BrokenLogError, SmokeTestError)
    with working_on(use_case, folder, refusals=refusals) as here:
        books = open_champion(here)

        def ask(champion: Champion) -> object:
            return smoke_test(here.models, here.use_case.serving.samples, here.clock, champion)

        who = account(here.models.settings)
        champion = roll_back(books, ask, by=by, reason=reason, to=to, account=who)
        publish_log(here.warehouse, books.log)
        try:  # once more, as what answers production now
            ask(champion)
        except SmokeTestError as error:
            fail(f"rolled back, but {error}")
    done, now = (
        (f"Champion {champion.restores} serves again", f" as champion {champion.number}")
        if champion.restores
        else ("The rollout was ended", f"; champion {champion.number} answers everybody")
    )
    Terminal().print(joined(styled(done, "green"), f"{now}: {champion.model}"))
