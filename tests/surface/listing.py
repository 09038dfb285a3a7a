"""What a run leaves behind: objects, tables, resources of Vertex AI and Dagster's history.

Names are patterns in which digests, ids and dates are placeholders; of contents the fields are
kept, because they are what other programs and later versions read.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import google.auth
import pyarrow.parquet as pq
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery, storage

from genaiops_dagster.google_cloud.settings import GoogleCloudSettings

_PLACEHOLDERS = {
    "uuid": r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])",
    "sha256": r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])",
    "sha": r"(?<![0-9a-f])(?:[0-9a-f]{40}|[0-9a-f]{24}|[0-9a-f]{16}|[0-9a-f]{12})(?![0-9a-f])",
    "time": r"(?<![0-9a-z])\d{20}(?![0-9a-z])",
    "second": r"(?<![0-9a-z])\d{14}(?![0-9a-z])",
    "day": r"\d{4}-\d\d-\d\d|(?<=/)\d{8}(?=-)",
    "month": r"(?<=/)\d{4}-\d\d(?=\.json)",
    "id": r"(?<![0-9a-z])\d{10,13}(?![0-9a-z])",
    "number": r"(?<=/)\d+(?=\.json|/|$)",
}
_COLLECTIONS = {
    "tuningJobs": ("labels", "tunedModelDisplayName"),
    "models": ("labels", "displayName", "versionAliases"),
    "endpoints": ("labels", "displayName"),
    "pipelineJobs": ("labels", "displayName"),
    "batchPredictionJobs": ("labels", "displayName"),
    "metadataStores/default/contexts": ("labels", "displayName", "schemaTitle"),
}


def pattern(name: str) -> str:
    """A name with what differs between runs replaced."""
    for word, expression in _PLACEHOLDERS.items():
        name = re.sub(expression, f"<{word}>", name)
    return name


def objects(bucket: str) -> dict[str, Any]:
    """Objects of a bucket by pattern of their names."""
    found: dict[str, Any] = {}
    for blob in storage.Client().list_blobs(bucket):
        one = found.setdefault(pattern(blob.name), {"types": set(), "fields": set()})
        one["types"].add(blob.content_type)
        one["fields"].update(_fields(blob.name, blob.download_as_bytes()))
    return {name: {k: sorted(v) for k, v in one.items() if v} for name, one in found.items()}


def tables() -> dict[str, Any]:
    """Tables and views of all datasets of the project, with their columns."""
    client = bigquery.Client()
    found = {}
    for dataset in client.list_datasets():
        for item in client.list_tables(dataset.dataset_id):
            table = client.get_table(item)
            shown = {
                "clustering": table.clustering_fields,
                "columns": [
                    f"{column.name} {column.field_type} {column.mode}" for column in table.schema
                ],
                "labels": table.labels,
                "partition": table.time_partitioning and table.time_partitioning.field,
                "view": " ".join(table.view_query.split()) if table.view_query else None,
            }
            name = f"{dataset.dataset_id}.{table.table_id}"
            found[name] = {key: value for key, value in shown.items() if value}
    return found


def vertex_resources(settings: GoogleCloudSettings) -> dict[str, Any]:
    """Labels and names that resources of Vertex AI were given."""
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    session = AuthorizedSession(credentials)
    parent = f"projects/{settings.project}/locations/{settings.location}"
    found = {}
    for collection, fields in _COLLECTIONS.items():
        response = session.get(f"{settings.vertex_url}/v1beta1/{parent}/{collection}")
        response.raise_for_status()
        [listed] = [v for v in response.json().values() if isinstance(v, list)] or [[]]
        shown = (json.dumps({f: one[f] for f in fields if f in one}) for one in listed)
        found[collection] = [json.loads(one) for one in sorted({pattern(one) for one in shown})]
    return found


def history(instance: dg.DagsterInstance) -> dict[str, Any]:
    """Names of metadata of every asset and check, and of tags of runs."""
    assets: dict[str, set[str]] = {}
    checks: dict[str, set[str]] = {}
    tags: set[str] = set()
    for run in instance.get_runs():
        tags.update(pattern(tag) for tag in run.tags)
        for entry in instance.all_logs(run.run_id):
            event = entry.dagster_event
            if event is None:
                continue
            if event.is_step_materialization:
                made = event.step_materialization_data.materialization
                assets.setdefault(made.asset_key.to_user_string(), set()).update(made.metadata)
            elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                check = event.asset_check_evaluation_data
                name = f"{check.asset_key.to_user_string()}: {check.check_name}"
                checks.setdefault(name, set()).update(check.metadata)
    return {
        "metadata of assets": {name: sorted(keys) for name, keys in assets.items()},
        "metadata of checks": {name: sorted(keys) for name, keys in checks.items() if keys},
        "tags of runs": sorted(tags),
    }


def folder(home: Path) -> list[str]:
    """Files and folders of `.genaiops`, two levels deep."""
    return sorted(path.relative_to(home).as_posix() for path in home.glob("*/*"))


def _fields(name: str, content: bytes) -> Iterable[str]:
    """Names of the fields of a JSON, JSON lines, CSV or Parquet object, with a dot for nesting."""
    if name.endswith(".gz"):
        name, content = name.removesuffix(".gz"), gzip.decompress(content)
    if name.endswith(".json"):
        return _paths(json.loads(content), "")
    if name.endswith(".jsonl"):
        return [path for line in content.splitlines() for path in _paths(json.loads(line), "")]
    if name.endswith(".parquet"):
        schema = pq.read_schema(io.BytesIO(content))
        return [f"{field.name}: {field.type}" for field in schema]
    if name.endswith(".csv"):
        return content.decode().splitlines()[0].split(",")
    return []


def _paths(value: Any, prefix: str) -> Iterator[str]:
    """Paths to everything but objects; where all members are alike, their names are data: `*`."""
    if isinstance(value, list):
        for one in value:
            yield from _paths(one, f"{prefix}[]")
    elif isinstance(value, dict) and value:
        is_data = bool(prefix) and all(isinstance(one, dict) for one in value.values())
        for key, one in value.items():
            name = "*" if is_data else pattern(key)
            yield from _paths(one, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix
