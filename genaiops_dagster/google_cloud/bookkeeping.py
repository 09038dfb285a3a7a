"""Copies in BigQuery of what is in Cloud Storage: a step does not fail for lack of one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_LOG = logging.getLogger(__name__)


@contextmanager
def bookkeeping(what: str, remedy: str) -> Iterator[None]:
    """Log a failure of the block as a warning, and go on.

    Only for what a later run writes again: a failure then costs a delay, and failing the step would
    cost what it has paid.

    Args:
        what: What is late, as the subject of a sentence, such as `The copy of the decision log`.
        remedy: When it is written again, or what to do; one sentence.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, the work is done and paid for
        _LOG.warning("%s is late: %s: %s. %s", what, type(error).__name__, error, remedy)
