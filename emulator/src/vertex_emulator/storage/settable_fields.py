"""Which fields of a bucket or an object a client may set, and with what values.

Fields that the service itself sets are ignored in requests, as the API does, because clients send
back whole resources. Fields of features that the emulator lacks are refused when they ask for
something, and ignored when they are empty or switch the feature off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from vertex_emulator.errors import ApiError, not_served

_MAX_METADATA_BYTES = 8 * 1024
_MAX_LABELS = 64

_PREDEFINED_ACLS = {
    *("authenticatedRead", "bucketOwnerFullControl", "bucketOwnerRead", "private"),
    *("projectPrivate", "publicRead", "publicReadWrite"),
}

Check = Callable[[Any], bool]


def _is_header_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    """Text by name; a null, which removes a name, is for a patch only."""
    return isinstance(value, dict) and all(
        text is None or isinstance(text, str) for text in value.values()
    )


def _is_metadata(value: Any) -> bool:
    return _is_texts(value) and (
        sum(len(name.encode()) + len((text or "").encode()) for name, text in value.items())
        <= _MAX_METADATA_BYTES
    )


def _is_labels(value: Any) -> bool:
    return _is_texts(value) and len(value) <= _MAX_LABELS


def _is_time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _is_switch(value: Any) -> bool:
    return isinstance(value, dict) and _is_flag(value.get("enabled", False))


def _is_access(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_switch(value.get("uniformBucketLevelAccess", {}))
        and _is_prevention(value.get("publicAccessPrevention", "inherited"))
    )


def _is_location(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.replace("-", "").isalnum()


def _one_of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


_is_prevention = _one_of("inherited", "enforced", "unspecified")
_is_storage_class = _one_of(
    *("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"),
    *("MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY"),
)
_OBJECT_FIELDS: dict[str, Check] = {
    "cacheControl": _is_header_text,
    "contentDisposition": _is_header_text,
    "contentEncoding": _is_header_text,
    "contentLanguage": _is_header_text,
    "contentType": _is_header_text,
    "customTime": _is_time,
    "eventBasedHold": _is_flag,
    "metadata": _is_metadata,
    "storageClass": _is_storage_class,
    "temporaryHold": _is_flag,
}
_OBJECT_FEATURES = {
    "acl": "access control lists",
    "contexts": "object contexts",
    "customerEncryption": "customer-supplied encryption keys",
    "kmsKeyName": "customer-managed encryption keys",
    "retention": "object retention",
}
_OBJECT_OUTPUT = {
    *("bucket", "componentCount", "crc32c", "etag", "generation", "hardDeleteTime", "id", "kind"),
    *("md5Hash", "mediaLink", "metageneration", "name", "owner", "restoreToken"),
    *("retentionExpirationTime", "selfLink", "size", "softDeleteTime", "timeCreated"),
    *("timeDeleted", "timeFinalized", "timeStorageClassUpdated", "updated"),
}
_BUCKET_FIELDS: dict[str, Check] = {
    "defaultEventBasedHold": _is_flag,
    "iamConfiguration": _is_access,
    "labels": _is_labels,
    "location": _is_location,
    "storageClass": _is_storage_class,
    "versioning": _is_switch,
}
_BUCKET_FEATURES = {
    "acl": "access control lists",
    "autoclass": "Autoclass",
    "billing": "Requester Pays",
    "cors": "CORS configuration",
    "customPlacementConfig": "custom dual-regions",
    "defaultObjectAcl": "access control lists",
    "encryption": "bucket encryption configuration",
    "hierarchicalNamespace": "hierarchical namespaces",
    "ipFilter": "bucket IP filters",
    "lifecycle": "lifecycle rules",
    "logging": "usage logs",
    "objectRetention": "object retention",
    "retentionPolicy": "retention policies",
    "website": "static websites",
}
_BUCKET_OUTPUT = {
    *("etag", "generation", "hardDeleteTime", "id", "kind", "locationType", "metageneration"),
    *("name", "owner", "projectNumber", "rpo", "satisfiesPZI", "satisfiesPZS", "selfLink"),
    *("softDeletePolicy", "softDeleteTime", "timeCreated", "updated"),
}


def object_fields(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The settable fields of an object resource that a client sent; null stands for "unset".

    Raises:
        ApiError: 400 for an unknown field or a bad value, 501 for a feature that is not served.
    """
    return _settable("object", resource, _OBJECT_FIELDS, _OBJECT_FEATURES, _OBJECT_OUTPUT)


def bucket_fields(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The settable fields of a bucket resource that a client sent; null stands for "unset".

    Raises:
        ApiError: 400 for an unknown field or a bad value, 501 for a feature that is not served.
    """
    match resource.get("softDeletePolicy"):
        case {"retentionDurationSeconds": seconds} if str(seconds) != "0":
            raise not_served("soft delete: softDeletePolicy.retentionDurationSeconds must be 0")
    if resource.get("rpo") not in (None, "DEFAULT"):
        raise not_served("turbo replication (field rpo of the bucket)")
    fields = _settable("bucket", resource, _BUCKET_FIELDS, _BUCKET_FEATURES, _BUCKET_OUTPUT)
    if "location" in fields:
        fields["location"] = (fields["location"] or "US").upper()
    return fields


def without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Drop null values, for a write that has nothing to remove."""
    return {
        name: without_nulls(value) if isinstance(value, Mapping) else value
        for name, value in fields.items()
        if value is not None
    }


def _settable(
    kind: str,
    resource: Mapping[str, Any],
    checks: Mapping[str, Check],
    features: Mapping[str, str],
    output: set[str],
) -> dict[str, Any]:
    fields = {}
    for name, value in resource.items():
        if name in checks:
            if value is not None and not checks[name](value):
                raise ApiError(400, f"Invalid value for field {name} of the {kind}.")
            fields[name] = value
        elif name in features:
            if _asks_for_something(value):
                raise not_served(f"{features[name]} (field {name} of the {kind})")
        elif name not in output:
            raise ApiError(400, f"Unknown field {name[:80]!r} of the {kind}.")
    return fields


def _asks_for_something(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_asks_for_something(below) for below in value.values())
    return bool(value)


def check_predefined_acl(value: str | None, bucket: Mapping[str, Any]) -> None:
    """Validate a `predefinedAcl` parameter, which changes nothing here: everybody has access.

    Args:
        value: The parameter; None where the request has none.
        bucket: Settable fields of the bucket.

    Raises:
        ApiError: 400 for an unknown value, or if the bucket has uniform bucket-level access.
    """
    if value is None:
        return
    if value not in _PREDEFINED_ACLS:
        raise ApiError(400, f"Invalid predefined ACL {value[:40]!r}.")
    access = bucket.get("iamConfiguration", {}).get("uniformBucketLevelAccess", {})
    if access.get("enabled"):
        raise ApiError(400, "Cannot insert legacy ACL when uniform bucket-level access is enabled.")
