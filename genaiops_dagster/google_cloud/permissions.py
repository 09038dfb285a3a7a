"""The permissions that the product needs, and which of them the account has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genaiops_dagster.google_cloud.settings import GoogleCloudSettings

if TYPE_CHECKING:
    from google.auth.transport.requests import AuthorizedSession

_SECONDS = 60.0
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
RESOURCE_MANAGER = "https://cloudresourcemanager.googleapis.com"


@dataclass(frozen=True)
class Needed:
    """A permission, the step that needs it, and the role of `deploy/setup.sh` that gives it."""

    permission: str
    step: str
    role: str


ON_THE_PROJECT = (
    Needed("aiplatform.endpoints.predict", "asking models", "roles/aiplatform.user"),
    Needed("aiplatform.tuningJobs.create", "tuning", "roles/aiplatform.user"),
    Needed("aiplatform.models.update", "the champion's alias", "roles/aiplatform.user"),
    Needed("aiplatform.batchPredictionJobs.create", "batch jobs", "roles/aiplatform.user"),
    Needed("aiplatform.cachedContents.create", "context caches", "roles/aiplatform.user"),
    Needed("aiplatform.pipelineJobs.create", "pipelines", "roles/aiplatform.user"),
    Needed("bigquery.jobs.create", "queries", "roles/bigquery.jobUser"),
)
ON_THE_BUCKET = (
    *(
        Needed(f"storage.objects.{verb}", "data, reports and the log", "roles/storage.objectUser")
        for verb in ("create", "get", "list", "update", "delete")
    ),
    Needed("storage.buckets.get", "Dagster's compute logs", "roles/storage.legacyBucketReader"),
)


class PermissionsUnknownError(RuntimeError):
    """The service did not say what the account may do; the message is its answer."""


def session() -> AuthorizedSession:
    """Requests with the application's credentials."""
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    return AuthorizedSession(google.auth.default(scopes=[_SCOPE])[0])


def granted(address: str, permissions: Sequence[str]) -> list[str]:
    """Those of the permissions that a resource's `testIamPermissions` says the account has.

    Args:
        address: Of the resource, such as `https://.../v1/projects/my-project`.
        permissions: Those that are asked about.

    Raises:
        PermissionsUnknownError: the service refused to say.
    """
    response = session().post(
        f"{address}:testIamPermissions", json={"permissions": list(permissions)}, timeout=_SECONDS
    )
    if response.status_code != 200:
        raise PermissionsUnknownError(f"{response.status_code}: {response.text[:200]}")
    found: list[str] = response.json().get("permissions", [])
    return found


def project_address(settings: GoogleCloudSettings) -> str:
    """The project at Cloud Resource Manager, or at the emulator."""
    host = (settings.vertex_url or RESOURCE_MANAGER).rstrip("/")
    return f"{host}/v1/projects/{settings.project}"


def missing(needed: Iterable[Needed], held: Iterable[str]) -> list[Needed]:
    """Those of the needed permissions that are not held."""
    known = set(held)
    return [one for one in needed if one.permission not in known]
