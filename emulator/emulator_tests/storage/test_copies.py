"""Objects out of objects: compose, copy, rewrite, move."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from google.api_core import exceptions
from google.cloud import storage

MIB = 1024 * 1024


@pytest.fixture
def source(bucket: storage.Bucket) -> storage.Blob:
    blob = bucket.blob("source")
    blob.metadata = {"a": "b"}
    blob.cache_control = "no-cache"
    blob.upload_from_string("text", content_type="text/x-test")
    return blob


def test_compose(bucket: storage.Bucket) -> None:
    # https://docs.cloud.google.com/storage/docs/composite-objects
    parts = [bucket.blob(name) for name in ("1", "2", "3")]
    for index, part in enumerate(parts):
        part.upload_from_string(f"{index},")
    whole = bucket.blob("whole")
    whole.content_type = "text/csv"
    whole.compose(parts)
    found = bucket.get_blob("whole")
    assert found.download_as_text() == "0,1,2,"
    assert found.component_count == 3
    assert found.content_type == "text/csv"
    assert found.md5_hash is None
    assert found.crc32c
    assert len(list(bucket.list_blobs())) == 4


def test_composing_composites_adds_up_their_components(bucket: storage.Bucket) -> None:
    part = bucket.blob("part")
    part.upload_from_string("x")
    whole = bucket.blob("whole")
    whole.compose([part, part])
    whole.compose([whole, whole, part])
    assert bucket.get_blob("whole").component_count == 5
    assert whole.download_as_text() == "xxxxx"


def test_crc32c_of_a_composite_is_of_all_its_bytes(bucket: storage.Bucket) -> None:
    for name, text in (("1", "1234"), ("2", "56789")):
        bucket.blob(name).upload_from_string(text)
    whole = bucket.blob("whole")
    whole.compose([bucket.blob("1"), bucket.blob("2")])
    assert bucket.get_blob("whole").crc32c == "4waSgw=="  # CRC-32C of "123456789", RFC 3720


def test_compose_limits(bucket: storage.Bucket) -> None:
    # "you can combine between 1 and 32 objects in a single composition request"
    part = bucket.blob("part")
    part.upload_from_string("x")
    bucket.blob("most").compose([part] * 32)
    with pytest.raises(exceptions.BadRequest):
        bucket.blob("more").compose([part] * 33)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("broken").compose([part, bucket.blob("missing")])
    assert bucket.get_blob("broken") is None


def test_compose_given_generations(versioned: storage.Bucket) -> None:
    blob = versioned.blob("a")
    blob.upload_from_string("old")
    old = blob.generation
    blob.upload_from_string("new")
    versioned.blob("both").compose([versioned.blob("a", generation=old), versioned.blob("a")])
    assert versioned.blob("both").download_as_text() == "oldnew"


def test_compose_and_delete_the_sources(bucket: storage.Bucket, client: storage.Client) -> None:
    # ComposeRequest.deleteSourceObjects in the discovery document
    for name in ("1", "2"):
        bucket.blob(name).upload_from_string(name)
    client._post_resource(
        f"{bucket.path}/o/whole/compose",
        {"sourceObjects": [{"name": "1"}, {"name": "2"}], "deleteSourceObjects": True},
    )
    assert [blob.name for blob in bucket.list_blobs()] == ["whole"]


def test_copy_takes_the_metadata_along(
    bucket: storage.Bucket, new_bucket: Callable[..., storage.Bucket], source: storage.Blob
) -> None:
    # https://docs.cloud.google.com/storage/docs/samples/storage-copy-file
    target = new_bucket()
    bucket.copy_blob(source, target, "copy")
    found = target.get_blob("copy")
    assert found.download_as_text() == "text"
    assert found.content_type == "text/x-test"
    assert found.metadata == {"a": "b"}
    assert found.cache_control == "no-cache"
    assert found.md5_hash == source.md5_hash
    assert bucket.get_blob("source") is not None


def test_copy_lives_on_when_its_source_dies(bucket: storage.Bucket, source: storage.Blob) -> None:
    bucket.copy_blob(source, bucket, "copy")
    source.upload_from_string("other")
    source.delete()
    assert bucket.blob("copy").download_as_text() == "text"


def test_rewrite_within_a_location_takes_one_call(
    bucket: storage.Bucket, source: storage.Blob
) -> None:
    # https://docs.cloud.google.com/storage/docs/json_api/v1/objects/rewrite
    assert bucket.blob("target").rewrite(source) == (None, 4, 4)
    assert bucket.blob("target").download_as_text() == "text"


def test_rewrite_with_a_body_replaces_the_metadata(
    bucket: storage.Bucket, source: storage.Blob
) -> None:
    target = bucket.blob("target")
    target.content_type = "text/y-test"
    target.rewrite(source)
    found = bucket.get_blob("target")
    assert found.content_type == "text/y-test"
    assert found.metadata is None


def test_storage_class_is_changed_by_a_rewrite(
    bucket: storage.Bucket, source: storage.Blob
) -> None:
    # https://docs.cloud.google.com/storage/docs/changing-storage-classes
    source.reload()
    source.update_storage_class("NEARLINE")
    found = bucket.get_blob("source")
    assert found.storage_class == "NEARLINE"
    assert found.metadata == {"a": "b"}
    assert found.download_as_text() == "text"


def test_large_rewrite_across_locations_hands_out_tokens(
    bucket: storage.Bucket, client: storage.Client
) -> None:
    other = client.create_bucket(f"{bucket.name}-eu", location="EU")
    data = os.urandom(MIB) * 3
    bucket.blob("large").upload_from_string(data)
    path = f"{bucket.path}/o/large/rewriteTo{other.path}/o/large"
    options = {"maxBytesRewrittenPerCall": MIB}
    first = client._post_resource(path, {}, query_params=options)
    assert first["done"] is False
    assert (first["totalBytesRewritten"], first["objectSize"]) == (str(MIB), str(3 * MIB))
    assert other.get_blob("large") is None
    options["rewriteToken"] = first["rewriteToken"]
    second = client._post_resource(path, {}, query_params=options)
    assert second["totalBytesRewritten"] == str(2 * MIB)
    options["rewriteToken"] = second["rewriteToken"]
    third = client._post_resource(path, {}, query_params=options)
    assert third["done"] is True
    assert third["resource"]["size"] == str(3 * MIB)
    assert other.blob("large").download_as_bytes() == data


def test_loop_of_the_rewrite_sample(bucket: storage.Bucket, client: storage.Client) -> None:
    # https://docs.cloud.google.com/storage/docs/samples/storage-change-file-storage-class
    other = client.create_bucket(f"{bucket.name}-asia", location="ASIA")
    source = bucket.blob("large")
    source.upload_from_string(b"x" * (70 * MIB))
    target = other.blob("large")
    token, rewritten, total = target.rewrite(source)
    calls = 1
    while token is not None:
        token, rewritten, total = target.rewrite(source, token=token)
        calls += 1
    assert calls > 1
    assert rewritten == total == 70 * MIB
    assert other.get_blob("large").crc32c == bucket.get_blob("large").crc32c


@pytest.mark.parametrize("token", ["x", "e30=", "W10="])
def test_rewrite_token_of_something_else(
    bucket: storage.Bucket, client: storage.Client, source: storage.Blob, token: str
) -> None:
    other = client.create_bucket(f"{bucket.name}-{len(token)}", location="EU")
    with pytest.raises(exceptions.BadRequest, match="rewriteToken"):
        other.blob("target").rewrite(source, token=token)


def test_odd_portion_of_a_rewrite(
    bucket: storage.Bucket, client: storage.Client, source: storage.Blob
) -> None:
    with pytest.raises(exceptions.BadRequest, match="maxBytesRewrittenPerCall"):
        client._post_resource(
            f"{source.path}/rewriteTo{bucket.path}/o/b",
            {},
            query_params={"maxBytesRewrittenPerCall": 5},
        )


def test_move(bucket: storage.Bucket, source: storage.Blob) -> None:
    # https://docs.cloud.google.com/storage/docs/json_api/v1/objects/move
    moved = bucket.move_blob(source, "folder/moved")
    assert moved.name == "folder/moved"
    found = bucket.get_blob("folder/moved")
    assert found.download_as_text() == "text"
    assert found.metadata == {"a": "b"}
    assert bucket.get_blob("source") is None


def test_move_conditions(bucket: storage.Bucket, source: storage.Blob) -> None:
    bucket.blob("taken").upload_from_string("x")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.move_blob(source, "taken", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.move_blob(source, "free", if_source_generation_match=1)
    assert bucket.blob("source").download_as_text() == "text"
    assert bucket.blob("taken").download_as_text() == "x"


def test_rename(bucket: storage.Bucket, source: storage.Blob) -> None:
    # https://docs.cloud.google.com/storage/docs/samples/storage-rename-file
    bucket.rename_blob(source, "renamed")
    assert [blob.name for blob in bucket.list_blobs()] == ["renamed"]


def test_held_object_is_not_moved(bucket: storage.Bucket, source: storage.Blob) -> None:
    source.temporary_hold = True
    source.patch()
    with pytest.raises(exceptions.Forbidden):
        bucket.move_blob(source, "moved")
    assert bucket.get_blob("moved") is None
    assert bucket.blob("source").download_as_text() == "text"


def test_missing_source(bucket: storage.Bucket) -> None:
    with pytest.raises(exceptions.NotFound):
        bucket.copy_blob(bucket.blob("missing"), bucket, "copy")
    with pytest.raises(exceptions.NotFound):
        bucket.blob("target").rewrite(bucket.blob("missing"))
