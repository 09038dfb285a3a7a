"""What a later release stored: routers read it, writers do not go on from it, and it is named."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from genaiops_dagster.budget.ledger import Ledger, Usage
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.promotion.champion import settle
from genaiops_dagster.promotion.rollback import rollback
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.record import NewerRecordError
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.serving import NoChampionError, Router
from genaiops_dagster.use_case.budget import Budget
from tests.integration.promotion_bench import Bench
from tests.values import present


@pytest.fixture
def bench(models: list[TunedModel]) -> Bench:
    """A use case with a champion."""
    made = Bench(models)
    made.promote()
    return made


def rewrite(bench: Bench, name: str, **changes: Any) -> None:
    content = present(bench.store.read_json(f"{bench.name}/{name}"))
    body = json.dumps({**content, **changes}).encode()
    bench.store.write(f"{bench.name}/{name}", body)


def rewrite_log(bench: Bench, version: str) -> None:
    """As if a later release had made it all: champions have rooms, and entries have notes."""
    previous = ""
    for entry in bench.log.read():
        name = f"{bench.name}/decisions/{entry.number:08d}.json"
        content = present(bench.store.read_json(name))
        if content["champion"]:
            content["champion"] = {**content["champion"], "room": "cellar"}
        content |= {"schema_version": version, "note": "x", "previous": previous}
        del content["digest"]
        previous = fingerprint(content)
        bench.store.write(name, json.dumps({**content, "digest": previous}).encode())
    rewrite(bench, "log_head.json", digest=previous)


def unreachable(*_: Any) -> None:
    raise ConnectionError("no route to the bucket")


def open_router(bench: Bench, **options: Any) -> Router:
    return Router(bench.use_case, bench.store, **options)


def test_every_object_says_its_version(bench: Bench) -> None:
    stored = [one.name for one in bench.store.list(f"{bench.name}/") if one.name.endswith(".json")]
    assert f"{bench.name}/champion.json" in stored
    assert {present(bench.store.read_json(name)).get("schema_version") for name in stored} == {
        "1.0"
    }


def test_a_later_minor_version_is_served(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = bench.champion
    rewrite_log(bench, "1.4")
    rewrite(bench, "champion.json", schema_version="1.4", room="cellar")
    with open_router(bench, folder=tmp_path) as router:
        assert router.route("ann").served == champion
    monkeypatch.setattr(ObjectStore, "read_with_generation", unreachable)
    with open_router(bench, folder=tmp_path) as router:  # from what was kept on this machine
        assert router.route("ann").served == champion


def test_a_later_major_version_is_not_served(bench: Bench, tmp_path: Path) -> None:
    champion = bench.champion
    sentence = r"champion\.json was written by a later release, as Champion 2\.0; upgrade"
    with open_router(bench, folder=tmp_path) as router:
        router.route("ann")
        rewrite(bench, "champion.json", schema_version="2.0", serves={"models": []})
        with pytest.raises(NewerRecordError, match=sentence):
            router.refresh()
        assert router.route("ann").served == champion
    kept = tmp_path / f"{bench.name}.champion.json"
    kept.write_text(kept.read_text().replace('"schema_version": "1.0"', '"schema_version": "2.0"'))
    with (
        open_router(bench, folder=tmp_path) as fresh,
        pytest.raises(NoChampionError, match=sentence),
    ):
        fresh.route("ann")


def test_an_option_that_decides_the_answer_is_not_ignored(bench: Bench) -> None:
    generation = bench.champion.generation.model_dump(mode="json")
    rewrite(bench, "champion.json", schema_version="1.1", generation={**generation, "mood": "gay"})
    with (
        open_router(bench) as router,
        pytest.raises(NewerRecordError, match="ask a model with mood"),
    ):
        router.refresh()


def test_nobody_goes_on_from_what_is_only_read_in_part(bench: Bench) -> None:
    champion = bench.champion
    rewrite_log(bench, "1.4")
    rewrite(bench, "champion.json", schema_version="1.4", room="cellar")
    entries, serves = settle(bench.books)
    assert serves == champion
    with pytest.raises(NewerRecordError, match=r"00000003\.json .* LogEntry 1\.4; .* would lose"):
        bench.log.append(entries, "approval", approves="x", by="ann")
    with pytest.raises(NewerRecordError, match="would lose"):
        rollback(bench.books, lambda _: None, by="ann", reason="test", to=1)
    assert len(bench.log.read()) == len(entries)
    bench.store.delete(f"{bench.name}/decisions/00000003.json")  # as if killed before the end
    rewrite(bench, "log_head.json", number=2, digest=entries[1].digest)
    bench.store.delete(f"{bench.name}/champion.json")
    with pytest.raises(NewerRecordError, match="would lose"):
        settle(bench.books)
    assert not bench.store.exists(f"{bench.name}/champion.json")


def test_a_version_changed_by_hand_is_rolled_back(bench: Bench) -> None:
    """The log is this release's, so no later one can have written the pointer."""
    rewrite(bench, "champion.json", schema_version="9.0")
    with pytest.raises(NewerRecordError, match=r"as Champion 9\.0"):
        settle(bench.books)
    rollback(bench.books, lambda _: None, by="ann", reason="edited by hand", to=1)
    assert settle(bench.books)[1] == bench.champion


def test_a_ledger_of_a_later_release_is_read_and_not_changed(bench: Bench) -> None:
    store = ObjectStore.connect(GoogleCloudSettings.from_environment())
    ledger = Ledger(store, f"ledger_{uuid.uuid4().hex[:8]}", Budget(), SYSTEM_CLOCK)
    ledger.set_spent("tuning/a", "run", 1.5, Usage(1, 10))
    content = present(store.read_json(ledger.name))
    content["entries"][0]["currency"] = "USD"
    body = json.dumps({**content, "schema_version": "1.1"}).encode()
    store.write(ledger.name, body)
    assert ledger.read().taken().usd == 1.5
    with pytest.raises(NewerRecordError, match=r"Month 1\.1; .* would lose what is new"):
        ledger.set_spent("tuning/a", "run", 2.5, Usage(1, 20))
    assert store.read(ledger.name) == body
