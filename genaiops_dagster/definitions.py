"""The code location: what Dagster loads."""

from __future__ import annotations

import dagster as dg

from genaiops_dagster.orchestration.assembly import build_definitions
from genaiops_dagster.use_case import load_use_cases


@dg.definitions
def defs() -> dg.Definitions:
    """All use cases that ship with the package or are in the user's folder."""
    return build_definitions(load_use_cases().values())
