"""`genaiops feedback`: what somebody says about an answer that the router gave."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Annotated

import typer

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.terminal import Terminal, styled
from genaiops_dagster.cli.working import working_on


def feedback(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")],
    request_id: Annotated[str, typer.Argument(help="Id that came with the answer.")],
    by: Annotated[str, typer.Option(default_factory=getpass.getuser, help="Who says so.")],
    rating: Annotated[
        float | None, typer.Option(min=0, max=1, help="From 0, useless, to 1, right.")
    ] = None,
    correct: Annotated[str | None, typer.Option(help="What would have been right.")] = None,
    variables: Annotated[
        str | None, typer.Option(help="What was asked, in JSON; default as the request log has it.")
    ] = None,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Rate an answer, or correct it: a corrected answer becomes a row of the inbox."""
    from genaiops_dagster.serving.watching.feedback import Feedback, FeedbackError, give_feedback

    try:
        values = None if variables is None else json.loads(variables)
    except ValueError as error:
        fail(f"--variables is not JSON: {error}", code=2)
    given = Feedback(request_id, rating, correct, values, by or None)
    with working_on(use_case, folder, refusals=(FeedbackError,)) as here:
        uri = give_feedback(here.use_case, here.store, here.warehouse, given, here.clock)
    row = f"; the corrected answer is {uri}" if uri else ""
    Terminal().print(styled("Recorded", "green"), f"for {request_id}{row}", soft_wrap=True)
