"""The account that stands next to a name in the decision log."""

from __future__ import annotations

import json
import os
import platform
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from genaiops_dagster.cli.account import account
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from vertex_emulator.testing import RunningEmulator

LOGGED_IN = f"operating system: {pwd.getpwuid(os.getuid()).pw_name}@{platform.node()}"


def on_the_cloud() -> GoogleCloudSettings:
    return replace(GoogleCloudSettings.from_environment(), vertex_url=None)


def test_on_an_emulator_it_is_who_is_logged_in(emulator: RunningEmulator) -> None:
    assert account(GoogleCloudSettings.from_environment()) == LOGGED_IN


def test_on_google_cloud_it_is_the_account_of_the_credentials(
    emulator: RunningEmulator,
) -> None:
    expected = "Google Cloud: emulator@emulated-project.iam.gserviceaccount.com"
    assert account(on_the_cloud()) == expected


@pytest.mark.parametrize(
    ("named", "expected"), [("ann@example.com", "Google Cloud: ann@example.com"), ("", LOGGED_IN)]
)
def test_credentials_of_a_person_name_one_or_none(
    emulator: RunningEmulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    named: str,
    expected: str,
) -> None:
    """`gcloud auth application-default login` writes such a file."""
    file = tmp_path / "credentials.json"
    content = {"type": "authorized_user", "account": named, "quota_project_id": "emulated-project"}
    secrets = {"client_id": "id", "client_secret": "secret", "refresh_token": "token"}
    file.write_text(json.dumps(content | secrets))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    assert account(on_the_cloud()) == expected
