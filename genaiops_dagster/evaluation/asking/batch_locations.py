"""Where a batch job finds its requests and leaves its answers: Cloud Storage, or BigQuery.

Sources:
    https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-from-cloud-storage
    https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-from-bigquery
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.warehouse import Warehouse

if TYPE_CHECKING:
    from google.genai import types


class NoAnswersError(RuntimeError):
    """A job does not say where its answers are."""


class BatchLocation(Protocol):
    """Where requests and answers of batch jobs are."""

    @property
    def address(self) -> str:
        """Names the location, so that only a job with its answers there is found again."""

    def put(self, name: str, requests: bytes) -> tuple[str, str]:
        """Write the requests of a job, JSON lines; where they are, and where answers are to go."""

    def rows(self, job: types.BatchJob) -> Iterator[Mapping[str, Any]]:
        """The output of a finished job: `request`, `response` and `status` of each line.

        Raises:
            NoAnswersError: the job does not say where that is.
        """


class CloudStorage:
    """Files under a prefix of the bucket.

    Args:
        store: The bucket.
        folder: Object prefix, with its trailing slash.
    """

    def __init__(self, store: ObjectStore, folder: str) -> None:
        self._store = store
        self.address = folder

    def put(self, name: str, requests: bytes) -> tuple[str, str]:
        """Write them once; answers go below the same name."""
        source = f"{self.address}{name}/requests.jsonl"
        self._store.write_once(source, requests, "application/jsonl")
        return self._store.uri(source), self._store.uri(f"{self.address}{name}")

    def rows(self, job: types.BatchJob) -> Iterator[Mapping[str, Any]]:
        """Lines of all objects in the job's folder."""
        folder = job.output_info and job.output_info.gcs_output_directory
        if not folder:
            raise NoAnswersError(f"batch job {job.name} does not say where its answers are")
        for stored in self._store.list(f"{self._store.name_of(folder).rstrip('/')}/"):
            with io.TextIOWrapper(self._store.open(stored.name), encoding="utf-8") as lines:
                yield from map(json.loads, lines)


class BigQuery:
    """Tables of a dataset, one for the requests and one for the answers of each job.

    Args:
        warehouse: The dataset.
        prefix: With which the tables' names begin, so that use cases do not meet.
    """

    def __init__(self, warehouse: Warehouse, prefix: str) -> None:
        self._warehouse = warehouse
        self._prefix = prefix
        self.address = f"bq://{warehouse.table_id(prefix)}"

    def put(self, name: str, requests: bytes) -> tuple[str, str]:
        """Load them; answers go to a table that no other job has, since jobs add to theirs."""
        name = f"{self._prefix}{name}".replace("-", "_")
        source = self._warehouse.load_json_lines(f"{name}_requests", requests, {"request": "JSON"})
        target = self._warehouse.table_id(f"{name}_{uuid.uuid4().hex[:8]}")
        return f"bq://{source}", f"bq://{target}"

    def rows(self, job: types.BatchJob) -> Iterator[Mapping[str, Any]]:
        """Rows of the table that the job was given."""
        table = job.dest and job.dest.bigquery_uri
        if not table:
            raise NoAnswersError(f"batch job {job.name} does not say where its answers are")
        for row in self._warehouse.scan(table.removeprefix("bq://")):
            yield {name: _parsed(row.get(name)) for name in ("request", "response")} | {
                "status": row.get("status")
            }


def _parsed(value: Any) -> Any:
    """The value of a JSON column; one that is a STRING holds JSON as text."""
    return json.loads(value) if isinstance(value, str) else value
