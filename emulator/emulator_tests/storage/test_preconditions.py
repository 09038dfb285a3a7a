"""Preconditions: https://docs.cloud.google.com/storage/docs/request-preconditions"""

from __future__ import annotations

import threading
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from vertex_emulator.testing import RunningEmulator


@pytest.fixture
def blob(bucket: storage.Bucket) -> storage.Blob:
    blob = bucket.blob("object")
    blob.upload_from_string("first")
    return blob


def test_write_only_if_absent(bucket: storage.Bucket, blob: storage.Blob) -> None:
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("object").upload_from_string("second", if_generation_match=0)
    bucket.blob("other").upload_from_string("second", if_generation_match=0)


def test_compare_and_set(bucket: storage.Bucket, blob: storage.Blob) -> None:
    first = blob.generation
    blob.upload_from_string("second", if_generation_match=first)
    assert blob.generation > first
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("object").upload_from_string("third", if_generation_match=first)
    assert bucket.blob("object").download_as_bytes() == b"second"


def test_write_only_if_present(bucket: storage.Bucket, blob: storage.Blob) -> None:
    # "Setting to 0 makes the operation succeed only if there is a live version of the object"
    bucket.blob("object").upload_from_string("second", if_generation_not_match=0)
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        bucket.blob("absent").upload_from_string("x", if_generation_not_match=0)
    assert caught.value.code in {304, 412}
    assert bucket.get_blob("absent") is None


def test_write_on_metageneration(bucket: storage.Bucket, blob: storage.Blob) -> None:
    blob.metadata = {"a": "b"}
    blob.patch()
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("object").upload_from_string("x", if_metageneration_match=1)
    bucket.blob("object").upload_from_string("x", if_metageneration_match=2)


def test_read_conditions(bucket: storage.Bucket, blob: storage.Blob) -> None:
    found = bucket.blob("object")
    assert found.download_as_bytes(if_generation_match=blob.generation) == b"first"
    with pytest.raises(exceptions.PreconditionFailed):
        found.download_as_bytes(if_generation_match=1)
    with pytest.raises(exceptions.NotModified):
        found.download_as_bytes(if_generation_not_match=blob.generation)
    with pytest.raises(exceptions.PreconditionFailed):
        found.reload(if_metageneration_match=9)
    with pytest.raises(exceptions.NotModified):
        found.reload(if_metageneration_not_match=1)


def test_metadata_conditions(blob: storage.Blob) -> None:
    blob.metadata = {"a": "b"}
    blob.patch(if_metageneration_match=1)
    assert blob.metageneration == 2
    blob.metadata = {"a": "c"}
    with pytest.raises(exceptions.PreconditionFailed):
        blob.patch(if_metageneration_match=1)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.update(if_generation_match=1)


def test_delete_conditions(bucket: storage.Bucket, blob: storage.Blob) -> None:
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_generation_match=1)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_metageneration_match=2)
    blob.delete(if_generation_match=blob.generation)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("object").delete(if_generation_match=1)


def test_compose_conditions(bucket: storage.Bucket, blob: storage.Blob) -> None:
    target = bucket.blob("target")
    with pytest.raises(exceptions.PreconditionFailed):
        target.compose([blob], if_generation_match=5)
    with pytest.raises(exceptions.PreconditionFailed):
        target.compose([blob], if_source_generation_match=[5])
    target.compose([blob], if_generation_match=0, if_source_generation_match=[blob.generation])
    with pytest.raises(exceptions.PreconditionFailed):
        target.compose([blob], if_metageneration_match=7)


def test_rewrite_conditions(bucket: storage.Bucket, blob: storage.Blob) -> None:
    target = bucket.blob("target")
    for wrong in (
        {"if_generation_match": 5},
        {"if_source_generation_match": 5},
        {"if_source_metageneration_match": 5},
        {"if_metageneration_match": 5},
    ):
        with pytest.raises(exceptions.PreconditionFailed):
            target.rewrite(blob, **wrong)
    with pytest.raises(exceptions.NotModified):
        target.rewrite(blob, if_source_generation_not_match=blob.generation)
    target.rewrite(blob, if_generation_match=0, if_source_generation_match=blob.generation)


def test_copy_conditions(bucket: storage.Bucket, blob: storage.Blob) -> None:
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.copy_blob(blob, bucket, "copy", if_source_generation_match=5)
    bucket.copy_blob(blob, bucket, "copy", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.copy_blob(blob, bucket, "copy", if_generation_match=0)


@pytest.mark.parametrize("value", ["x", "1.5", "", "1" * 30, "1e3", "٣"])
def test_conditions_that_are_no_numbers(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator, value: str
) -> None:
    response = http.get(
        f"{emulator.url}/storage/v1/b/{bucket.name}/o/a", params={"ifGenerationMatch": value}
    )
    assert response.status_code == 400


def test_sixteen_racers_one_winner(bucket: storage.Bucket) -> None:
    winners, losers = [], []
    barrier = threading.Barrier(16)

    def race(number: Any) -> None:
        own = storage.Client().bucket(bucket.name).blob("prize")
        barrier.wait()
        try:
            own.upload_from_string(f"racer {number}", if_generation_match=0)
            winners.append(number)
        except exceptions.PreconditionFailed:
            losers.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(winners), len(losers)) == (1, 15)
    assert bucket.blob("prize").download_as_text() == f"racer {winners[0]}"


def test_counter_that_loses_no_increment(bucket: storage.Bucket) -> None:
    # Read-modify-write with compare-and-set, as the page recommends.
    bucket.blob("counter").upload_from_string("0")

    def increment() -> None:
        own = storage.Client().bucket(bucket.name)
        done = 0
        while done < 5:
            blob = own.get_blob("counter")
            try:
                value = int(blob.download_as_text())
                blob.upload_from_string(str(value + 1), if_generation_match=blob.generation)
            except (exceptions.PreconditionFailed, exceptions.NotFound):
                continue  # overwritten since it was looked up
            done += 1

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bucket.blob("counter").download_as_text() == "20"
