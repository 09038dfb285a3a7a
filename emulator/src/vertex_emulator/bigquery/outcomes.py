"""What a job did: the rows it gave and what it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vertex_emulator.bigquery.types import Field


@dataclass(frozen=True)
class ResultRows:
    """The rows that a query gave.

    Attributes:
        relation: DuckDB relation that holds them.
        fields: Their columns.
        count: How many there are.
    """

    relation: str
    fields: tuple[Field, ...]
    count: int


@dataclass
class Outcome:
    """What one statement, or one job, did.

    Attributes:
        statistics: What `statistics.query`, `.load` or `.extract` of the job says.
        rows: The rows of a query; None for other statements.
        total_bytes: Logical bytes that were read.
        destination: REST reference of the table that was written.
        script: Whether it was a script of several statements.
    """

    statistics: dict[str, Any] = field(default_factory=dict)
    rows: ResultRows | None = None
    total_bytes: int = 0
    destination: dict[str, Any] | None = None
    script: bool = False
