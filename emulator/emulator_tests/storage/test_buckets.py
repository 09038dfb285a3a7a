"""Buckets: https://docs.cloud.google.com/storage/docs/buckets"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.api_core import exceptions
from google.cloud import storage


def test_new_bucket_has_documented_defaults(client: storage.Client, bucket: storage.Bucket) -> None:
    # https://docs.cloud.google.com/storage/docs/json_api/v1/buckets#resource
    found = client.get_bucket(bucket.name)
    assert found.location == "US"
    assert found.location_type == "multi-region"
    assert found.storage_class == "STANDARD"
    assert found.metageneration == 1
    assert found.versioning_enabled is False
    assert found.iam_configuration.public_access_prevention == "inherited"
    assert found.time_created is not None


def test_bucket_in_a_region_with_a_storage_class(
    client: storage.Client, new_bucket: Callable[..., storage.Bucket]
) -> None:
    bucket = new_bucket(storage_class="NEARLINE")
    assert client.get_bucket(bucket.name).storage_class == "NEARLINE"
    regional = client.create_bucket(f"{bucket.name}-regional", location="europe-west1")
    assert (regional.location, regional.location_type) == ("EUROPE-WEST1", "region")


def test_same_name_twice_conflicts(client: storage.Client, bucket: storage.Bucket) -> None:
    with pytest.raises(exceptions.Conflict, match="already own it"):
        client.create_bucket(bucket.name)


@pytest.mark.parametrize(
    "name",
    # https://docs.cloud.google.com/storage/docs/buckets#naming
    [
        "ab",
        "Upper",
        "-dash",
        "dash-",
        "192.168.5.4",
        "goog-x",
        "my-google",
        "a" * 64,
        "a b",
        "a..b",
    ],
)
def test_bad_names_are_refused(client: storage.Client, name: str) -> None:
    with pytest.raises(exceptions.BadRequest):
        client._post_resource("/b", {"name": name}, query_params={"project": client.project})


def test_missing_bucket(client: storage.Client) -> None:
    assert client.lookup_bucket("test-missing-bucket") is None
    assert not client.bucket("test-missing-bucket").exists()
    with pytest.raises(exceptions.NotFound):
        client.get_bucket("test-missing-bucket")


def test_listing_buckets_by_prefix_and_page(client: storage.Client, bucket: storage.Bucket) -> None:
    names = [f"{bucket.name}-{index}" for index in range(5)]
    for name in names:
        client.create_bucket(name)
    assert [b.name for b in client.list_buckets(prefix=f"{bucket.name}-")] == names
    pages = client.list_buckets(prefix=f"{bucket.name}-", page_size=2).pages
    assert [[b.name for b in page] for page in pages] == [names[:2], names[2:4], names[4:]]


def test_buckets_belong_to_a_project(client: storage.Client, bucket: storage.Bucket) -> None:
    assert bucket.name not in [b.name for b in client.list_buckets(project="another-project")]


def test_labels_are_patched_one_by_one(client: storage.Client, bucket: storage.Bucket) -> None:
    # https://docs.cloud.google.com/storage/docs/using-bucket-labels
    bucket.labels = {"team": "data", "stage": "test"}
    bucket.patch()
    bucket.labels = {"team": "data"}
    bucket.patch()
    found = client.get_bucket(bucket.name)
    assert found.labels == {"team": "data"}
    assert found.metageneration == 3


def test_update_replaces_everything(client: storage.Client, bucket: storage.Bucket) -> None:
    bucket.labels = {"team": "data"}
    bucket.versioning_enabled = True
    bucket.patch()
    bucket.labels = {}
    bucket.update()
    found = client.get_bucket(bucket.name)
    assert found.labels == {}
    assert found.versioning_enabled is True


def test_metageneration_preconditions(client: storage.Client, bucket: storage.Bucket) -> None:
    # https://docs.cloud.google.com/storage/docs/request-preconditions
    bucket.labels = {"a": "b"}
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.patch(if_metageneration_match=7)
    bucket.patch(if_metageneration_match=1)
    with pytest.raises(exceptions.NotModified):
        client.get_bucket(bucket.name, if_metageneration_not_match=2)
    assert bucket.exists(if_metageneration_match=2)


def test_bucket_with_objects_cannot_be_deleted(
    client: storage.Client, bucket: storage.Bucket
) -> None:
    bucket.blob("a").upload_from_string("a")
    with pytest.raises(exceptions.Conflict, match="not empty"):
        bucket.delete()
    bucket.delete(force=True)
    assert client.lookup_bucket(bucket.name) is None


def test_location_cannot_be_changed(client: storage.Client, bucket: storage.Bucket) -> None:
    with pytest.raises(exceptions.BadRequest, match="location"):
        client._patch_resource(bucket.path, {"location": "EU"})


def test_uniform_access_forbids_predefined_acls(bucket: storage.Bucket) -> None:
    # https://docs.cloud.google.com/storage/docs/uniform-bucket-level-access
    bucket.blob("a").upload_from_string("a", predefined_acl="private")
    bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    bucket.patch()
    with pytest.raises(exceptions.BadRequest, match="uniform bucket-level access"):
        bucket.blob("b").upload_from_string("b", predefined_acl="private")


def test_permissions_and_policy(bucket: storage.Bucket) -> None:
    # https://docs.cloud.google.com/storage/docs/json_api/v1/buckets/testIamPermissions
    asked = ["storage.objects.create", "storage.buckets.get"]
    assert bucket.test_iam_permissions(asked) == asked
    policy = bucket.get_iam_policy()
    roles = {binding["role"] for binding in policy.bindings}
    assert "roles/storage.legacyBucketOwner" in roles


def test_service_account_of_the_project(client: storage.Client) -> None:
    # https://docs.cloud.google.com/storage/docs/getting-service-agent
    email = client.get_service_account_email()
    assert email.startswith("service-")
    assert email.endswith("@gs-project-accounts.iam.gserviceaccount.com")


def test_default_event_based_hold(new_bucket: Callable[..., storage.Bucket]) -> None:
    # https://docs.cloud.google.com/storage/docs/object-holds
    bucket = new_bucket(default_event_based_hold=True)
    blob = bucket.blob("held")
    blob.upload_from_string("x")
    assert blob.event_based_hold
    with pytest.raises(exceptions.Forbidden, match="hold"):
        blob.delete()
    blob.event_based_hold = False
    blob.patch()
    blob.delete()
