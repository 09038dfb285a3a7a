"""The code location: what Dagster loads."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from genaiops_dagster.orchestration.assembly import build_definitions
from genaiops_dagster.use_case import load_use_cases


@dg.definitions
def defs() -> dg.Definitions:
    """All use cases that ship with the package or stand in the user's folder."""
    with _without_garbage_collection():
        return build_definitions(load_use_cases().values())


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Build many objects, none of them garbage, without looking through all that is imported.

    The collections took a tenth of the time that the code location takes to load.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
