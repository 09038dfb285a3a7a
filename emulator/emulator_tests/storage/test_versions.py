"""Object versioning: https://docs.cloud.google.com/storage/docs/object-versioning"""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import storage


def write(bucket: Any, name: Any, *texts: Any) -> Any:
    """Writes one version after another; returns their generations."""
    generations = []
    for text in texts:
        blob = bucket.blob(name)
        blob.upload_from_string(text)
        generations.append(blob.generation)
    return generations


def test_overwriting_keeps_the_old_version(versioned: storage.Bucket) -> None:
    old, new = write(versioned, "a", "old", "new")
    assert versioned.blob("a").download_as_text() == "new"
    assert versioned.blob("a", generation=old).download_as_text() == "old"
    found = versioned.get_blob("a", generation=old)
    assert found._properties["timeDeleted"]
    assert "timeDeleted" not in versioned.get_blob("a")._properties
    assert new > old


def test_without_versioning_the_old_version_is_gone(bucket: storage.Bucket) -> None:
    old, _ = write(bucket, "a", "old", "new")
    with pytest.raises(exceptions.NotFound):
        bucket.blob("a", generation=old).download_as_text()


def test_listing_versions(versioned: storage.Bucket) -> None:
    first, second = write(versioned, "a", "1", "2")
    (third,) = write(versioned, "b", "3")
    live = [(blob.name, blob.generation) for blob in versioned.list_blobs()]
    assert live == [("a", second), ("b", third)]
    every = [(blob.name, blob.generation) for blob in versioned.list_blobs(versions=True)]
    assert every == [("a", first), ("a", second), ("b", third)]


def test_pages_of_versions(versioned: storage.Bucket) -> None:
    generations = write(versioned, "a", *"12345")
    pages = versioned.list_blobs(versions=True, page_size=2).pages
    assert [[blob.generation for blob in page] for page in pages] == [
        generations[:2],
        generations[2:4],
        generations[4:],
    ]


def test_deleting_makes_the_live_version_noncurrent(versioned: storage.Bucket) -> None:
    (only,) = write(versioned, "a", "text")
    versioned.blob("a").delete()
    assert versioned.get_blob("a") is None
    assert list(versioned.list_blobs()) == []
    assert versioned.blob("a", generation=only).download_as_text() == "text"


def test_deleting_a_generation_is_final(versioned: storage.Bucket) -> None:
    old, new = write(versioned, "a", "old", "new")
    versioned.blob("a", generation=old).delete()
    assert [blob.generation for blob in versioned.list_blobs(versions=True)] == [new]
    versioned.blob("a", generation=new).delete()
    assert versioned.get_blob("a") is None
    assert list(versioned.list_blobs(versions=True)) == []


def test_restoring_a_noncurrent_version(versioned: storage.Bucket) -> None:
    # https://docs.cloud.google.com/storage/docs/using-versioned-objects#restore
    old, _ = write(versioned, "a", "old", "new")
    versioned.copy_blob(versioned.blob("a"), versioned, "a", source_generation=old)
    assert versioned.blob("a").download_as_text() == "old"
    assert len(list(versioned.list_blobs(versions=True))) == 3


def test_preconditions_look_at_the_live_version(versioned: storage.Bucket) -> None:
    write(versioned, "a", "text")
    versioned.blob("a").delete()
    versioned.blob("a").upload_from_string("again", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        versioned.blob("a").upload_from_string("more", if_generation_match=0)


def test_metadata_of_a_noncurrent_version(versioned: storage.Bucket) -> None:
    old, _ = write(versioned, "a", "old", "new")
    blob = versioned.blob("a", generation=old)
    blob.metadata = {"kept": "yes"}
    blob.patch()
    assert versioned.get_blob("a", generation=old).metadata == {"kept": "yes"}
    assert versioned.get_blob("a").metadata is None


def test_suspended_versioning_keeps_what_is_there(versioned: storage.Bucket) -> None:
    old, _ = write(versioned, "a", "old", "new")
    versioned.versioning_enabled = False
    versioned.patch()
    (newest,) = write(versioned, "a", "newest")
    assert [b.generation for b in versioned.list_blobs(versions=True)] == [old, newest]


def test_bucket_with_noncurrent_versions_is_not_empty(versioned: storage.Bucket) -> None:
    write(versioned, "a", "text")
    versioned.blob("a").delete()
    with pytest.raises(exceptions.Conflict):
        versioned.delete()


def test_generations_grow_even_when_an_object_comes_again(bucket: storage.Bucket) -> None:
    generations = []
    for _ in range(20):
        generations += write(bucket, "a", "text")
        bucket.blob("a").delete()
    assert generations == sorted(set(generations))


def test_missing_generation(versioned: storage.Bucket) -> None:
    write(versioned, "a", "text")
    with pytest.raises(exceptions.NotFound):
        versioned.blob("a", generation=1).download_as_text()
