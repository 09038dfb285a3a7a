"""What the other services of the emulator call: the same objects, without HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from vertex_emulator.config import EmulatorConfig
from vertex_emulator.errors import ApiError
from vertex_emulator.stats import Stats
from vertex_emulator.storage.listing import ListQuery, list_objects
from vertex_emulator.storage.service import StorageService


@pytest.fixture
def service(tmp_path: Path) -> Iterator[StorageService]:
    service = StorageService(EmulatorConfig(tmp_path), Stats())
    service.ensure_bucket("a-bucket")
    yield service
    service.close()


def code_of(caught: Any) -> Any:
    return caught.value.code


def test_write_read_size_open(service: StorageService) -> None:
    service.write("gs://a-bucket/x/y", b"text", "text/plain")
    assert service.read("gs://a-bucket/x/y") == b"text"
    assert service.size("gs://a-bucket/x/y") == 4
    with service.open("gs://a-bucket/x/y") as file:
        assert file.read(2) == b"te"


def test_ensuring_a_bucket_twice(service: StorageService) -> None:
    service.write("gs://a-bucket/x", b"x")
    service.ensure_bucket("a-bucket")
    assert service.read("gs://a-bucket/x") == b"x"
    with pytest.raises(ApiError) as caught:
        service.ensure_bucket("Not A Bucket")
    assert code_of(caught) == 400


def test_stream_becomes_visible_at_its_end(service: StorageService) -> None:
    def chunks() -> Iterator[Any]:
        for _ in range(3):
            assert service.list_uris("gs://a-bucket/") == []
            yield b"x" * 2_000_000

    service.write_stream("gs://a-bucket/big", chunks())
    assert service.size("gs://a-bucket/big") == 6_000_000


def test_broken_stream_leaves_nothing(service: StorageService, tmp_path: Path) -> None:
    def chunks() -> Iterator[Any]:
        yield b"x" * 2_000_000
        raise ValueError("the source broke")

    with pytest.raises(ValueError, match="broke"):
        service.write_stream("gs://a-bucket/big", chunks())
    assert service.list_uris("gs://a-bucket/") == []
    assert not [path for path in (tmp_path / "storage" / "contents").rglob("*") if path.is_file()]


def test_listing_by_prefix(service: StorageService) -> None:
    for name in ("b", "a/2", "a/1", "a%", "a_", "ab", "\U0010ffff", "\U0010ffffz"):
        service.write(f"gs://a-bucket/{name}", b"")
    assert service.list_uris("gs://a-bucket/a/") == ["gs://a-bucket/a/1", "gs://a-bucket/a/2"]
    assert len(service.list_uris("gs://a-bucket/")) == 8
    assert len(service.list_uris("gs://a-bucket")) == 8
    assert len(service.list_uris("gs://a-bucket/\U0010ffff")) == 2


@pytest.mark.parametrize("uri", ["a-bucket/x", "s3://a-bucket/x", "gs://", "", "gs:///x"])
def test_addresses_that_are_none(service: StorageService, uri: str) -> None:
    with pytest.raises(ApiError, match="gs://bucket/name") as caught:
        service.read(uri)
    assert code_of(caught) == 400


@pytest.mark.parametrize("uri", ["gs://a-bucket/missing", "gs://missing-bucket/x"])
def test_missing(service: StorageService, uri: str) -> None:
    for call in (service.read, service.open, service.size):
        with pytest.raises(ApiError) as caught:
            call(uri)
        assert code_of(caught) == 404


def test_writing_without_a_name_or_a_bucket(service: StorageService) -> None:
    with pytest.raises(ApiError) as caught:
        service.write("gs://a-bucket/", b"")
    assert code_of(caught) == 400
    with pytest.raises(ApiError) as caught:
        service.write("gs://missing-bucket/x", b"")
    assert code_of(caught) == 404


def test_many_threads(service: StorageService) -> None:
    def work(number: Any) -> None:
        for index in range(20):
            service.write(f"gs://a-bucket/{index % 5}", f"{number}".encode())
            service.read(f"gs://a-bucket/{index % 5}")
            service.list_uris("gs://a-bucket/")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(service.list_uris("gs://a-bucket/")) == 5


def test_everything_is_there_after_a_restart(service: StorageService, tmp_path: Path) -> None:
    service.write("gs://a-bucket/x", b"kept")
    service.close()
    orphan = tmp_path / "storage" / "contents" / "orphan"
    orphan.write_bytes(b"of a killed process")
    again = StorageService(EmulatorConfig(tmp_path), Stats())
    assert again.read("gs://a-bucket/x") == b"kept"
    assert not orphan.exists()
    again.close()


def test_one_state_folder_serves_one_process(service: StorageService, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="in use"):
        StorageService(EmulatorConfig(tmp_path), Stats())


def test_damaged_state_folder(service: StorageService, tmp_path: Path) -> None:
    service.write("gs://a-bucket/x", b"x")
    for path in (tmp_path / "storage" / "contents").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(ApiError, match="missing in the emulator's state folder"):
        service.read("gs://a-bucket/x")
    service.write("gs://a-bucket/x", b"again")
    assert service.read("gs://a-bucket/x") == b"again"


def test_a_hundred_thousand_objects(service: StorageService, tmp_path: Path) -> None:
    """Work is counted in steps of the database, which do not depend on the machine."""
    connection = service.database._connection
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 10)

    def steps_of(action: Any) -> Any:
        before = steps
        result = action()
        return steps - before, result

    def page(**options: Any) -> Any:
        return steps_of(lambda: list_objects(service.database, ListQuery("a-bucket", **options)))

    for number in range(300):
        service.write(f"gs://a-bucket/{number % 50:02d}/{number:06d}", b"x" * 100)
    early, _ = steps_of(lambda: service.write("gs://a-bucket/25/early", b"x"))
    early_page, _ = page(prefix="49/", limit=4)
    with service.database.transaction():
        service.database.execute(
            "WITH RECURSIVE more(n) AS"
            " (SELECT 300 UNION ALL SELECT n + 1 FROM more WHERE n < 99999)"
            " INSERT INTO objects SELECT bucket, printf('%02d/%06d', n % 50, n), generation,"
            " metageneration, content, size, crc32c, md5, components, created, updated, deleted,"
            " fields FROM objects, more WHERE name = '00/000000'"
        )
    late, _ = steps_of(lambda: service.write("gs://a-bucket/25/late", b"x"))
    late_page, _ = page(prefix="49/", limit=4)
    assert late <= early + 1, "writes slow down as objects grow"
    assert late_page <= early_page + 1, "lists slow down as objects grow"

    first_page, found = page(prefix="49/")
    assert (len(found.records), found.next_token is not None) == (1000, True)
    folders, found = page(delimiter="/")
    assert found.prefixes == [f"{number:02d}/" for number in range(50)]
    assert folders < first_page, "folders are found by reading all of their objects"
    assert len(service.list_uris("gs://a-bucket/")) == 100_002

    service.close()
    again = StorageService(EmulatorConfig(tmp_path), Stats())
    assert len(again.list_uris("gs://a-bucket/49/")) == 2_000
    again.close()
