"""The outcome of a job: its rows and statistics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vertex_emulator.bigquery.types import Field


@dataclass(frozen=True)
class ResultRows:
    """The rows of a query.

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
    """The outcome of one statement or one job.

    Attributes:
        statistics: The job's `statistics.query`, `.load` or `.extract`.
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
