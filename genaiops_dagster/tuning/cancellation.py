"""Cancelling a job, and remembering why: the service keeps no reason of ours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import Record, find_object, to_json

if TYPE_CHECKING:
    from google import genai

    from genaiops_dagster.google_cloud.object_store import ObjectStore


class Cancellation(Record):
    """Why a job was cancelled: the content of `<use case>/tuning/cancelled/<job>.json`."""

    job: str
    reason: str


def cancel_job(
    client: genai.Client,
    store: ObjectStore,
    use_case: str,
    job: str,
    reason: str,
    log: logging.Logger,
) -> None:
    """Cancel the job called `job`; it ends a little later."""
    log.warning("Cancelling tuning job %s: %s", job, reason)
    note = Cancellation(job=job, reason=reason)
    store.write(Layout(use_case).cancelled(job), to_json(note))
    client.tunings.cancel(name=job)


def cancel_reason(store: ObjectStore, use_case: str, job: str) -> str | None:
    """Why we cancelled the job called `job`; None when it was not us."""
    note = find_object(store, Layout(use_case).cancelled(job), Cancellation)
    return note.reason if note else None
