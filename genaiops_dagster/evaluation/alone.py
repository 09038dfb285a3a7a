"""One evaluation at a time: of several runs that want the same, one pays and the others wait."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from genaiops_dagster.records.claims import Claim
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.layout import Layout

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

CLAIM_SECONDS = 30.0
"""How long a claim stands that nobody renews."""

LONGEST_WAIT_SECONDS = 6 * 3600.0
_LOOK_SECONDS = 1.0
_LOG_SECONDS = 60.0


class StillEvaluatedError(RuntimeError):
    """Another run is still at it after the longest wait."""


@contextmanager
def alone(
    store: ObjectStore, use_case: str, subject: str, clock: Clock, log: logging.Logger
) -> Iterator[None]:
    """Wait until nobody else evaluates the subject, and keep others from it until the block ends.

    What is in the block finds what the one before has paid for, so that it is paid once.

    Args:
        store: Bucket of the claim.
        use_case: Name of the use case.
        subject: What is evaluated, such as the digest of a model's configuration.
        clock: Tells how long others have held the claim.
        log: Receives that, and why, this run waits.

    Raises:
        StillEvaluatedError: the wait took longer than `LONGEST_WAIT_SECONDS`.
    """
    name = Layout(use_case).evaluation_claim(subject)
    claim = Claim(store, name, CLAIM_SECONDS, clock)
    started, logged_at = clock.elapsed(), -_LOG_SECONDS
    while not claim.take():
        now = clock.elapsed()
        if now - started >= LONGEST_WAIT_SECONDS:
            raise StillEvaluatedError(
                f"{use_case}: another run has been evaluating the same for "
                f"{LONGEST_WAIT_SECONDS / 3600:g} hours, and goes on ({store.uri(name)}). Nothing "
                "was paid here; materialize again when it has ended."
            )
        if now - logged_at >= _LOG_SECONDS:
            log.info("Another run evaluates the same; waiting for what it pays (%s)", name)
            logged_at = now
        clock.sleep(_LOOK_SECONDS)
    with claim.renewed(log):
        yield
