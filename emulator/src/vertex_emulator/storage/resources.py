"""Buckets and objects as the JSON resources that clients see.

https://docs.cloud.google.com/storage/docs/json_api/v1/buckets#resource
https://docs.cloud.google.com/storage/docs/json_api/v1/objects#resource
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from vertex_emulator.storage.preconditions import entity_tag
from vertex_emulator.storage.records import BucketRecord, ObjectRecord

_MULTI_REGIONS = {"US", "EU", "ASIA"}
_DUAL_REGIONS = {"ASIA1", "EUR4", "EUR5", "EUR7", "EUR8", "NAM4"}


def timestamp(microseconds: int) -> str:
    """A stored time as RFC 3339 text with milliseconds."""
    moment = datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def project_number(project: str) -> str:
    """A number for the project, always the same."""
    return str(int.from_bytes(hashlib.sha256(project.encode()).digest()[:5]))


def location_type(location: str) -> str:
    """Whether a location is a region, a dual-region or a multi-region."""
    if location in _MULTI_REGIONS:
        return "multi-region"
    return "dual-region" if location in _DUAL_REGIONS else "region"


def bucket_resource(bucket: BucketRecord, host: str) -> dict[str, Any]:
    """The JSON resource of a bucket, with links to `host`."""
    fields = dict(bucket.fields)
    fields.pop("location", None)
    access = fields.pop("iamConfiguration", {})
    uniform = access.get("uniformBucketLevelAccess", {"enabled": False})
    return {
        "kind": "storage#bucket",
        "selfLink": f"{host}/storage/v1/b/{bucket.name}",
        "id": bucket.name,
        "name": bucket.name,
        "projectNumber": project_number(bucket.project),
        "generation": str(bucket.created),
        "metageneration": str(bucket.metageneration),
        "location": bucket.location,
        "locationType": location_type(bucket.location),
        "storageClass": fields.pop("storageClass", "STANDARD"),
        "etag": entity_tag(0, bucket.metageneration),
        "timeCreated": timestamp(bucket.created),
        "updated": timestamp(bucket.updated),
        "iamConfiguration": {
            "bucketPolicyOnly": uniform,
            "uniformBucketLevelAccess": uniform,
            "publicAccessPrevention": access.get("publicAccessPrevention", "inherited"),
        },
        "softDeletePolicy": {"retentionDurationSeconds": "0"},
        "rpo": "DEFAULT",
        **fields,
    }


def object_resource(record: ObjectRecord, host: str) -> dict[str, Any]:
    """The JSON resource of an object version, with links to `host`."""
    path = f"/storage/v1/b/{record.bucket}/o/{quote(record.name, safe='')}"
    created = timestamp(record.created)
    resource: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{record.bucket}/{record.name}/{record.generation}",
        "selfLink": host + path,
        "mediaLink": f"{host}/download{path}?generation={record.generation}&alt=media",
        "name": record.name,
        "bucket": record.bucket,
        "generation": str(record.generation),
        "metageneration": str(record.metageneration),
        "size": str(record.size),
        "crc32c": record.crc32c,
        "etag": entity_tag(record.generation, record.metageneration),
        "timeCreated": created,
        "updated": created if record.updated == record.created else timestamp(record.updated),
        "timeStorageClassUpdated": created,
        "timeFinalized": created,
    }
    if record.md5:
        resource["md5Hash"] = record.md5
    if record.components:
        resource["componentCount"] = record.components
    if record.deleted:
        resource["timeDeleted"] = timestamp(record.deleted)
    resource.update(record.fields)
    return resource
