"""A look at a rollout: which figures are read, and what happens when they cannot be."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from google.api_core.exceptions import NotFound, ServiceUnavailable
from google.cloud.bigquery import ScalarQueryParameter

from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.promotion.champion import ChampionBooks, change_champion, settle
from genaiops_dagster.promotion.log import DecisionLog
from genaiops_dagster.promotion.registry import Registry
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.serving.watching.rollout import look_at_rollout
from genaiops_dagster.use_case.serving import RolloutPolicy
from tests.machines.cloud import Cloud
from tests.machines.simulation import START
from tests.promotion.examples import make_champion, make_rollout
from tests.values import present

POLICY = RolloutPolicy.model_validate({"stages": [{"share": 0.05}, {"share": 1}]})
NO_FIGURES = dict.fromkeys(("requests", "answered", "failed", "blocked", "slow"), 0) | {
    "latency": None,
    "newest": None,
}


class Queries:
    """Counterpart of BigQuery's client, that has seen no request of any model.

    Attributes:
        since: From when on requests were asked for, by decision.
        is_down: Whether every call fails.
    """

    project = "p"

    def __init__(self) -> None:
        self.since: dict[str, str] = {}
        self.is_down = False

    def query(self, sql: str, job_config: Any = None) -> Any:
        self._answer()
        given = job_config.query_parameters if job_config else ()
        values = {p.name: p.value for p in given if isinstance(p, ScalarQueryParameter)}
        if "since" in values:
            self.since[values["decision"]] = values["since"].isoformat()
        return self

    def result(self) -> list[dict[str, Any]]:
        return [NO_FIGURES]

    def get_table(self, table: Any) -> Any:
        self._answer()
        raise NotFound(table)

    def create_dataset(self, *_: Any, **__: Any) -> None:
        self._answer()

    def create_table(self, table: Any, **_: Any) -> Any:
        self._answer()
        return table

    def load_table_from_json(self, *_: Any, **__: Any) -> Any:
        self._answer()
        return self

    def delete_table(self, *_: Any, **__: Any) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.is_down:
            raise ServiceUnavailable("BigQuery is down")


@pytest.fixture
def books() -> ChampionBooks:
    """Champion 1 serves, and candidate 2 is at its second stage."""
    cloud = Cloud()
    log = DecisionLog(cloud.store, "modules", cloud.simulation.clock_of())
    books = ChampionBooks(cloud.store, Registry(cloud.models, "modules"), log)
    champion, tried = make_champion(1, decision_id="1"), make_champion(2, decision_id="2")
    change_champion(books, log.read(), "promotion", champion=champion)
    started, since = (START - dt.timedelta(hours=h) for h in (5, 1))
    rollout = make_rollout(tried, started=started.isoformat(), since=since.isoformat())
    change_champion(books, log.read(), "rollout", rollout=rollout)
    return books


def test_the_candidates_stage_is_compared_with_the_champion_since_the_rollout_began(
    books: ChampionBooks,
) -> None:
    queries: Any = Queries()
    look = look_at_rollout(books, Warehouse(lambda: queries, "genaiops", SYSTEM_CLOCK), POLICY)
    rollout = present(look.rollout)
    assert look.action == "wait"
    assert queries.since == {"1": rollout.started, "2": rollout.since}


def test_a_look_without_figures_is_one_and_does_not_fail(books: ChampionBooks) -> None:
    queries: Any = Queries()
    queries.is_down = True
    look = look_at_rollout(books, Warehouse(lambda: queries, "genaiops", SYSTEM_CLOCK), POLICY)
    assert (look.action, look.reasons[0]) == ("wait", "the online figures cannot be read")
    assert "BigQuery is down" in look.reasons[1]
    assert present(settle(books)[1]).rollout is not None
