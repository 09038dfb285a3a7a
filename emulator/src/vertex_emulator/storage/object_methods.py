"""The methods of the API on the metadata of objects.

https://docs.cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.storage.bucket_methods import page_size
from vertex_emulator.storage.calls import Call, Reply
from vertex_emulator.storage.context import StorageContext
from vertex_emulator.storage.listing import ListQuery, list_objects
from vertex_emulator.storage.records import ObjectRecord
from vertex_emulator.storage.resources import object_resource
from vertex_emulator.storage.settable_fields import (
    check_predefined_acl,
    object_fields,
    without_nulls,
)


def get_object(context: StorageContext, call: Call) -> Reply:
    """`objects.get` with `alt=json`."""
    if call.flag("softDeleted"):
        raise not_served("soft delete (parameter softDeleted)")
    bucket, name = object_address(call)
    generation = call.integer("generation")
    return _reply(call, context.objects.get(bucket, name, generation, call.preconditions()))


def list_in_bucket(context: StorageContext, call: Call) -> Reply:
    """`objects.list`."""
    bucket = context.buckets.get(call.path[1]).name
    for name in ("softDeleted", "includeFoldersAsPrefixes"):
        if call.flag(name):
            raise not_served(f"listing with {name}")
    if "filter" in call.query:
        raise not_served("listing by object contexts (parameter filter)")
    query = ListQuery(
        bucket=bucket,
        prefix=call.query.get("prefix", ""),
        delimiter=call.query.get("delimiter", ""),
        start=call.query.get("startOffset", ""),
        end=call.query.get("endOffset", ""),
        glob=call.query.get("matchGlob", ""),
        versions=call.flag("versions"),
        trailing_delimiter=call.flag("includeTrailingDelimiter"),
        limit=page_size(call),
        page_token=call.query.get("pageToken", ""),
    )
    page = list_objects(context.database, query)
    body: dict[str, object] = {"kind": "storage#objects"}
    if page.next_token:
        body["nextPageToken"] = page.next_token
    if page.prefixes:
        body["prefixes"] = page.prefixes
    if page.records:
        body["items"] = [object_resource(record, call.host) for record in page.records]
    return Reply(body)


def patch_object(context: StorageContext, call: Call) -> Reply:
    """`objects.patch`."""
    return _change(context, call, patch=True)


def update_object(context: StorageContext, call: Call) -> Reply:
    """`objects.update`."""
    return _change(context, call, patch=False)


def _change(context: StorageContext, call: Call, *, patch: bool) -> Reply:
    bucket, name = object_address(call)
    fields = object_fields(call.body)
    check_predefined_acl(call.query.get("predefinedAcl"), context.buckets.get(bucket).fields)
    changed = context.objects.change_fields(
        bucket,
        name,
        fields if patch else without_nulls(fields),
        generation=call.integer("generation"),
        conditions=call.preconditions(),
        patch=patch,
    )
    return _reply(call, changed)


def delete_object(context: StorageContext, call: Call) -> Reply:
    """`objects.delete`."""
    bucket, name = object_address(call)
    context.objects.delete(bucket, name, call.integer("generation"), call.preconditions())
    return Reply(status=204)


def test_object_iam_permissions(context: StorageContext, call: Call) -> Reply:
    """`objects.testIamPermissions`: the emulator allows everything that there is to allow."""
    bucket, name = object_address(call)
    context.objects.get(bucket, name, call.integer("generation"))
    for permission in call.permissions:
        if not permission.startswith("storage.objects."):
            raise ApiError(400, f"Invalid permission {permission[:80]!r}.")
    return Reply(
        {"kind": "storage#testIamPermissionsResponse", "permissions": list(call.permissions)}
    )


def object_address(call: Call) -> tuple[str, str]:
    """The bucket and object of a path `b/<bucket>/o/<object>...`."""
    return call.path[1], call.path[3]


def _reply(call: Call, record: ObjectRecord) -> Reply:
    return Reply(object_resource(record, call.host))
