"""The `serving` section of a use case file: what the champion is asked after its promotion."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from genaiops_dagster.section import Section


class Serving(Section):
    """What the champion is asked after a promotion."""

    samples: list[dict[str, Any]] = Field(
        default_factory=list, description="Rows of template variables to generate content for."
    )
