"""How a command works on a use case: its workspace, and errors as messages and exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from genaiops_dagster.cli.options import fail
from genaiops_dagster.cli.session import SessionError, open_session
from genaiops_dagster.use_case import UseCase, UseCaseError, known_use_case

if TYPE_CHECKING:
    from genaiops_dagster.orchestration.workspace import Workspace

Errors = tuple[type[Exception], ...]


@contextmanager
def reporting(*, refusals: Errors = (), mistakes: Errors = ()) -> Iterator[None]:
    """End the command with the message of an error that was foreseen.

    Args:
        refusals: Errors that say no, or that something failed; exit code 1.
        mistakes: Errors of what the user gave, besides a wrong use case or a session that does not
            start; exit code 2.
    """
    wrong: Errors = (UseCaseError, SessionError, *mistakes)
    try:
        yield
    except wrong as error:
        fail(str(error), code=2)
    except refusals as error:
        fail(str(error))


@contextmanager
def workspace(use_case: UseCase, folder: Path) -> Iterator[Workspace]:
    """The workspace of a command, on Google Cloud or on the emulator of `folder`."""
    with open_session(folder) as session:
        from genaiops_dagster.google_cloud.object_store import ObjectStore
        from genaiops_dagster.google_cloud.vertex_ai import VertexAI
        from genaiops_dagster.google_cloud.warehouse import Warehouse
        from genaiops_dagster.orchestration.workspace import Workspace, models_for
        from genaiops_dagster.records.clock import SYSTEM_CLOCK

        yield Workspace(
            use_case,
            ObjectStore.connect(session.settings),
            Warehouse.connect(session.settings, SYSTEM_CLOCK),
            models_for(use_case, VertexAI(session.settings)),
            SYSTEM_CLOCK,
        )


@contextmanager
def working_on(
    use_case: str, folder: Path, *, refusals: Errors = (), mistakes: Errors = ()
) -> Iterator[Workspace]:
    """The workspace of a command on the use case of this name, with errors as `reporting` does."""
    with (
        reporting(refusals=refusals, mistakes=mistakes),
        workspace(known_use_case(use_case), folder) as here,
    ):
        yield here
