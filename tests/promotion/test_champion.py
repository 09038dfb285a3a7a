"""Who the champion is after changes, crashes and edits by hand, on a bucket in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from genaiops_dagster.promotion.champion import (
    ChampionBooks,
    ChampionError,
    change_champion,
    gated_champion,
    read_champion,
    settle,
)
from genaiops_dagster.promotion.log import DecisionLog, champions, moves, record_decision
from genaiops_dagster.promotion.registry import ALIAS, Registry
from genaiops_dagster.promotion.rollback import RollbackError, rollback, withdrawn
from genaiops_dagster.promotion.rollout import advance, start
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.promotion import Champion, LogEntry, Verdict
from genaiops_dagster.records.record import to_json
from genaiops_dagster.use_case.serving import RolloutPolicy
from tests.machines.cloud import PARENT, Cloud
from tests.machines.simulation import Worker
from tests.promotion.examples import make_champion, make_decision, make_entry, make_rollout
from tests.values import present

POINTER = Layout("modules").champion
MODELS = {name: f"{PARENT}/models/{name}@1" for name in ("first", "second", "third")}
STAGES = RolloutPolicy.model_validate({"stages": [{"share": 0.05}, {"share": 0.5}, {"share": 1}]})


def books_of(cloud: Cloud, clock: Clock | None = None) -> ChampionBooks:
    log = DecisionLog(cloud.store, "modules", clock or cloud.simulation.clock_of())
    return ChampionBooks(cloud.store, Registry(cloud.models, "modules"), log)


def candidate(books: ChampionBooks, name: str, **changes: Any) -> Champion:
    """What would be the next champion by the decision called `name`."""
    return make_champion(
        len(champions(books.log.read())) + 1,
        model=f"models/{name}",
        registered_model=MODELS[name],
        decision_id=name,
        **changes,
    )


def promote(books: ChampionBooks, name: str) -> Champion:
    record_decision(books.log, make_decision(name))
    champion = candidate(books, name)
    return change_champion(books, books.log.read(), "promotion", champion=champion, by="run")


@pytest.fixture
def cloud() -> Cloud:
    return Cloud(MODELS.values())


@pytest.fixture
def books(cloud: Cloud) -> ChampionBooks:
    """Those of a use case whose first champion serves."""
    found = books_of(cloud)
    promote(found, "first")
    return found


def overtaken(
    cloud: Cloud, at: str, task: Callable[[ChampionBooks], object], other: Callable[[], object]
) -> Worker:
    """Do `task`, and `other` in between, just before the call that begins with `at`."""
    worker = cloud.simulation.start("task", lambda clock: task(books_of(cloud, clock)))
    while not worker.call.startswith(at):
        assert not worker.ended, f"there is no call {at}"
        cloud.simulation.step(worker)
    other()
    cloud.simulation.rest()
    return worker


def entry_object(books: ChampionBooks, number: int) -> str:
    return Layout("modules").decision(number)


def test_a_promotion_after_which_the_pointer_was_edited_is_not_carried_through(
    books: ChampionBooks,
) -> None:
    """A run was killed after it wrote its entry; somebody edited the pointer before the next."""
    books.log.append(books.log.read(), "promotion", champion=candidate(books, "second"))
    edited = to_json(make_champion(1, model="models/mine"))
    books.store.write(POINTER, edited)

    with pytest.raises(ChampionError, match="names models/mine as champion 1"):
        settle(books)
    assert books.store.read(POINTER) == edited


@pytest.mark.parametrize("pointer", [to_json(make_champion(1, model="models/mine")), b"{"])
def test_a_rollback_replaces_whatever_the_pointer_says(
    books: ChampionBooks, pointer: bytes
) -> None:
    books.store.write(POINTER, pointer)
    restored = rollback(books, lambda _: None, by="ann", reason="edited by hand", to=1)
    assert read_champion(books.store, "modules") == restored
    assert restored.model == "models/first"


def test_a_rollout_does_not_put_an_alias_back_that_somebody_removed(
    cloud: Cloud, books: ChampionBooks
) -> None:
    rollout = make_rollout(candidate(books, "second"))
    books.log.append(books.log.read(), "rollout", rollout=rollout)
    cloud.registry.aliases[MODELS["first"]].clear()

    with pytest.raises(ChampionError, match=f"the alias '{ALIAS}' is no longer on it"):
        settle(books)


@pytest.mark.parametrize("still", [True, False])
def test_an_alias_that_a_killed_process_left_on_a_former_champion_goes_back(
    cloud: Cloud, books: ChampionBooks, still: bool
) -> None:
    second = promote(books, "second")
    aliases = cloud.registry.aliases
    aliases[MODELS["first"]].add(ALIAS)
    if not still:
        aliases[MODELS["second"]].clear()
    assert settle(books)[1] == second
    assert [model for model, names in aliases.items() if names] == [MODELS["second"]]


def test_a_former_champion_that_somebody_put_back_is_not_served(books: ChampionBooks) -> None:
    former = present(books.store.read(POINTER))
    promote(books, "second")
    books.store.write(POINTER, former)
    with pytest.raises(ChampionError, match="not what the decision log says"):
        gated_champion(books.store, "modules")


@pytest.mark.parametrize("edit", [{"number": 7}, {"promoted": "2020-01-01"}])
def test_a_pointer_of_which_anything_was_edited_is_not_served(
    books: ChampionBooks, edit: dict[str, Any]
) -> None:
    champion = present(gated_champion(books.store, "modules"))
    books.store.write(POINTER, to_json(champion.model_copy(update=edit)))
    with pytest.raises(ChampionError, match="not what the decision log says"):
        gated_champion(books.store, "modules")


def test_the_former_champion_serves_while_a_change_is_under_way(books: ChampionBooks) -> None:
    record_decision(books.log, make_decision("second"))
    books.log.append(books.log.read(), "promotion", champion=candidate(books, "second"))
    assert present(gated_champion(books.store, "modules")).model == "models/first"
    back = candidate(books, "first").model_copy(update={"number": 3})
    books.log.append(books.log.read(), "rollback", champion=back, by="ann", reason="worse")
    assert present(gated_champion(books.store, "modules")).number == 1
    assert present(settle(books)[1]).number == 3


def test_what_the_gate_rejected_is_not_served(cloud: Cloud) -> None:
    books = books_of(cloud)
    rejected = Verdict(outcome="REJECT", rules=[])
    record_decision(books.log, make_decision("first", verdict=rejected))
    champion = candidate(books, "first")
    change_champion(books, books.log.read(), "promotion", champion=champion)
    with pytest.raises(ChampionError, match="never let pass by the gate"):
        gated_champion(books.store, "modules")


def test_no_user_is_sent_to_a_candidate_that_the_gate_did_not_let_pass(
    books: ChampionBooks,
) -> None:
    rollout = make_rollout(candidate(books, "second"))
    change_champion(books, books.log.read(), "rollout", rollout=rollout)
    with pytest.raises(ChampionError, match=r"models/second .*never let pass by the gate"):
        gated_champion(books.store, "modules")


def test_a_pointer_that_moves_at_the_same_moment_is_not_overlooked(
    cloud: Cloud, books: ChampionBooks
) -> None:
    edited = to_json(make_champion(1, model="models/mine"))
    worker = overtaken(
        cloud,
        f"write {POINTER}",
        lambda mine: promote(mine, "second"),
        lambda: books.store.write(POINTER, edited),
    )
    assert isinstance(worker.error, ChampionError)
    assert "the pointer moved at the same moment" in str(worker.error)


def test_a_change_is_completed_although_somebody_writes_to_the_log(
    cloud: Cloud, books: ChampionBooks
) -> None:
    completion = len(books.log.read()) + 3
    worker = overtaken(
        cloud,
        f"write {entry_object(books, completion)}",
        lambda mine: promote(mine, "second"),
        lambda: record_decision(books.log, make_decision("third")),
    )
    assert worker.error is None
    assert [entry.kind for entry in books.log.read()][-3:] == [
        "promotion",
        "decision",
        "completion",
    ]


def test_a_decision_is_recorded_once_until_another_one_is(books: ChampionBooks) -> None:
    first, other = make_decision("first"), make_decision("second")
    assert record_decision(books.log, first).number == 1
    assert record_decision(books.log, other).number == 4
    assert record_decision(books.log, other).number == 4
    assert record_decision(books.log, first).number == 5


def test_a_decision_is_recorded_although_somebody_writes_to_the_log(
    cloud: Cloud, books: ChampionBooks
) -> None:
    worker = overtaken(
        cloud,
        f"write {entry_object(books, 4)}",
        lambda mine: record_decision(mine.log, make_decision("second")),
        lambda: record_decision(books.log, make_decision("third")),
    )
    assert worker.error is None
    assert [present(entry.decision).id for entry in books.log.read()[-2:]] == ["third", "second"]


def test_a_rollout_before_any_champion_changes_nobody() -> None:
    rollout = make_rollout(make_champion(1))
    assert moves([make_entry(1, "rollout", rollout=rollout)]) == []


def test_a_rollback_by_number_is_one_also_during_a_rollout(books: ChampionBooks) -> None:
    promote(books, "second")
    record_decision(books.log, make_decision("third"))
    start(books, books.log.read(), candidate(books, "third"), STAGES, by="run", reason="passed")

    restored = rollback(books, lambda _: None, by="ann", reason="it is worse", to=1)

    assert (restored.model, restored.restores, restored.rollout) == ("models/first", 1, None)
    assert [entry.kind for entry in books.log.read()][-2:] == ["rollback", "completion"]


def test_a_rollback_from_what_was_just_replaced_is_refused(
    cloud: Cloud, books: ChampionBooks
) -> None:
    promote(books, "second")
    worker = overtaken(
        cloud,
        f"write {entry_object(books, 7)}",
        lambda mine: rollback(mine, lambda _: None, by="ann", reason="it is worse"),
        lambda: promote(books, "third"),
    )
    assert isinstance(worker.error, RollbackError)
    assert "champion 3 (models/third) was installed at the same moment" in str(worker.error)
    assert present(gated_champion(books.store, "modules")).model == "models/third"


def test_a_rollback_happens_although_somebody_writes_to_the_log(
    cloud: Cloud, books: ChampionBooks
) -> None:
    promote(books, "second")
    worker = overtaken(
        cloud,
        f"write {entry_object(books, 7)}",
        lambda mine: rollback(mine, lambda _: None, by="ann", reason="it is worse"),
        lambda: record_decision(books.log, make_decision("third")),
    )
    assert worker.error is None
    assert present(gated_champion(books.store, "modules")).model == "models/first"


def test_a_rollback_goes_to_the_newest_champion_that_is_another_one(
    books: ChampionBooks,
) -> None:
    promote(books, "second")
    promote(books, "third")
    again = rollback(books, lambda _: None, by="ann", reason="try it once more", to=3)
    assert again.serves_as(champions(books.log.read())[2])

    restored = rollback(books, lambda _: None, by="ann", reason="it is worse")

    assert (restored.model, restored.restores) == ("models/second", 2)


@pytest.mark.parametrize("number", [0, 2])
def test_a_champion_that_never_was_cannot_be_restored(books: ChampionBooks, number: int) -> None:
    with pytest.raises(RollbackError, match=f"had no champion {number}; there were 1 to 1"):
        rollback(books, lambda _: None, by="ann", reason="it is worse", to=number)


MINE, OTHER = make_champion(1, model="models/mine"), make_champion(2, model="models/other")
PROMOTED = make_entry(1, "promotion", champion=MINE)
REPLACED = make_entry(2, "promotion", champion=OTHER)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([PROMOTED, make_entry(2, "rollback", champion=OTHER)], "ann rolled back from it"),
        ([PROMOTED, REPLACED], ""),
        ([PROMOTED, REPLACED, make_entry(3, "rollback", champion=MINE)], ""),
        (
            [make_entry(1, "promotion", champion=OTHER), make_entry(2, "rollback", champion=OTHER)],
            "",
        ),
        ([make_entry(1, "withdrawal", rollout=make_rollout(MINE))], "its rollout was ended"),
        ([make_entry(1, "withdrawal", rollout=make_rollout(OTHER))], ""),
        ([make_entry(1, "withdrawal", rollout=make_rollout(MINE, is_candidate=False))], ""),
        ([make_entry(1, "rollout", rollout=make_rollout(MINE))], ""),
    ],
)
def test_who_was_withdrawn(entries: list[LogEntry], expected: str) -> None:
    found = withdrawn(entries, MINE)
    assert found.startswith(expected)
    assert bool(found) == bool(expected)


def test_a_stage_that_is_over_is_not_left_twice(books: ChampionBooks) -> None:
    record_decision(books.log, make_decision("second"))
    begun = start(
        books, books.log.read(), candidate(books, "second"), STAGES, by="ann", reason="approved"
    )
    first = present(begun.rollout)
    advance(books, first, STAGES, reason="good figures")

    with pytest.raises(ChampionError, match=r"is no longer at stage 5 %"):
        advance(books, first, STAGES, reason="good figures")

    rollouts = [entry for entry in books.log.read() if entry.kind == "rollout"]
    assert [(entry.by, entry.reason) for entry in rollouts] == [
        ("ann", "approved"),
        ("rollout", "good figures"),
    ]
