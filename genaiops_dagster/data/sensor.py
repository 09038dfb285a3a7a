"""The sensor of a use case's inbox: reports new objects, and requests a run for them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dagster as dg

from genaiops_dagster.data import inbox
from genaiops_dagster.data.inbox import Cursor
from genaiops_dagster.google_cloud.object_store import ObjectStore, StoredObject
from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import RESOURCES, open_workspace
from genaiops_dagster.records.record import from_line
from genaiops_dagster.use_case import UseCase

REPORTED_PER_TICK = 500
"""Most objects that a tick reports, to keep its time limit; the rest is left for the next."""


def build_sensor(
    use_case: UseCase, job: dg.JobDefinition | dg.unresolved_asset_job_definition
) -> dg.SensorDefinition:
    """Sensor that reports objects that arrive in the inbox and requests a run of `job` for them."""

    @dg.sensor(
        name=f"{use_case.name}_inbox",
        job=job,
        minimum_interval_seconds=60,
        required_resource_keys=set(RESOURCES),
        description=escape_markdown(
            f"Requests a run when new objects under {use_case.inbox} are complete."
        ),
        default_status=(
            dg.DefaultSensorStatus.RUNNING
            if use_case.automation.enabled
            else dg.DefaultSensorStatus.STOPPED
        ),
    )
    def inbox_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = from_line(Cursor, context.cursor or "{}")
        with open_workspace(context, use_case) as here:
            result = look(use_case, here.store, cursor, here.clock.now().timestamp())
        context.log.info(from_line(Cursor, result.cursor or "{}").decision)
        return result

    return inbox_sensor


def look(use_case: UseCase, store: ObjectStore, cursor: Cursor, now: float) -> dg.SensorResult:
    """One tick: the same cursor and inbox give the same result, however often it is tried.

    A run is requested when everything new has been reported. Its key is the digest of all that was
    seen, so that a cursor that is reset asks for a run that was already made.
    """
    source = use_case.source
    seen = inbox.read_seen(store, use_case.name, cursor.seen)
    inbox.forget(store, use_case.name, cursor.previous if cursor.previous != cursor.seen else "")
    objects = store.list(use_case.inbox, inbox.list_from(seen, source))
    ready, waiting = inbox.complete(objects, source, now)
    batch = inbox.new_objects(ready, seen, source, REPORTED_PER_TICK)
    late = sum(seen.get(one.name) != one.generation for one in waiting)
    reasons = {one.name: inbox.unreadable(one) for one in batch.new}
    digest = inbox.write_seen(store, use_case.name, batch.seen)
    run_due = cursor.run_due or any(reason is None for reason in reasons.values())
    request = run_due and not batch.backlog and not late
    decision = (
        f"{len(ready) + len(waiting)} objects listed: {len(batch.new)} new, "
        f"{batch.backlog} left for the next tick, {late} incomplete; "
        + ("run requested" if request else "run due later" if run_due else "no run due")
    )
    after = Cursor(
        seen=digest,
        previous=cursor.seen if digest != cursor.seen else "",
        run_due=run_due and not request,
        backlog=batch.backlog,
        waiting=late,
        quarantined=Counter(cursor.quarantined) + Counter(filter(None, reasons.values())),
        decision=decision,
    )
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=digest)] if request else [],
        skip_reason=None if request else dg.SkipReason(decision),
        asset_events=[_event(use_case, one, reasons[one.name]) for one in batch.new],
        cursor=after.model_dump_json(),
    )


def _event(
    use_case: UseCase, one: StoredObject, unreadable: str | None
) -> dg.AssetMaterialization | dg.AssetObservation:
    """An object's arrival; one that cannot be read is an observation that says why."""
    metadata: dict[str, Any] = {
        "dagster/uri": one.uri,
        "generation": str(one.generation),
        "bytes": one.size,
        "dagster/last_updated_timestamp": dg.MetadataValue.timestamp(one.updated),
    }
    if unreadable is not None:
        return dg.AssetObservation(
            asset_key=asset_key(use_case, "inbox"), metadata=metadata | {"quarantined": unreadable}
        )
    return dg.AssetMaterialization(
        asset_key=asset_key(use_case, "inbox"),
        metadata=metadata,
        tags={"dagster/data_version": f"{one.name}#{one.generation}"},
    )
