"""What is not served is refused by name, never answered with something that looks right."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from vertex_emulator.testing import RunningEmulator


def refused(*words: Any) -> Any:
    return pytest.raises(exceptions.MethodNotImplemented, match=".*".join(words))


def test_notifications(bucket: storage.Bucket) -> None:
    with refused("Pub/Sub notifications"):
        bucket.notification(topic_name="topic").create()
    with refused("Pub/Sub notifications"):
        list(bucket.list_notifications())


def test_hmac_keys(client: storage.Client) -> None:
    with refused("HMAC keys"):
        client.create_hmac_key(service_account_email="a@b.iam.gserviceaccount.com")


def test_access_control_lists(bucket: storage.Bucket) -> None:
    bucket.blob("a").upload_from_string("a")
    with refused("access control lists"):
        bucket.blob("a").make_public()
    with refused("access control lists"):
        bucket.acl.reload()


def test_policies(bucket: storage.Bucket) -> None:
    with refused("IAM policies"):
        bucket.set_iam_policy(bucket.get_iam_policy())


@pytest.mark.parametrize(
    ("resource", "word"),
    [
        ({"retentionPolicy": {"retentionPeriod": "100"}}, "retention policies"),
        ({"lifecycle": {"rule": [{"action": {"type": "Delete"}}]}}, "lifecycle"),
        ({"cors": [{"origin": ["*"]}]}, "CORS"),
        ({"website": {"mainPageSuffix": "index.html"}}, "websites"),
        ({"logging": {"logBucket": "logs"}}, "logs"),
        ({"encryption": {"defaultKmsKeyName": "key"}}, "encryption"),
        ({"billing": {"requesterPays": True}}, "Requester Pays"),
        ({"autoclass": {"enabled": True}}, "Autoclass"),
        ({"hierarchicalNamespace": {"enabled": True}}, "hierarchical"),
        ({"softDeletePolicy": {"retentionDurationSeconds": "604800"}}, "soft delete"),
        ({"rpo": "ASYNC_TURBO"}, "turbo"),
        ({"customPlacementConfig": {"dataLocations": ["A", "B"]}}, "dual-region"),
        ({"ipFilter": {"mode": "Enabled"}}, "IP filter"),
    ],
)
def test_features_of_buckets(
    client: storage.Client, bucket: storage.Bucket, resource: Any, word: str
) -> None:
    with refused(word):
        client._patch_resource(bucket.path, resource)
    off = dict.fromkeys(resource)
    client._patch_resource(bucket.path, off)


@pytest.mark.parametrize(
    ("resource", "word"),
    [
        ({"contexts": {"custom": {"a": {"value": "b"}}}}, "contexts"),
        ({"retention": {"mode": "Locked"}}, "retention"),
        ({"acl": [{"entity": "allUsers"}]}, "access control lists"),
        ({"kmsKeyName": "key"}, "encryption keys"),
    ],
)
def test_features_of_objects(
    client: storage.Client, bucket: storage.Bucket, resource: Any, word: str
) -> None:
    bucket.blob("a").upload_from_string("a")
    with refused(word):
        client._patch_resource(f"{bucket.path}/o/a", resource)


def test_encryption_keys(bucket: storage.Bucket) -> None:
    with refused("encryption keys"):
        bucket.blob("a", encryption_key=b"k" * 32).upload_from_string("x")
    with refused("encryption keys"):
        bucket.blob("a", kms_key_name="key").upload_from_string("x")


def test_soft_delete(client: storage.Client, bucket: storage.Bucket) -> None:
    with refused("soft"):
        list(bucket.list_blobs(soft_deleted=True))
    with refused("soft delete"):
        bucket.restore_blob("a", generation=1)
    with refused("soft delete"):
        list(client.list_buckets(soft_deleted=True))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "folders"),
        ("POST", "managedFolders"),
        ("GET", "anywhereCaches"),
        ("POST", "lockRetentionPolicy"),
        ("POST", "relocate"),
        ("GET", "operations"),
        ("POST", "o/bulkRestore"),
        ("GET", "o/a/iam"),
        ("GET", "defaultObjectAcl/allUsers"),
    ],
)
def test_other_methods(
    http: requests.Session,
    emulator: RunningEmulator,
    bucket: storage.Bucket,
    method: str,
    path: str,
) -> None:
    response = http.request(method, f"{emulator.url}/storage/v1/b/{bucket.name}/{path}")
    assert response.status_code == 501
    error = response.json()["error"]
    assert error["status"] == "UNIMPLEMENTED"
    assert error["message"].startswith("The emulator does not serve ")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing", 404),
        ("GET", "b/x/y", 404),
        ("GET", "b/x/o/a/b/c", 404),
        ("PATCH", "b", 405),
        ("POST", "b/x", 405),
        ("OPTIONS", "b/x", 405),
        ("GET", "b/%ff", 400),
        ("GET", "b/x/o?prefix=%ff", 400),
    ],
)
def test_paths_of_no_method(
    http: requests.Session, emulator: RunningEmulator, method: str, path: str, status: int
) -> None:
    response = http.request(method, f"{emulator.url}/storage/v1/{path}")
    assert response.status_code == status
    assert response.json()["error"]["code"] == status
