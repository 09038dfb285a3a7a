"""Which method of the API a request calls.

https://docs.cloud.google.com/storage/docs/json_api/v1
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.storage import bucket_methods, copy_methods, object_methods
from vertex_emulator.storage.calls import Call, Reply
from vertex_emulator.storage.context import StorageContext


@dataclass(frozen=True)
class ApiMethod:
    """A method that answers with JSON.

    Attributes:
        name: As in the API's discovery document.
        run: Does the work.
        slow: Whether it may take long and so runs in another thread.
    """

    name: str
    run: Callable[[StorageContext, Call], Reply]
    slow: bool = False


_ONE_OBJECT = "b/{}/o/{}"
_METHODS = {
    ("GET", "b"): ApiMethod("buckets.list", bucket_methods.list_buckets),
    ("POST", "b"): ApiMethod("buckets.insert", bucket_methods.insert_bucket),
    ("GET", "b/{}"): ApiMethod("buckets.get", bucket_methods.get_bucket),
    ("PATCH", "b/{}"): ApiMethod("buckets.patch", bucket_methods.patch_bucket),
    ("PUT", "b/{}"): ApiMethod("buckets.update", bucket_methods.update_bucket),
    ("DELETE", "b/{}"): ApiMethod("buckets.delete", bucket_methods.delete_bucket),
    ("GET", "b/{}/iam"): ApiMethod("buckets.getIamPolicy", bucket_methods.get_iam_policy),
    ("GET", "b/{}/iam/testPermissions"): ApiMethod(
        "buckets.testIamPermissions", bucket_methods.test_iam_permissions
    ),
    ("GET", "b/{}/storageLayout"): ApiMethod(
        "buckets.getStorageLayout", bucket_methods.get_storage_layout
    ),
    ("GET", "projects/{}/serviceAccount"): ApiMethod(
        "projects.serviceAccount.get", bucket_methods.get_service_account
    ),
    ("GET", "b/{}/o"): ApiMethod("objects.list", object_methods.list_in_bucket, slow=True),
    ("GET", _ONE_OBJECT): ApiMethod("objects.get", object_methods.get_object),
    ("PATCH", _ONE_OBJECT): ApiMethod("objects.patch", object_methods.patch_object),
    ("PUT", _ONE_OBJECT): ApiMethod("objects.update", object_methods.update_object),
    ("DELETE", _ONE_OBJECT): ApiMethod("objects.delete", object_methods.delete_object),
    ("GET", f"{_ONE_OBJECT}/iam/testPermissions"): ApiMethod(
        "objects.testIamPermissions", object_methods.test_object_iam_permissions
    ),
    ("POST", f"{_ONE_OBJECT}/compose"): ApiMethod(
        "objects.compose", copy_methods.compose, slow=True
    ),
    ("POST", f"{_ONE_OBJECT}/copyTo/{_ONE_OBJECT}"): ApiMethod(
        "objects.copy", copy_methods.copy, slow=True
    ),
    ("POST", f"{_ONE_OBJECT}/rewriteTo/{_ONE_OBJECT}"): ApiMethod(
        "objects.rewrite", copy_methods.rewrite, slow=True
    ),
    ("POST", f"{_ONE_OBJECT}/moveTo/o/{{}}"): ApiMethod(
        "objects.move", copy_methods.move, slow=True
    ),
}
_FEATURES = {
    ("b", 2): {
        "acl": "access control lists",
        "anywhereCaches": "Anywhere Cache",
        "defaultObjectAcl": "access control lists",
        "folders": "folders",
        "iam": "changes of IAM policies",
        "lockRetentionPolicy": "retention policies",
        "managedFolders": "managed folders",
        "notificationConfigs": "Pub/Sub notifications",
        "operations": "long-running operations of buckets",
        "rapidCaches": "Rapid Cache",
        "relocate": "bucket relocation",
        "restore": "soft delete (restoring buckets)",
    },
    ("b", 3): {"bulkRestore": "soft delete (restoring objects)"},
    ("b", 4): {
        "acl": "access control lists",
        "iam": "IAM policies of objects",
        "restore": "soft delete (restoring objects)",
        "viewFullContext": "object contexts",
    },
    ("projects", 2): {"hmacKeys": "HMAC keys"},
}


def _by_length() -> dict[int, list[tuple[str, list[str], ApiMethod]]]:
    grouped: dict[int, list[tuple[str, list[str], ApiMethod]]] = {}
    for (http_method, template), method in _METHODS.items():
        parts = template.split("/")
        grouped.setdefault(len(parts), []).append((http_method, parts, method))
    return grouped


_BY_LENGTH = _by_length()


def resolve_method(call: Call) -> ApiMethod:
    """The method that a call means.

    Raises:
        ApiError: 501 for a method that the emulator does not have; 405 for a path of other methods;
            404 for a path that the API does not have.
    """
    allowed = set()
    for http_method, parts, method in _BY_LENGTH.get(len(call.path), ()):
        if all(part == "{}" or part == found for part, found in zip(parts, call.path, strict=True)):
            if http_method == call.method:
                return method
            allowed.add(http_method)
    for (root, position), features in _FEATURES.items():
        if call.path[0] == root and len(call.path) > position:
            feature = features.get(call.path[position])
            if feature:
                raise not_served(feature)
    if allowed:
        raise ApiError(405, f"{call.method} is not a method here: {', '.join(sorted(allowed))}.")
    raise ApiError(
        404,
        "No method of the Cloud Storage API has this path. A slash within an object's name is"
        " sent as %2F.",
    )
