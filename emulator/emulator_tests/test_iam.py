"""Permissions: an account without one is refused before anybody looks what there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.api_core.exceptions import Forbidden
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage
from google.genai import errors

from vertex_emulator.calls import describe
from vertex_emulator.config import EmulatorConfig
from vertex_emulator.iam import IamFileError, Policy, needed, read_policy, roles
from vertex_emulator.server import create_app
from vertex_emulator.testing import RunningEmulator, start_emulator

ACCOUNT = "serviceAccount:genaiops@emulated-project.iam.gserviceaccount.com"
GRANTED = (
    ("bucket:emulated-bucket", "roles/storage.objectUser"),
    ("dataset:mine", "roles/bigquery.dataEditor"),
    ("project", "roles/aiplatform.user"),
)


def policy(*granted: tuple[str, str]) -> dict[str, Any]:
    bindings = [
        {"resource": resource, "role": role, "members": [ACCOUNT]} for resource, role in granted
    ]
    return {"default_principal": ACCOUNT, "bindings": bindings}


def begun(folder: Path, monkeypatch: pytest.MonkeyPatch, *granted: tuple[str, str]) -> Any:
    file = folder / "iam.json"
    file.write_text(json.dumps(policy(*granted)))
    emulator = start_emulator(folder / "state", "--iam", str(file))
    for name, value in emulator.variables.items():
        monkeypatch.setenv(name, value)
    return emulator


@pytest.fixture
def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningEmulator]:
    emulator = begun(tmp_path, monkeypatch, *GRANTED)
    yield emulator
    emulator.stop()


def test_what_a_role_allows_passes_and_all_else_is_refused_in_the_services_words(
    limited: RunningEmulator,
) -> None:
    bucket = storage.Client(credentials=AnonymousCredentials()).bucket("emulated-bucket")
    bucket.blob("a").upload_from_string("x")
    assert bucket.blob("a").download_as_bytes() == b"x"
    with pytest.raises(Forbidden, match=r"genaiops@\S+ does not have storage.buckets.get access"):
        bucket.reload()
    with pytest.raises(
        Forbidden, match=r"storage\.objects\.get access to the Google Cloud Storage"
    ):
        storage.Client().bucket("another").blob("a").download_as_bytes()

    client = bigquery.Client()
    with pytest.raises(Forbidden, match=r"bigquery\.datasets\.create denied on project") as refused:
        client.create_dataset("mine", exists_ok=True)
    assert refused.value.errors[0]["reason"] == "accessDenied"
    with pytest.raises(
        Forbidden,
        match=r"Access Denied: Dataset emulated-project:other: Permission bigquery\.tables",
    ):
        client.get_table("other.nothing")
    with pytest.raises(Forbidden, match=r"bigquery\.jobs\.create"):
        client.query("SELECT 1")

    models = genai.Client(location="global")
    answer = models.models.generate_content(model="gemini-3.5-flash", contents="Are you there?")
    assert answer.text


def test_a_call_of_vertex_ai_without_its_role_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = begun(tmp_path, monkeypatch, *GRANTED[:2])
    try:
        client = genai.Client()
        with pytest.raises(
            errors.ClientError, match=r"'aiplatform\.endpoints\.predict' denied"
        ) as no:
            client.models.generate_content(model="gemini-nothing", contents="?")
        assert (no.value.code, no.value.status) == (403, "PERMISSION_DENIED")
    finally:
        emulator.stop()


def test_permissions_can_be_asked_for(limited: RunningEmulator) -> None:
    from google.auth import default
    from google.auth.transport.requests import AuthorizedSession

    bucket = storage.Client().bucket("emulated-bucket")
    asked = ["storage.objects.get", "storage.buckets.get"]
    assert bucket.test_iam_permissions(asked) == ["storage.objects.get"]
    session = AuthorizedSession(default()[0])
    for version in ("v1", "v3"):
        answer = session.post(
            f"{limited.url}/{version}/projects/emulated-project:testIamPermissions",
            json={"permissions": ["aiplatform.tuningJobs.create", "bigquery.jobs.create"]},
        )
        assert answer.json() == {"permissions": ["aiplatform.tuningJobs.create"]}


def test_every_route_needs_a_permission_that_some_role_has(tmp_path: Path) -> None:
    """A method that is served later cannot be forgotten: nobody would have its permission."""
    free = {
        *("projects.list", "datasets.list", "buckets.testIamPermissions"),
        *("jobs.get", "jobs.list", "jobs.cancel", "jobs.delete", "jobs.getQueryResults"),
    }
    app = create_app(EmulatorConfig(state=tmp_path, seed_public_data=False))
    everything = Policy.model_validate(policy(*(("project", role) for role in roles())))
    seen = 0
    for route in app.routes:
        path = (
            str(getattr(route, "path", "/bucket/object"))
            .replace("{path:path}", "x")
            .replace("{rest:path}", "x")
        )
        for verb in sorted(set(getattr(route, "methods", None) or {"GET"}) - {"HEAD", "OPTIONS"}):
            call = describe(verb, path)
            if not call.service or call.method.endswith("testIamPermissions"):
                continue
            wanted = needed(call)
            seen += 1
            assert (wanted is None) == (call.method in free), (verb, path, call.method)
            assert wanted is None or everything.allows(*wanted), (verb, path, wanted)
    assert seen > 50


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "not YAML"),
        ("{}", "default_principal: Field required"),
        (
            "{default_principal: 'user:a@b', bindings: [{resource: r, role: r, members: []}]}",
            "bindings.0.role: Value error, the emulator knows roles/",
        ),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "iam.yaml"
    file.write_text(content)
    with pytest.raises(IamFileError, match=said):
        read_policy(file)
