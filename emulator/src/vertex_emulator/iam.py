"""Permissions: what an account may do, where a file of bindings says so.

Without such a file everything is allowed. With one, every call acts as its `default_principal`,
whatever credentials it carries, and one without the permission is answered 403 before anybody looks
whether there is what it names. Permissions on what a SQL statement reads and writes are not looked
at, only the one to run it.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from vertex_emulator.calls import Call, describe
from vertex_emulator.errors import ApiError

Level = Literal["project", "bucket", "dataset"]

_PREDICTS = {
    *("generateContent", "streamGenerateContent", "countTokens", "computeTokens"),
    *("embedContent", "predict", "rawPredict", "streamRawPredict"),
}
_VERBS = {
    **{"get": "get", "list": "list", "insert": "create", "create": "create"},
    **{"update": "update", "patch": "update", "delete": "delete"},
}
# https://cloud.google.com/storage/docs/access-control/iam-json
_STORAGE: Mapping[str, str | None] = {
    "buckets.testIamPermissions": None,
    "objects.compose": "storage.objects.create",
    "objects.rewrite": "storage.objects.create",
    "objects.copy": "storage.objects.create",
    "objects.move": "storage.objects.create",
}
# An account may see the jobs that it made.
# https://cloud.google.com/bigquery/docs/access-control#bq-permissions
_BIGQUERY: Mapping[str, str | None] = {
    "projects.list": None,
    "datasets.list": None,
    "jobs.insert": "bigquery.jobs.create",
    "jobs.query": "bigquery.jobs.create",
    **dict.fromkeys(
        ("jobs.get", "jobs.list", "jobs.cancel", "jobs.delete", "jobs.getQueryResults"), None
    ),
    "tabledata.list": "bigquery.tables.getData",
    "tabledata.insertAll": "bigquery.tables.updateData",
}
_BUCKET = re.compile(r"/storage/v1/b/([^/?]+)")
_DATASET = re.compile(r"/datasets/([^/?]+)")
_PERMISSIONS_OF_BUCKET = re.compile(r"/storage/v1/b/([^/]+)/iam/testPermissions")


class IamFileError(ValueError):
    """An --iam file is not of its form; the message says where."""


class Binding(BaseModel):
    """One role on one resource.

    Attributes:
        resource: `project`, `bucket:NAME`, `dataset:NAME`, or one that no served method is about.
        role: One of `roles.yaml`.
        members: Such as `serviceAccount:NAME@PROJECT.iam.gserviceaccount.com`.
    """

    model_config = ConfigDict(extra="forbid")

    resource: str = Field(min_length=1)
    role: str
    members: list[str]

    @field_validator("role")
    @classmethod
    def _known(cls, role: str) -> str:
        if role not in roles():
            raise ValueError(f"the emulator knows {', '.join(sorted(roles()))}")
        return role


class Policy(BaseModel):
    """The content of an --iam file."""

    model_config = ConfigDict(extra="forbid")

    default_principal: str = Field(pattern=r"^\w+:\S+$")
    bindings: list[Binding] = Field(default_factory=list)

    def allows(self, permission: str, level: Level, name: str) -> bool:
        """Whether the principal has a permission on a resource, or on the project that it is in."""
        return any(
            binding.resource in ("project", f"{level}:{name}")
            and self.default_principal in binding.members
            and any(fnmatchcase(permission, held) for held in roles()[binding.role])
            for binding in self.bindings
        )


@functools.cache
def roles() -> Mapping[str, Sequence[str]]:
    """Permissions by role."""
    file = importlib.resources.files("vertex_emulator") / "roles.yaml"
    known: Mapping[str, Mapping[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {role: facts["permissions"] for role, facts in known.items()}


def read_policy(file: Path) -> Policy:
    """Read an --iam file, YAML or JSON.

    Raises:
        OSError: it cannot be read.
        IamFileError: it is not of its form.
    """
    try:
        return Policy.model_validate(yaml.safe_load(file.read_bytes()))
    except yaml.YAMLError as error:
        raise IamFileError(f"not YAML: {error}") from error
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()
        ]
        raise IamFileError("; ".join(wrong)) from error


def needed(call: Call) -> tuple[str, Level, str] | None:
    """The permission that a call needs, and on what; None if it needs none."""
    permission = _permission(call)
    if permission is None:
        return None
    if call.service == "storage":
        found = _BUCKET.search(call.path)
        name = found[1] if found else call.path.strip("/").partition("/")[0]
        of_project = call.method in ("buckets.list", "buckets.insert")
        return permission, "project" if of_project else "bucket", unquote(name)
    dataset = _DATASET.search(call.path) if call.service == "bigquery" else None
    if dataset:
        return permission, "dataset", unquote(dataset[1])
    return permission, "project", ""


def _permission(call: Call) -> str | None:
    kind, _, verb = call.method.rpartition(".")
    if call.service == "vertex":
        if call.method.endswith("testIamPermissions"):
            return None
        if call.method in _PREDICTS:
            return "aiplatform.endpoints.predict"
        return f"aiplatform.{kind.rpartition('.')[2] or 'locations'}.{_VERBS.get(verb, verb)}"
    special = {"storage": _STORAGE, "bigquery": _BIGQUERY}.get(call.service)
    if special is None or call.method in special:
        return special[call.method] if special else None
    return f"{call.service}.{kind}.{_VERBS.get(verb, verb)}"


def denial(principal: str, permission: str, level: Level, name: str, project: str) -> ApiError:
    """The refusal in the words of the service, as people report them.

    Sources: https://github.com/zetaalphavector/InPars/issues/13 and
    https://github.com/ansible-collections/google.cloud/issues/575 (Cloud Storage);
    https://github.com/rpurinton/gemini-php/issues/2 (Vertex AI, which names the whole resource).
    No report was looked up for BigQuery's.
    """
    service, account = permission.partition(".")[0], principal.partition(":")[2]
    if service == "storage":
        of_bucket = ".buckets." in permission or permission.endswith(".list")
        what = "bucket" if of_bucket else "object"
        return ApiError(
            403,
            f"{account} does not have {permission} access to the Google Cloud Storage {what}."
            f" Permission '{permission}' denied on resource (or it may not exist).",
        )
    if service == "bigquery":
        on = f"Dataset {project}:{name}" if level == "dataset" else f"Project {project}"
        return ApiError(
            403,
            f"Access Denied: {on}: Permission {permission} denied on"
            f" {on[0].lower()}{on[1:]} (or it may not exist).",
            reason="accessDenied",
        )
    return ApiError(
        403,
        f"Permission '{permission}' denied on resource"
        f" '//aiplatform.googleapis.com/projects/{project}' (or it may not exist).",
    )


class IamCheck:
    """Refuses calls for which the principal of a policy lacks the permission.

    Args:
        app: Answers all other requests.
        policy: Who may do what.
        project: The emulator's own project.
    """

    def __init__(self, app: ASGIApp, policy: Policy, project: str) -> None:
        self._app = app
        self._policy = policy
        self._project = project

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass the request on."""
        app: ASGIApp = self._app
        if scope["type"] == "http":
            app = self._answer(scope) or app
        await app(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        path = scope["raw_path"].decode("latin-1")
        if bucket := _PERMISSIONS_OF_BUCKET.fullmatch(path):
            asked = QueryParams(scope["query_string"]).getlist("permissions")
            name = unquote(bucket[1])
            held = [one for one in asked if self._policy.allows(one, "bucket", name)]
            return JSONResponse({"kind": "storage#testIamPermissionsResponse", "permissions": held})
        if path.endswith(":testIamPermissions"):
            return None
        wanted = needed(describe(scope["method"], path))
        if wanted is None or self._policy.allows(*wanted):
            return None
        return denial(self._policy.default_principal, *wanted, self._project).response()


def permission_routes(policy: Policy | None) -> list[Route]:
    """`projects.testIamPermissions` of Cloud Resource Manager, v1 and v3.

    https://cloud.google.com/resource-manager/reference/rest/v3/projects/testIamPermissions
    """

    async def test(request: Request) -> Response:
        body = await request.json()
        asked = body.get("permissions", []) if isinstance(body, dict) else []
        held = [one for one in asked if policy is None or policy.allows(str(one), "project", "")]
        return JSONResponse({"permissions": held} if held else {})

    return [
        Route(
            f"/{version}/projects/{{project}}:testIamPermissions",
            test,
            methods=["POST"],
            name="projects.testIamPermissions",
        )
        for version in ("v1", "v3")
    ]
