"""Fields of what is stored as a record, and its version: who changes them raises it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from genaiops_dagster.budget.ledger import Month
from genaiops_dagster.data.profile import Profile
from genaiops_dagster.records.promotion import LogEntry
from genaiops_dagster.records.record import Record
from genaiops_dagster.serving.daily.context_cache import Entry
from genaiops_dagster.tuning.cancellation import Cancellation
from genaiops_dagster.tuning.jobs import JobRecord
from genaiops_dagster.tuning.pending import PendingJob
from tests.surface.conftest import Compare
from tests.surface.test_frozen import RECORDS

STORED: set[type[Record]] = {
    *RECORDS.values(),
    *(Cancellation, Entry, JobRecord, LogEntry, Month, PendingJob, Profile),
}


def test_records(compare: Compare) -> None:
    compare("records", {f"{one.__name__} {one.schema_version}": fields(one) for one in STORED})


def fields(record: type[Record]) -> list[str]:
    schema = record.model_json_schema()
    return sorted(set(paths(schema, "", schema.get("$defs", {}), ())))


def paths(part: Any, prefix: str, parts: Any, inside: tuple[str, ...]) -> Iterator[str]:
    """Names of fields with dots; a record within itself ends there."""
    if isinstance(part, list):
        for one in part:
            yield from paths(one, prefix, parts, inside)
    elif isinstance(part, dict):
        name = part.get("$ref", "").rpartition("/")[2]
        if name and name not in inside:
            yield from paths(parts[name], prefix, parts, (*inside, name))
        for field, one in part.get("properties", {}).items():
            path = f"{prefix}.{field}" if prefix else field
            yield path
            yield from paths(one, path, parts, inside)
        for key in ("anyOf", "allOf", "items", "prefixItems", "additionalProperties"):
            yield from paths(part.get(key), prefix, parts, inside)
