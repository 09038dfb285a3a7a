"""What was paid for is kept, whatever happens to the process, and read again by what decided it."""

from __future__ import annotations

import getpass
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from genaiops_dagster.evaluation.asking.cache import SEGMENT_ROWS, CacheMissError, RecordCache
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.evaluation import Judgement
from genaiops_dagster.records.fingerprint import fingerprint
from tests.integration.evaluation import store
from tests.values import present
from vertex_emulator.testing import RunningEmulator

__all__ = ["store"]  # fixture


@pytest.fixture
def prefix() -> str:
    return f"cache/{uuid4().hex}/"


def segments(store: ObjectStore, prefix: str) -> list[str]:
    return [found.name for found in store.list(prefix) if found.name.endswith(".jsonl")]


def journal(store: ObjectStore, prefix: str) -> Path:
    identity = (store.read(f"{prefix}identity") or b"").decode()
    return Path(tempfile.gettempdir()) / f"genaiops-{getpass.getuser()}" / f"{identity}.jsonl"


def open_cache(store: ObjectStore, prefix: str, **options: Any) -> RecordCache[Judgement]:
    return RecordCache(store, prefix, Judgement, SYSTEM_CLOCK, **options)


def test_many_records_make_few_objects(
    emulator: RunningEmulator, store: ObjectStore, prefix: str
) -> None:
    with open_cache(store, prefix) as cache:
        for n in range(3 * SEGMENT_ROWS):
            cache.put(fingerprint(n), Judgement(score=n, explanation="line\u2028break\n"))
    assert 1 <= len(segments(store, prefix)) <= 6
    assert not journal(store, prefix).exists()
    with open_cache(store, prefix) as cache:
        assert len(cache) == 3 * SEGMENT_ROWS
        assert cache.get(fingerprint(7)) == Judgement(score=7, explanation="line\u2028break\n")
        assert cache.lacks(fingerprint("other"))


def test_a_session_that_died_left_its_records_to_the_next(
    emulator: RunningEmulator, store: ObjectStore, prefix: str
) -> None:
    dead = open_cache(store, prefix)
    for n in range(3):
        dead.put(fingerprint(n), Judgement(score=n))
    assert segments(store, prefix) == []
    with journal(store, prefix).open("ab") as file:
        file.write(b'{"key":"broke off')

    with open_cache(store, prefix) as cache:
        assert [present(cache.get(fingerprint(n))).score for n in range(3)] == [0, 1, 2]
    assert len(segments(store, prefix)) == 1
    with open_cache(store, prefix) as cache:
        assert len(cache) == 3
    assert not journal(store, prefix).exists()


def test_an_exception_loses_nothing(
    emulator: RunningEmulator, store: ObjectStore, prefix: str
) -> None:
    def interrupted() -> None:
        with open_cache(store, prefix) as cache:
            cache.put(fingerprint(1), Judgement(score=1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with open_cache(store, prefix) as cache:
        assert len(cache) == 1


def test_only_what_may_be_asked_for_is_held(
    emulator: RunningEmulator, store: ObjectStore, prefix: str
) -> None:
    with open_cache(store, prefix) as cache:
        for n in range(10):
            cache.put(fingerprint(n), Judgement(score=n))
    with open_cache(store, prefix, wanted=[fingerprint(3)]) as cache:
        assert len(cache) == 1


def test_strict_fails_on_a_miss_and_refresh_sees_nothing(
    emulator: RunningEmulator, store: ObjectStore, prefix: str
) -> None:
    with open_cache(store, prefix) as cache:
        cache.put(fingerprint(1), Judgement(score=1))
    with open_cache(store, prefix, mode="strict") as cache:
        assert cache.get(fingerprint(1)) is not None
        with pytest.raises(CacheMissError, match="cache: reuse"):
            cache.get(fingerprint(2))
    with open_cache(store, prefix, mode="refresh") as cache:
        assert cache.get(fingerprint(1)) is None
        cache.put(fingerprint(1), Judgement(score=5))
    with open_cache(store, prefix) as cache:
        assert cache.get(fingerprint(1)) == Judgement(score=5), "the latest stands"


def test_journals_of_different_buckets_do_not_meet(
    emulator: RunningEmulator, store: ObjectStore, prefix: str
) -> None:
    open_cache(store, prefix).put(fingerprint(1), Judgement(score=1))
    first = journal(store, prefix)
    store._client.bucket(store.bucket).blob(f"{prefix}identity").delete()  # as in a new bucket
    with open_cache(store, prefix) as cache:
        assert len(cache) == 0
    assert first.exists()
    first.unlink()


def test_a_cache_whose_identity_is_no_name_of_a_file_is_refused(
    emulator: RunningEmulator, store: ObjectStore, prefix: str
) -> None:
    """Write access to the bucket does not give a choice of files on this machine."""
    store.write(f"{prefix}identity", b"../../home/ann/notes")
    with pytest.raises(ValueError, match=r"identity is not the identity of a cache.*delete"):
        open_cache(store, prefix)
