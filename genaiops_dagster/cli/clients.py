"""Storage, tables and Vertex AI of a session, for commands that work without a Dagster run."""

from __future__ import annotations

from genaiops_dagster.cli.session import Session
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.promotion.champion import Places
from genaiops_dagster.promotion.log import DecisionLog
from genaiops_dagster.promotion.registry import Registry


def object_store(session: Session) -> ObjectStore:
    """The session's bucket."""
    return ObjectStore.connect(session.settings)


def warehouse(session: Session) -> Warehouse:
    """The session's dataset of result tables."""
    return Warehouse.connect(session.settings)


def vertex_ai(session: Session) -> VertexAI:
    """Vertex AI in the session's project and location."""
    return VertexAI(session.settings)


def places(session: Session, use_case: str) -> Places:
    """Where the champion of a use case is written down."""
    store = object_store(session)
    return Places(store, Registry(vertex_ai(session), use_case), DecisionLog(store, use_case))
