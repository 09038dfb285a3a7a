"""The methods of the API on buckets.

https://docs.cloud.google.com/storage/docs/json_api/v1/buckets
"""

from __future__ import annotations

from collections.abc import Mapping

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.storage.calls import Call, Reply
from vertex_emulator.storage.context import StorageContext
from vertex_emulator.storage.listing import MAX_PAGE, decode_page_token, encode_page_token
from vertex_emulator.storage.records import BucketRecord
from vertex_emulator.storage.resources import (
    bucket_resource,
    location_type,
    project_number,
)
from vertex_emulator.storage.settable_fields import (
    bucket_fields,
    check_predefined_acl,
    without_nulls,
)

_PREDEFINED_ACLS = ("predefinedAcl", "predefinedDefaultObjectAcl")


def insert_bucket(context: StorageContext, call: Call) -> Reply:
    """`buckets.insert`."""
    project = call.query.get("project")
    if not project:
        raise ApiError(400, "Required parameter: project", reason="required")
    if call.flag("enableObjectRetention"):
        raise not_served("object retention (parameter enableObjectRetention)")
    name = call.body.get("name")
    if not isinstance(name, str):
        raise ApiError(400, "Required field: name of the bucket.", reason="required")
    fields = without_nulls(bucket_fields(call.body))
    _check_acls(call, fields)
    return _reply(call, context.buckets.create(name, project, fields))


def get_bucket(context: StorageContext, call: Call) -> Reply:
    """`buckets.get`."""
    if call.flag("softDeleted"):
        raise not_served("soft delete (parameter softDeleted)")
    return _reply(call, context.buckets.get(call.path[1], call.preconditions()))


def list_buckets(context: StorageContext, call: Call) -> Reply:
    """`buckets.list`."""
    project = call.query.get("project")
    if not project:
        raise ApiError(400, "Required parameter: project", reason="required")
    if call.flag("softDeleted"):
        raise not_served("soft delete (parameter softDeleted)")
    limit = page_size(call)
    token = call.query.get("pageToken")
    start_after = decode_page_token(token)[0] if token else ""
    found = context.buckets.page(project, call.query.get("prefix", ""), start_after, limit + 1)
    listed = found[:limit]
    body = {
        "kind": "storage#buckets",
        "items": [bucket_resource(bucket, call.host) for bucket in listed],
    }
    if len(found) > limit:
        body["nextPageToken"] = encode_page_token(listed[-1].name, 0)
    return Reply(body)


def patch_bucket(context: StorageContext, call: Call) -> Reply:
    """`buckets.patch`."""
    fields = bucket_fields(call.body)
    _check_acls(call, context.buckets.get(call.path[1]).fields)
    changed = context.buckets.change_fields(call.path[1], fields, call.preconditions(), patch=True)
    return _reply(call, changed)


def update_bucket(context: StorageContext, call: Call) -> Reply:
    """`buckets.update`."""
    fields = without_nulls(bucket_fields(call.body))
    _check_acls(call, fields)
    changed = context.buckets.change_fields(call.path[1], fields, call.preconditions(), patch=False)
    return _reply(call, changed)


def delete_bucket(context: StorageContext, call: Call) -> Reply:
    """`buckets.delete`."""
    context.buckets.delete(call.path[1], call.preconditions())
    return Reply(status=204)


def get_iam_policy(context: StorageContext, call: Call) -> Reply:
    """`buckets.getIamPolicy`: the bindings that a new bucket has."""
    bucket = context.buckets.get(call.path[1])
    owners = [f"projectEditor:{bucket.project}", f"projectOwner:{bucket.project}"]
    readers = [f"projectViewer:{bucket.project}"]
    return Reply(
        {
            "kind": "storage#policy",
            "resourceId": f"projects/_/buckets/{bucket.name}",
            "version": 1,
            "etag": "CAE=",
            "bindings": [
                {"role": "roles/storage.legacyBucketOwner", "members": owners},
                {"role": "roles/storage.legacyBucketReader", "members": readers},
            ],
        }
    )


def test_iam_permissions(context: StorageContext, call: Call) -> Reply:
    """`buckets.testIamPermissions`: the emulator allows everything that there is to allow."""
    context.buckets.get(call.path[1])
    for permission in call.permissions:
        if not permission.startswith(("storage.buckets.", "storage.objects.")):
            raise ApiError(400, f"Invalid permission {permission[:80]!r}.")
    return Reply(
        {"kind": "storage#testIamPermissionsResponse", "permissions": list(call.permissions)}
    )


def get_storage_layout(context: StorageContext, call: Call) -> Reply:
    """`buckets.getStorageLayout`."""
    bucket = context.buckets.get(call.path[1])
    return Reply(
        {
            "kind": "storage#storageLayout",
            "bucket": bucket.name,
            "location": bucket.location,
            "locationType": location_type(bucket.location),
            "hierarchicalNamespace": {"enabled": False},
        }
    )


def get_service_account(_: StorageContext, call: Call) -> Reply:
    """`projects.serviceAccount.get`."""
    number = project_number(call.path[1])
    return Reply(
        {
            "kind": "storage#serviceAccount",
            "email_address": f"service-{number}@gs-project-accounts.iam.gserviceaccount.com",
        }
    )


def page_size(call: Call) -> int:
    """The parameter `maxResults`, within the limits of the API.

    Raises:
        ApiError: 400 if it is not a positive number.
    """
    wanted = call.integer("maxResults")
    if wanted is not None and wanted < 1:
        raise ApiError(400, f"Invalid value for maxResults: {wanted} is not positive.")
    return min(wanted or MAX_PAGE, MAX_PAGE)


def _reply(call: Call, bucket: BucketRecord) -> Reply:
    return Reply(bucket_resource(bucket, call.host))


def _check_acls(call: Call, fields: Mapping[str, object]) -> None:
    for name in _PREDEFINED_ACLS:
        check_predefined_acl(call.query.get(name), fields)
