"""What a use case has left: models, endpoints, caches, jobs that run, tables, rows and objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from genaiops_dagster.google_cloud.base_models import location_in, multi_region
from genaiops_dagster.planning.estimate import models_of
from genaiops_dagster.promotion.log import moves, read_log
from genaiops_dagster.promotion.registry import ALIAS, list_models
from genaiops_dagster.records.layout import PROMOTIONS, Layout
from genaiops_dagster.records.promotion import Champion, served_champion
from genaiops_dagster.records.record import find_object
from genaiops_dagster.serving.daily.context_cache import Entry
from genaiops_dagster.tuning.jobs import USE_CASE_LABEL, all_jobs, belongs_to
from genaiops_dagster.tuning.states import has_ended, state_name
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    from google.genai import types

    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI
    from genaiops_dagster.google_cloud.warehouse import Warehouse

T = TypeVar("T")

Kind = Literal[
    "tuning job", "batch job", "pipeline job", "cache", "endpoint", "model", "table", "rows",
    "objects",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
"""All kinds, in the order in which they are removed: what works before what it works with."""

OF_THE_CHAMPION = "the champion and its log"
_RUNNING = ("QUEUED", "PENDING", "RUNNING", "UPDATING", "PAUSED")
_NOT_SERVED = (400, 404, 501)


@dataclass(frozen=True)
class Leftover:
    """One thing, or one folder of things.

    Attributes:
        kind: What it is; of jobs, only those that run.
        name: Resource name, table, or prefix of the objects.
        detail: How large it is, or its state.
        keep: Why it stays unless everything is to go; empty if it need not.
        objects: Names of the objects.
        deployments: Endpoint and id of each deployment of a model.
    """

    kind: Kind
    name: str
    detail: str
    keep: str = ""
    objects: tuple[str, ...] = ()
    deployments: tuple[tuple[str, str], ...] = ()


def find_leftovers(
    use_case: UseCase, store: ObjectStore, warehouse: Warehouse, models: VertexAI
) -> list[Leftover]:
    """Everything that a use case has left, by kind in the order of `KINDS`.

    Raises:
        BrokenLogError: the decision log is not what was written, so that nobody knows which model
            serves.
    """
    needed = _serving(store, use_case.name)
    tuned = list(_models(models, use_case.name, needed))
    endpoints = {endpoint for model in tuned for endpoint, _ in model.deployments}
    places = _places(use_case, store, models, [*endpoints, *needed])
    found = [
        *_jobs(use_case, store, warehouse, models, places),
        *_caches(use_case, models, places),
        *_endpoints(models, use_case.name, needed, endpoints),
        *tuned,
        *_tables(use_case.name, warehouse),
        *_objects(use_case, store),
    ]
    return sorted(found, key=lambda one: (KINDS.index(one.kind), one.name))


def _serving(store: ObjectStore, use_case: str) -> set[str]:
    """Models and endpoints of what the pointer and the log say that production serves."""
    pointers = [change.pointer for change in moves(read_log(store, use_case))[-1:]]
    if pointer := served_champion(store, use_case):
        pointers.append(pointer)
    champions: list[Champion] = list(pointers)
    champions += [one.rollout.candidate for one in pointers if one.rollout]
    names = {name for one in champions for name in (one.model, one.registered_model or "")}
    return {name.partition("@")[0] for name in names if name}


def _places(
    use_case: UseCase, store: ObjectStore, models: VertexAI, names: Sequence[str]
) -> list[str]:
    """Locations in which the use case may have a cache or a batch job."""
    notes = Layout(use_case.name).context_cache("").removesuffix(".json")
    noted = [one.name for one in store.list(notes) if not one.name.endswith(".claim.json")]
    caches = [entry.name for name in noted if (entry := find_object(store, name, Entry))]
    asked = [models.served_address(models.model_address(name)) for name in models_of(use_case)]
    found = {location_in(f"{name}/") for name in (*names, *caches, *asked)}
    return sorted({models.settings.location, *(place for place in found if place)})


def _models(models: VertexAI, use_case: str, needed: set[str]) -> Iterator[Leftover]:
    for model in list_models(models, use_case):
        name = model.name.partition("@")[0]
        deployments = tuple((d.endpoint, d.deployed_model_id) for d in model.deployed_models)
        serves = ALIAS in model.version_aliases or needed & {name, *(e for e, _ in deployments)}
        made = model.create_time.isoformat()[:10]
        yield Leftover(
            "model",
            name,
            f"made {made}, {_counted(len(deployments), 'deployment')}",
            "the champion" if serves else "",
            deployments=deployments,
        )


def _endpoints(
    models: VertexAI, use_case: str, needed: set[str], deployed: set[str]
) -> Iterator[Leftover]:
    """Endpoints of the use case that no model names, such as those of single checkpoints."""
    here = models.settings.location
    for place in sorted({here, multi_region(here)}):
        clients = models.at(place)
        request = {"parent": clients.parent, "filter": f'labels.{USE_CASE_LABEL}="{use_case}"'}
        listed = _where_served(lambda: list(clients.endpoints.list_endpoints(request=request)))  # noqa: B023 - called at once
        for endpoint in listed:
            if endpoint.name not in deployed and belongs_to(
                clients.settings.bucket, endpoint.labels
            ):
                yield Leftover(
                    "endpoint",
                    endpoint.name,
                    _counted(len(endpoint.deployed_models), "deployment"),
                    "the champion" if endpoint.name in needed else "",
                    deployments=tuple((endpoint.name, d.id) for d in endpoint.deployed_models),
                )


def _jobs(
    use_case: UseCase,
    store: ObjectStore,
    warehouse: Warehouse,
    models: VertexAI,
    places: Sequence[str],
) -> Iterator[Leftover]:
    for tuning in all_jobs(models.genai):
        mine = (tuning.labels or {}).get(USE_CASE_LABEL) == use_case.name
        if mine and belongs_to(store.bucket, tuning.labels) and not has_ended(tuning):
            yield Leftover("tuning job", tuning.name or "", state_name(tuning))
    layout = Layout(use_case.name)
    requests = store.uri(layout.batches)
    for place in places:
        client = models.at(place).genai
        for batch in _where_served(lambda: list(client.batches.list())):  # noqa: B023 - at once
            state = batch.state.name.removeprefix("JOB_STATE_") if batch.state else ""
            source = _source(batch)
            table = source.removeprefix(f"bq://{warehouse.table_id('')}")
            mine = source.startswith(requests) or _is_of_batch(use_case.name, table)
            if state in _RUNNING and mine:
                yield Leftover("batch job", batch.name or "", state)
    request = {
        "parent": models.parent,
        "filter": f'labels.{USE_CASE_LABEL}="{use_case.name}"',
    }
    for pipeline in models.pipelines.list_pipeline_jobs(request):
        state = pipeline.state.name.removeprefix("PIPELINE_STATE_")
        if state in _RUNNING:
            yield Leftover("pipeline job", pipeline.name, state)


def _source(batch: types.BatchJob) -> str:
    if batch.src is None:
        return ""
    return (batch.src.gcs_uri or [""])[0] or batch.src.bigquery_uri or ""


def _caches(use_case: UseCase, models: VertexAI, places: Sequence[str]) -> Iterator[Leftover]:
    named = re.compile(rf"{re.escape(use_case.name)}-[0-9a-f]{{40}}")
    for place in places:
        client = models.at(place).genai
        for cache in _where_served(lambda: list(client.caches.list())):  # noqa: B023 - at once
            if named.fullmatch(cache.display_name or ""):
                tokens = cache.usage_metadata and cache.usage_metadata.total_token_count
                until = cache.expire_time.isoformat()[:16] if cache.expire_time else "unknown"
                yield Leftover("cache", cache.name or "", f"{tokens or 0:,} tokens until {until}")


def _tables(use_case: str, warehouse: Warehouse) -> Iterator[Leftover]:
    for table in warehouse.tables():
        if _is_of_batch(use_case, table.name):
            yield Leftover("table", table.name, size(table.bytes))
        elif "use_case" in table.columns and not table.is_view:
            rows = next(
                warehouse.rows(
                    f"SELECT COUNT(*) AS n FROM `{warehouse.table_id(table.name)}` "  # noqa: S608 - a listed name
                    "WHERE use_case = @use_case",
                    {"use_case": use_case},
                )
            )["n"]
            if rows:
                keep = OF_THE_CHAMPION if table.name == PROMOTIONS else ""
                yield Leftover("rows", table.name, _counted(rows, "row"), keep)


def _is_of_batch(use_case: str, table: str) -> bool:
    """Whether a table has the requests or answers of a batch of this use case, and of no other."""
    prefix = re.escape(Layout(use_case).batch_tables)
    return (
        re.fullmatch(rf"{prefix}answers_[0-9a-f]{{40}}_(requests|[0-9a-f]{{8}})", table) is not None
    )


def _objects(use_case: UseCase, store: ObjectStore) -> Iterator[Leftover]:
    layout = Layout(use_case.name)
    daily = use_case.serving.daily
    prompts = ((daily.inbox if daily else None) or layout.prompts).strip("/") + "/"
    groups: dict[tuple[str, str], dict[str, int]] = {}
    for found in store.list(layout.everything):
        keep = _why_kept(layout, found.name, (use_case.inbox, prompts))
        folder = "/".join(found.name.split("/")[:2])
        groups.setdefault((folder, keep), {})[found.name] = found.size
    for (folder, keep), sizes in groups.items():
        detail = f"{_counted(len(sizes), 'object')}, {size(sum(sizes.values()))}"
        yield Leftover("objects", store.uri(folder), detail, keep, objects=tuple(sizes))


def _why_kept(layout: Layout, name: str, own: tuple[str, ...]) -> str:
    single = {
        layout.champion,
        layout.log_head,
        layout.measurements_head,
        layout.record("champion"),
    }
    if name in single or name.startswith((layout.decisions, layout.measurements)):
        return OF_THE_CHAMPION
    if name.startswith(layout.ledgers):
        return "what was spent"
    return "your own files" if name.startswith(own) else ""


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def size(number: int) -> str:
    """A number of bytes for a person."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _where_served(look: Callable[[], list[T]]) -> list[T]:
    """What a list has; nothing in a location that does not serve it."""
    from google.api_core.exceptions import GoogleAPICallError
    from google.genai.errors import ClientError

    try:
        return look()
    except (GoogleAPICallError, ClientError) as error:
        if error.code not in _NOT_SERVED:
            raise
        return []
