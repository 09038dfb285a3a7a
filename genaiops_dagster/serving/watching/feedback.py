"""Feedback on answers: ratings are recorded, corrected answers become new rows of the inbox.

The inbox sensor finds such a row like any other file: it is curated, split, trained or evaluated
on, which closes the loop from what users saw to the next model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genaiops_dagster.data.sensitive import redacted
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.warehouse import Column, Table, Warehouse
from genaiops_dagster.records import layout
from genaiops_dagster.records.clock import SYSTEM_CLOCK, Clock
from genaiops_dagster.serving.answering.requests import REQUESTS, request_day
from genaiops_dagster.use_case import UseCase

FEEDBACK = Table(
    name=layout.FEEDBACK,
    description="What users said of answers; the newest row of a request counts.",
    columns=(
        Column("request_id", "STRING", "The request in the table `requests`.", "REQUIRED"),
        Column("created", "TIMESTAMP", "When it was given.", "REQUIRED"),
        Column("use_case", "STRING", "Use case.", "REQUIRED"),
        Column("rating", "FLOAT64", "From 0, useless, to 1, right."),
        Column("author", "STRING", "Who gave it."),
        Column("row_uri", "STRING", "Row of the inbox that a corrected answer became."),
        Column("correction", "STRING", "What would have been right, redacted; NULL by default."),
    ),
    keys=("request_id", "created"),
    partition="created",
    clustering=("use_case", "request_id"),
)

RATED_REQUESTS = layout.RATED_REQUESTS
"""View of the requests with the newest feedback on each."""


class FeedbackError(ValueError):
    """The feedback cannot be taken; the message says why and what to do."""


@dataclass(frozen=True)
class Feedback:
    """What somebody says about one answer.

    Attributes:
        request_id: As the router gave it with the answer.
        rating: From 0, useless, to 1, right; None if not rated.
        correction: What would have been right; None if not corrected.
        variables: What was asked; as the request log has it, redacted, if None.
        author: Who says so.
    """

    request_id: str
    rating: float | None = None
    correction: str | None = None
    variables: Mapping[str, Any] | None = None
    author: str | None = None


def give_feedback(
    use_case: UseCase,
    store: ObjectStore,
    warehouse: Warehouse,
    feedback: Feedback,
    clock: Clock = SYSTEM_CLOCK,
) -> str | None:
    """Record feedback; address of the inbox row that a corrected answer became.

    Correcting the same answer again replaces its row.

    Raises:
        FeedbackError: it says nothing, or the row cannot be made.
    """
    if feedback.rating is None and feedback.correction is None:
        raise FeedbackError("give a rating from 0 to 1, or a corrected answer")
    if feedback.rating is not None and not 0 <= feedback.rating <= 1:
        raise FeedbackError(f"a rating is from 0 to 1, not {feedback.rating:g}")
    uri = None
    if feedback.correction is not None:
        variables = feedback.variables or _variables_of(use_case, warehouse, feedback.request_id)
        row = inbox_row(use_case, feedback.request_id, variables, feedback.correction)
        uri = _deliver(use_case, store, feedback.request_id, row)
    keeps = use_case.serving.log_texts and feedback.correction is not None
    record = {
        "request_id": feedback.request_id,
        "created": clock.now().isoformat(),
        "use_case": use_case.name,
        "rating": feedback.rating,
        "author": feedback.author,
        "row_uri": uri,
        "correction": redacted(feedback.correction) if keeps else None,
    }
    warehouse.append(FEEDBACK, [record])
    return uri


def inbox_row(
    use_case: UseCase, request_id: str, variables: Mapping[str, Any], correction: str
) -> dict[str, Any]:
    """A source row in the use case's own columns.

    A slice that the request does not tell is `feedback`; without a group the row is its own.
    """
    columns = use_case.columns
    row = {columns.variables.get(name, name): value for name, value in variables.items()}
    unknown: dict[str, Any] = dict.fromkeys(columns.slices, "feedback")
    identity = f"feedback-{request_id}"
    if columns.group:
        unknown[columns.group] = identity
    return {**unknown, **row, columns.id: identity, columns.output: correction}


def ensure_rated_requests(warehouse: Warehouse) -> str:
    """Create the view of requests with their newest feedback; its full id."""
    requests, feedback = warehouse.ensure_table(REQUESTS), warehouse.ensure_table(FEEDBACK)
    sql = f"""
        SELECT r.*, f.rating, f.correction, f.created AS feedback_created
        FROM `{requests}` AS r
        LEFT JOIN (
          SELECT * FROM `{feedback}` WHERE TRUE
          QUALIFY ROW_NUMBER() OVER (PARTITION BY use_case, request_id ORDER BY created DESC) = 1
        ) AS f ON f.use_case = r.use_case AND f.request_id = r.request_id
    """  # noqa: S608 - names come from Table constants, never from outside
    return warehouse.ensure_view(RATED_REQUESTS, sql, "Requests with the newest feedback on each.")


def _variables_of(use_case: UseCase, warehouse: Warehouse, request_id: str) -> dict[str, Any]:
    """Variables of a request, as the request log has them."""
    table = warehouse.ensure_table(REQUESTS)
    try:
        day = request_day(request_id)
    except ValueError as error:
        raise FeedbackError(f"{request_id!r} is not a request's id") from error
    found = warehouse.rows(
        f"SELECT variables FROM `{table}` WHERE use_case = @use_case AND "  # noqa: S608
        "request_id = @request_id AND DATE(created) = @day LIMIT 1",
        {"use_case": use_case.name, "request_id": request_id, "day": day},
    )
    row = next(found, None)
    if row is None:
        raise FeedbackError(
            f"{use_case.name}: no request {request_id} is recorded (it takes some seconds); give "
            "its variables with the corrected answer, or try again"
        )
    if row["variables"] is None:
        raise FeedbackError(
            f"{use_case.name}: the request log keeps no texts; give the variables with the "
            "corrected answer, or set serving.log_texts and let the router log texts"
        )
    variables: dict[str, Any] = json.loads(row["variables"])
    return variables


def _deliver(use_case: UseCase, store: ObjectStore, request_id: str, row: Mapping[str, Any]) -> str:
    """Put a row into the inbox, in the form that the inbox sensor reads."""
    if use_case.source.names_sort_by_time:
        raise FeedbackError(
            f"{use_case.name}: source.names_sort_by_time is set, and feedback has no place in that "
            "order; unset it to learn from corrected answers"
        )
    folder = layout.feedback_folder(use_case.inbox, request_id)
    name = f"{folder}/row.jsonl"
    store.write(name, f"{json.dumps(row, ensure_ascii=False)}\n".encode(), "application/jsonl")
    if use_case.source.completion_marker:
        store.write(f"{folder}/{use_case.source.completion_marker}", b"", "text/plain")
    return store.uri(name)
