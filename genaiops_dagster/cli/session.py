"""Where a command works: on Google Cloud when it is configured, else on an emulator of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from genaiops_dagster.google_cloud.settings import (
    BUCKET,
    EMULATOR_TOKEN,
    PROJECT,
    VERTEX_URL,
    GoogleCloudSettings,
    SettingsError,
)
from vertex_emulator.environment import read_environment_file
from vertex_emulator.private_files import make_private_folder

_DEFAULT_FOLDER = ".genaiops"
_START_SECONDS = 60
_OVERRIDDEN = ("GOOGLE_API_KEY", "GEMINI_API_KEY", "CLOUDSDK_CORE_PROJECT")


class SessionError(RuntimeError):
    """The command cannot start; the message says what is missing and how to set it."""


@dataclass(frozen=True)
class Session:
    """Where a command works.

    Attributes:
        folder: Folder of Dagster's history and of the emulator's state.
        settings: Project, location, bucket and dataset.
        emulator_url: Address of the emulator; None on Google Cloud.
    """

    folder: Path
    settings: GoogleCloudSettings
    emulator_url: str | None


@contextlib.contextmanager
def open_session(folder: Path) -> Iterator[Session]:
    """Point this process at Google Cloud or at an emulator, and at Dagster's history in `folder`.

    A bucket named in `GENAIOPS_BUCKET` means that Google Cloud (or an emulator that the user
    started) is configured. Without it nothing outside this machine is ever called: the emulator
    that serves `folder` is used, or one is started for the time of the command.

    Raises:
        SessionError: Google Cloud is half configured, or has no credentials; or the emulator does
            not start.
    """
    prepare_dagster_home(folder)
    if os.environ.get(BUCKET):
        yield Session(folder, require_cloud(), os.environ.get(VERTEX_URL) or None)
        return
    logging.getLogger("urllib3.connectionpool").addFilter(_NoAllowedLocations())
    with _emulator(folder / "emulator") as variables:
        for name in _OVERRIDDEN:
            os.environ.pop(name, None)
        os.environ.update(variables)
        yield Session(folder, GoogleCloudSettings.from_environment(), variables[VERTEX_URL])


class _NoAllowedLocations(logging.Filter):
    """Drops the warnings of a look-up that google-auth makes on the side.

    It asks Google's IAM service in which locations a service account may be used. There is no
    such account behind the emulator's credentials, and without a network nobody answers.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` is of anything else."""
        return "allowedLocations" not in record.getMessage()


def require_cloud() -> GoogleCloudSettings:
    """The settings, after a look that credentials exist.

    Raises:
        SessionError: a variable is missing, or there are no credentials.
    """
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        settings = GoogleCloudSettings.from_environment()
    except SettingsError as error:
        raise SessionError(str(error)) from error
    try:
        google.auth.default()
    except DefaultCredentialsError as error:
        raise SessionError(
            f"{PROJECT} and {BUCKET} are set, but there are no Google credentials: {error}\n"
            "  gcloud auth application-default login\n"
            "or set GOOGLE_APPLICATION_CREDENTIALS to a credentials file, "
            f"or unset {BUCKET} to work on the emulator."
        ) from error
    return settings


def prepare_dagster_home(folder: Path) -> Path:
    """Make `folder` hold a Dagster instance, and this process use it; the instance's folder.

    `DAGSTER_HOME` of the user wins. What is kept in `folder` is closed to other accounts.

    Raises:
        SessionError: something in the folder belongs to another account.
    """
    try:
        for private in _own_folders(folder):
            make_private_folder(private)
    except PermissionError as error:
        raise SessionError(str(error)) from error
    chosen = os.environ.get("DAGSTER_HOME")
    if chosen:
        return Path(chosen)
    home = (folder / "dagster").resolve()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    configuration = home / "dagster.yaml"
    if not configuration.exists():
        shipped = files("genaiops_dagster.cli").joinpath("dagster.yaml").read_text()
        configuration.write_text(shipped)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def _own_folders(folder: Path) -> list[Path]:
    """Those that exist and hold nothing but what is ours; a folder as in `--folder .` does not."""
    whole = folder.resolve().name == _DEFAULT_FOLDER
    own = [folder] if whole else [folder / "dagster", folder / "emulator"]
    return [part for part in own if part.exists()]


@contextlib.contextmanager
def _emulator(state: Path) -> Iterator[dict[str, str]]:
    """Client variables of the emulator that serves `state`; one is started when there is none."""
    environment_file = state / "environment"
    running = read_environment_file(environment_file)
    if running and answers(running):
        yield running
        return
    environment_file.unlink(missing_ok=True)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "genaiops_dagster.cli", "emulator", "--port", "0"),
                *("--state", str(state), "--stop-with-input"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the command; the emulator ends after it
        )
    try:
        yield _wait_until_ready(process, environment_file, Path(log.name))
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(
    process: subprocess.Popen[bytes], environment_file: Path, log: Path
) -> dict[str, str]:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        variables = read_environment_file(environment_file)
        if variables:
            return variables
        time.sleep(0.02)
    last_lines = log.read_text(errors="replace").splitlines()[-5:]
    raise SessionError("\n".join(["the emulator did not start:", *last_lines, f"see {log}"]))


def answers(variables: Mapping[str, str]) -> bool:
    """Whether the emulator answers that printed these client variables."""
    request = urllib.request.Request(  # noqa: S310
        f"{variables[VERTEX_URL]}/emulator/ready",
        headers={"Authorization": f"Bearer {variables.get(EMULATOR_TOKEN, '')}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=2) as response:  # noqa: S310
            return bool(json.load(response)["status"] == "ready")
    except (urllib.error.URLError, OSError, ValueError, KeyError):
        return False
