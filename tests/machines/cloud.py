"""Small counterparts of Google's services, reached through the project's own seam.

Each call goes through the simulation, which decides when it happens and whether its answer comes.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
from google.api_core.exceptions import Conflict, NotFound
from google.genai import errors, types

from genaiops_dagster.budget.ledger import Ledger
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.use_case.budget import Budget
from tests.machines.memory_bucket import MemoryBucket
from tests.machines.simulation import START, Simulation

PARENT = "projects/p/locations/l"
TOKENS = 1_000_000


class MemoryBigQuery:
    """Counterpart of `google.cloud.bigquery.Client`: load jobs by id, and the merges of rows.

    A load job is created once; creating it again is refused, because it exists. A statement is one
    of `Warehouse.merge`, which the client itself sends only once for each job. What is not there is
    not found: a dataset by a load job or a new table, a table by a statement.
    """

    project = "p"

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.datasets: set[str] = set()
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.jobs: dict[str, SimpleNamespace] = {}

    def create_dataset(self, name: str, exists_ok: bool) -> None:
        self.simulation.call(f"create {name}", lambda: self.datasets.add(name))

    def create_table(self, table: Any, exists_ok: bool = False) -> Any:
        def create() -> Any:
            self._require_dataset(str(table.reference))
            self.tables.setdefault(str(table.reference), [])
            return table

        return self.simulation.call(f"create {table.reference}", create)

    def get_table(self, table: str) -> SimpleNamespace:
        def find() -> SimpleNamespace:
            self._require_table(table)
            return SimpleNamespace(reference=table)

        return self.simulation.call(f"get {table}", find)

    def _require_dataset(self, table: str) -> None:
        dataset = table.split(".")[1]
        if dataset not in self.datasets:
            raise NotFound(f"Not found: Dataset {self.project}:{dataset}")

    def _require_table(self, table: str) -> None:
        if table not in self.tables:
            raise NotFound(f"Not found: Table {table}")

    def delete_table(self, table: str, not_found_ok: bool) -> None:
        self.simulation.call(f"delete {table}", lambda: self.tables.pop(table, None))

    def load_table_from_json(
        self, rows: list[dict[str, Any]], table: str, job_config: Any, job_id: str
    ) -> SimpleNamespace:
        def load() -> SimpleNamespace:
            if job_id in self.jobs:
                raise Conflict(f"Already Exists: Job {job_id}")
            self._require_dataset(table)
            self.tables.setdefault(table, []).extend(rows)
            self.jobs[job_id] = SimpleNamespace(result=lambda: None)
            return self.jobs[job_id]

        return self.simulation.call(f"load {table}", load)

    def get_job(self, job_id: str) -> SimpleNamespace:
        return self.simulation.call(f"get {job_id}", lambda: self.jobs[job_id])

    def query(self, sql: str, job_config: Any) -> SimpleNamespace:
        merged = re.search(r"MERGE `(.+?)` AS target USING `(.+?)` AS staged ON (.+)", sql)
        assert merged, sql
        target, staged, condition = merged.groups()
        keys = re.findall(r"target\.(\w+) = staged\.\1", condition)

        def merge() -> SimpleNamespace:
            self._require_table(target)
            kept = {tuple(row[key] for key in keys): row for row in self.tables[target]}
            kept |= {tuple(row[key] for key in keys): row for row in self.tables[staged]}
            self.tables[target] = list(kept.values())
            return SimpleNamespace(result=lambda: None)

        return self.simulation.call(f"merge {target}", merge)

    def rows(self, table: str) -> list[dict[str, Any]]:
        return self.tables.get(f"{self.project}.d.{table}", [])


@dataclass
class MemoryTuning:
    """Tuning jobs: each one that was created is paid for, unless it is cancelled in time."""

    simulation: Simulation
    seconds: float = 120.0
    jobs: dict[str, types.TuningJob] = field(default_factory=dict)

    def tune(
        self, *, base_model: str, training_dataset: Any, config: types.CreateTuningJobConfig
    ) -> types.TuningJob:
        assert isinstance(training_dataset, types.TuningDataset), "of a dict the SDK drops fields"
        began, longest = self.simulation.seconds, (config.http_options.timeout or 0) / 1000

        def create() -> types.TuningJob:
            if self.simulation.seconds - began > longest:
                raise httpx.ReadTimeout("the client gave up before")
            name = f"{PARENT}/tuningJobs/{len(self.jobs) + 1}"
            self.jobs[name] = types.TuningJob(
                name=name,
                labels=config.labels,
                state=types.JobState.JOB_STATE_RUNNING,
                create_time=self._now(),
                base_model=base_model,
                supervised_tuning_spec=types.SupervisedTuningSpec(
                    hyper_parameters=types.SupervisedHyperParameters(epoch_count=config.epoch_count)
                ),
            )
            return self.jobs[name]

        return self._call("create a tuning job", create, repeatable=False)

    def list(self, *, config: types.ListTuningJobsConfigOrDict) -> Iterable[types.TuningJob]:
        assert not types.ListTuningJobsConfig.model_validate(config).filter, (
            "its grammar is unknown"
        )
        return self._call(
            "list tuning jobs", lambda: [self._seen(job) for job in self.jobs.values()]
        )

    def get(self, *, name: str) -> types.TuningJob:
        return self._call(f"get {name}", lambda: self._seen(self.jobs[name]))

    def cancel(self, *, name: str) -> None:
        def stop() -> None:
            running, paused = types.JobState.JOB_STATE_RUNNING, types.JobState.JOB_STATE_PAUSED
            if self._seen(self.jobs[name]).state in (running, paused):
                changed = {"state": types.JobState.JOB_STATE_CANCELLED}
                self.jobs[name] = self.jobs[name].model_copy(update=changed)

        self._call(f"cancel {name}", stop)

    def paid(self) -> Sequence[types.TuningJob]:
        """Jobs that were not cancelled."""
        cancelled = types.JobState.JOB_STATE_CANCELLED
        return [job for job in self.jobs.values() if job.state != cancelled]

    def _seen(self, job: types.TuningJob) -> types.TuningJob:
        """The job as it is now: it ends after a while, with its model."""
        age = (self._now() - job.create_time).total_seconds()
        if job.state != types.JobState.JOB_STATE_RUNNING or age < self.seconds:
            return job
        number = job.name.rsplit("/", 1)[-1]
        stats = types.SupervisedTuningDataStats(total_billable_token_count=TOKENS)
        return job.model_copy(
            update={
                "state": types.JobState.JOB_STATE_SUCCEEDED,
                "end_time": self._now(),
                "tuned_model": types.TunedModel(
                    model=f"{PARENT}/models/{number}@1", endpoint=f"{PARENT}/endpoints/{number}"
                ),
                "tuning_data_stats": types.TuningDataStats(supervised_tuning_data_stats=stats),
            }
        )

    def _now(self) -> dt.datetime:
        return START + dt.timedelta(seconds=self.simulation.seconds)

    def _call(self, name: str, action: Any, *, repeatable: bool = True) -> Any:
        """A call, whose failures are those of the Gen AI SDK."""
        from google.api_core.exceptions import ServiceUnavailable, TooManyRequests

        try:
            return self.simulation.call(name, action, repeatable=repeatable)
        except ServiceUnavailable as error:
            raise errors.ServerError(503, {"error": {"message": str(error)}}) from error
        except TooManyRequests as error:
            raise errors.ClientError(429, {"error": {"message": str(error)}}) from error


class MemoryModels:
    """The registry: model versions and their aliases; merging an alias again changes nothing."""

    def __init__(self, simulation: Simulation, models: Iterable[str]) -> None:
        self.simulation = simulation
        self.aliases: dict[str, set[str]] = {model: set() for model in models}

    def list_models(self, *, request: Any) -> list[Any]:
        return self.simulation.call("list models", lambda: [self._seen(m) for m in self.aliases])

    def get_model(self, *, name: str) -> Any:
        def find() -> Any:
            if name not in self.aliases:
                raise NotFound(name)
            return self._seen(name)

        return self.simulation.call(f"get {name}", find)

    def merge_version_aliases(self, *, name: str, version_aliases: list[str]) -> None:
        def merge() -> None:
            for alias in version_aliases:
                if alias.startswith("-"):
                    self.aliases[name].discard(alias[1:])
                else:
                    self.aliases[name].add(alias)

        self.simulation.call(f"merge {version_aliases} of {name}", merge)

    def _seen(self, name: str) -> Any:
        model, _, version = name.partition("@")
        return SimpleNamespace(
            name=model,
            version_id=version,
            version_aliases=sorted(self.aliases[name]),
            labels={},
        )


class Cloud:
    """All of them together, over one simulation."""

    def __init__(self, models: Iterable[str] = ()) -> None:
        self.simulation = Simulation()
        self.bucket = MemoryBucket(self.simulation)
        self.store = ObjectStore(self.bucket, "bucket")
        self.bigquery: Any = MemoryBigQuery(self.simulation)
        self.warehouse = Warehouse(lambda: self.bigquery, "d", self.simulation.clock)
        self.tuning = MemoryTuning(self.simulation)
        self.registry = MemoryModels(self.simulation, models)
        self.models: Any = SimpleNamespace(
            genai=SimpleNamespace(tunings=self.tuning),
            models=self.registry,
            parent=PARENT,
            emulated=False,
            settings=SimpleNamespace(bucket="bucket"),
        )

    def ledger(self, use_case: str, budget: Budget) -> Ledger:
        """The ledger, read without faults and without giving anybody a turn."""
        return Ledger(self.store, use_case, budget, self.simulation.clock_of())
