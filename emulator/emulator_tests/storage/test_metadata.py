"""Metadata of objects: https://docs.cloud.google.com/storage/docs/metadata"""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from vertex_emulator.testing import RunningEmulator


@pytest.fixture
def blob(bucket: storage.Bucket) -> storage.Blob:
    blob = bucket.blob("object")
    blob.upload_from_string("text", content_type="text/plain")
    return blob


def test_patch_changes_what_is_given(bucket: storage.Bucket, blob: storage.Blob) -> None:
    # https://docs.cloud.google.com/storage/docs/json_api/v1/objects/patch
    blob.metadata = {"a": "1", "b": "2"}
    blob.patch()
    blob.metadata = {"b": None, "c": "3"}
    blob.patch()
    found = bucket.get_blob("object")
    assert found.metadata == {"a": "1", "c": "3"}
    assert found.content_type == "text/plain"
    assert found.metageneration == 3
    assert found.generation == blob.generation
    assert found.download_as_text() == "text"


def test_update_replaces_the_rest(bucket: storage.Bucket, blob: storage.Blob) -> None:
    # https://docs.cloud.google.com/storage/docs/json_api/v1/objects/update
    blob.cache_control = "no-cache"
    blob.patch()
    blob.reload()
    blob.cache_control = None
    blob.content_language = "de"
    blob.update()
    found = bucket.get_blob("object")
    assert found.cache_control is None
    assert found.content_language == "de"
    assert found.content_type == "text/plain"


def test_metadata_changes_the_updated_time_alone(blob: storage.Blob) -> None:
    created = blob.time_created
    blob.metadata = {"a": "b"}
    blob.patch()
    assert blob.time_created == created
    assert blob.updated > created


def test_custom_time_moves_forward_only(blob: storage.Blob) -> None:
    # https://docs.cloud.google.com/storage/docs/metadata#custom-time
    now = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    blob.custom_time = now
    blob.patch()
    blob.custom_time = now + datetime.timedelta(days=1)
    blob.patch()
    blob.custom_time = now
    with pytest.raises(exceptions.BadRequest, match="Custom time"):
        blob.patch()


def test_temporary_hold(bucket: storage.Bucket, blob: storage.Blob) -> None:
    # https://docs.cloud.google.com/storage/docs/object-holds
    blob.temporary_hold = True
    blob.patch()
    with pytest.raises(exceptions.Forbidden, match="hold"):
        blob.delete()
    with pytest.raises(exceptions.Forbidden, match="hold"):
        bucket.blob("object").upload_from_string("other")
    blob.temporary_hold = False
    blob.patch()
    blob.delete()


def test_storage_class_cannot_be_patched(client: storage.Client, blob: storage.Blob) -> None:
    with pytest.raises(exceptions.BadRequest, match="storage class"):
        client._patch_resource(blob.path, {"storageClass": "ARCHIVE"})


@pytest.mark.parametrize(
    "resource",
    [
        {"contentType": 5},
        {"contentType": "text/plain\r\nX-Evil: 1"},
        {"metadata": {"a": 5}},
        {"metadata": ["a"]},
        {"metadata": {"a": "x" * 9000}},  # "8 KiB" is the limit of custom metadata
        {"customTime": "yesterday"},
        {"customTime": "2026-11-01T00:00:00"},
        {"temporaryHold": "yes"},
        {"noSuchField": 1},
        {"storageClass": ["STANDARD"]},
    ],
)
def test_bad_metadata(client: storage.Client, blob: storage.Blob, resource: Any) -> None:
    with pytest.raises(exceptions.BadRequest):
        client._patch_resource(blob.path, resource)


@pytest.mark.parametrize(
    "body", ["[]", "5", '"x"', "{", "{'a': 1}", "nul", '{"a": NaN}', "[" * 9999]
)
def test_body_that_is_no_object(
    http: requests.Session, emulator: RunningEmulator, blob: storage.Blob, body: str
) -> None:
    url = f"{emulator.url}/storage/v1{blob.path}"
    response = http.patch(url, data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400


def test_missing_object(bucket: storage.Bucket) -> None:
    blob = bucket.blob("missing")
    blob.metadata = {"a": "b"}
    with pytest.raises(exceptions.NotFound):
        blob.patch()
    with pytest.raises(exceptions.NotFound):
        blob.delete()


def test_partial_response_of_one_object(client: storage.Client, blob: storage.Blob) -> None:
    found = client._get_resource(blob.path, query_params={"fields": "name,metadata/x,size"})
    assert found == {"name": "object", "size": "4"}


def test_etag_changes_with_the_metadata(blob: storage.Blob) -> None:
    before = blob.etag
    blob.metadata = {"a": "b"}
    blob.patch()
    assert blob.etag != before


def test_answer_to_an_insert_may_be_selected(
    http: requests.Session, emulator: RunningEmulator, bucket: storage.Bucket
) -> None:
    response = http.post(
        f"{emulator.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=a&fields=name",
        data=b"x",
    )
    assert response.json() == {"name": "a"}


def test_malformed_selection_changes_nothing(
    http: requests.Session, emulator: RunningEmulator, bucket: storage.Bucket
) -> None:
    response = http.post(
        f"{emulator.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=a&fields=((",
        data=b"x",
    )
    assert response.status_code == 400
    assert bucket.get_blob("a") is None
