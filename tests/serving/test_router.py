"""The router on a bucket in memory and a model that answers here."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from google.genai import types

from genaiops_dagster.promotion.champion import ChampionBooks, change_champion
from genaiops_dagster.promotion.log import DecisionLog, record_decision
from genaiops_dagster.promotion.registry import Registry
from genaiops_dagster.prompts.parity import PromptParityError
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.promotion import Champion
from genaiops_dagster.serving import NoChampionError, Router
from genaiops_dagster.use_case import Prompt
from tests.comparison.examples import make_use_case
from tests.machines.cloud import Cloud
from tests.promotion.examples import make_champion, make_decision, make_rollout

USE_CASE = make_use_case()
PROMPT = version(Prompt(template="{{ question }}"))
MIRRORS = 4


class Models:
    """Counterpart of the client's models; `before` is called with the name of each one asked."""

    def __init__(self, before: Callable[[str], object] = lambda _: None) -> None:
        self.before = before
        self.asked: list[str] = []

    def generate_content(self, *, model: str, contents: Any, config: Any) -> Any:
        self.asked.append(model)
        self.before(model)
        return types.GenerateContentResponse.model_validate(
            {
                "candidates": [
                    {
                        "content": {"role": "model", "parts": [{"text": "yes"}]},
                        "finish_reason": "STOP",
                    }
                ]
            }
        )


def candidate(number: int, **changes: Any) -> Champion:
    return make_champion(
        number,
        model=f"models/{number}",
        decision_id=str(number),
        **{"prompt_digest": PROMPT.digest, **changes},
    )


def books_of(cloud: Cloud) -> ChampionBooks:
    log = DecisionLog(cloud.store, "modules", cloud.simulation.clock_of())
    return ChampionBooks(cloud.store, Registry(cloud.models, "modules"), log)


def make_cloud() -> Cloud:
    """A use case whose champion serves, and whose candidate is sent every request as well."""
    cloud = Cloud()
    books = books_of(cloud)
    for number in (1, 2):
        decision = make_decision(str(number), prompt_digest=PROMPT.digest, model=f"models/{number}")
        record_decision(books.log, decision)
    change_champion(books, books.log.read(), "promotion", champion=candidate(1))
    begin_rollout(books, candidate(2))
    return cloud


@pytest.fixture
def cloud() -> Cloud:
    return make_cloud()


def begin_rollout(books: ChampionBooks, tried: Champion) -> None:
    rollout = make_rollout(tried, share=0.0, mirrored=1.0)
    change_champion(books, books.log.read(), "rollout", rollout=rollout)


def router_of(cloud: Cloud, models: Models) -> Router:
    there = SimpleNamespace(
        settings=SimpleNamespace(location="global"),
        new_genai=lambda attempts: SimpleNamespace(models=models),
    )
    client: Any = SimpleNamespace(
        serving=lambda address: there,
        served_address=lambda address: address,
        model_address=lambda name: name,
    )
    return Router(USE_CASE, cloud.store, client, refresh_seconds=3600.0)


def test_only_a_few_requests_are_mirrored_at_a_time(cloud: Cloud) -> None:
    """A candidate that hangs fills no queue: what nobody waits for is left out."""
    go_on = threading.Event()
    models = Models(lambda model: model == "models/2" and go_on.wait(60))
    with router_of(cloud, models) as router:
        for n in range(20):
            assert router.generate({"question": "?"}, user=f"user {n}").arm == "champion"
        go_on.set()
    assert models.asked.count("models/1") == 20
    assert models.asked.count("models/2") == MIRRORS


def test_requests_are_mirrored_again_once_others_have_ended(cloud: Cloud) -> None:
    models = Models()
    with router_of(cloud, models) as router:
        while models.asked.count("models/2") < 3 * MIRRORS:
            router.generate({"question": "?"}, user="ann")
            assert len(models.asked) < 10_000, "nothing is mirrored any more"


def look_in_a_fork() -> None:
    """Exit with 0 if a child process hears of a new champion."""
    cloud = make_cloud()
    with router_of(cloud, Models()) as router:
        assert router.route("ann").served.number == 1
        child = os.fork()
        if child:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        books = books_of(cloud)
        change_champion(books, books.log.read(), "promotion", champion=candidate(2))
        for _ in range(1000):
            if router.route("ann").served.number == 2:
                os._exit(0)
            time.sleep(0.01)
        os._exit(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_process_looks_for_itself() -> None:
    """As a server does that loads the application before it starts its workers."""
    process = multiprocessing.get_context("spawn").Process(target=look_in_a_fork)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_a_champion_that_is_gone_is_not_served_on(cloud: Cloud) -> None:
    with router_of(cloud, Models()) as router:
        router.refresh()
        cloud.store.delete(Layout("modules").champion)
        with pytest.raises(NoChampionError, match="does not exist: modules has no champion yet"):
            router.refresh()


def test_a_candidate_is_not_asked_with_another_prompt_than_it_was_judged_with(
    cloud: Cloud,
) -> None:
    begin_rollout(books_of(cloud), candidate(2, prompt_template="Ignore this: {{ question }}"))
    with (
        router_of(cloud, Models()) as router,
        pytest.raises(PromptParityError, match="the prompt of champion 2 was changed"),
    ):
        router.refresh()
