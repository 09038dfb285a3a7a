"""Where a command works: on Google Cloud when it is configured, else on an emulator of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from genaiops_dagster.cli.emulator_process import EmulatorError, Served, serving
from genaiops_dagster.cli.private_folders import make_private_folder
from genaiops_dagster.cli.terminal import Terminal, styled
from genaiops_dagster.google_cloud.settings import (
    BUCKET,
    PROJECT,
    VERTEX_URL,
    GoogleCloudSettings,
    SettingsError,
)

if TYPE_CHECKING:
    import dagster as dg

_DEFAULT_FOLDER = ".genaiops"
_OVERRIDDEN = ("GOOGLE_API_KEY", "GEMINI_API_KEY", "CLOUDSDK_CORE_PROJECT")


class SessionError(RuntimeError):
    """The command cannot start; the message says what is missing and how to set it."""


_WATCH_SECONDS = 1.0
_MOST_SILENT = 3
"""So often an emulator of somebody else's may not answer before it counts as gone."""

_INTERRUPT_SECONDS = 3.0


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
    with contextlib.ExitStack() as stack:
        try:
            served = stack.enter_context(serving(folder / "emulator"))
        except EmulatorError as error:
            raise SessionError(str(error)) from error
        variables = served.variables
        for name in _OVERRIDDEN:
            os.environ.pop(name, None)
        os.environ.update(variables)
        with _ended_with(served):
            yield Session(folder, GoogleCloudSettings.from_environment(), variables[VERTEX_URL])


@contextlib.contextmanager
def _ended_with(served: Served) -> Iterator[None]:
    """End the command when its emulator ends, within seconds and with a sentence.

    Without it, Google's clients would try for minutes to reach a server that is gone. The block is
    interrupted as by Ctrl-C; if it does not end then, because a thread of it waits, the process
    ends.

    Raises:
        SessionError: the emulator has ended.
    """
    over, why = threading.Event(), list[str]()

    def watch() -> None:
        silent = 0
        while not over.wait(_WATCH_SECONDS):
            found = served.why_gone()
            silent = silent + 1 if found else 0
            if found and (served.process is not None or silent >= _MOST_SILENT):
                why.append(found)
                os.kill(os.getpid(), signal.SIGINT)
                break
        if why and not over.wait(_INTERRUPT_SECONDS):
            Terminal(stderr=True).print(styled("Error:", "bold red"), why[0], soft_wrap=True)
            os._exit(1)

    thread = threading.Thread(target=watch, name="emulator-watch", daemon=True)
    thread.start()
    try:
        yield
    except BaseException as error:
        if why:
            raise SessionError(why[0]) from error
        raise
    finally:
        over.set()
        thread.join()
    if why:
        raise SessionError(why[0])


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


@contextlib.contextmanager
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of this process.

    Its tables are created by one process at a time: two that create them at once leave a state of
    migration that no process can read afterwards.
    """
    import dagster as dg

    with contextlib.ExitStack() as stack:
        with FileLock(Path(os.environ["DAGSTER_HOME"]) / "creating.lock"):
            instance = stack.enter_context(dg.DagsterInstance.get())
        yield instance


def _own_folders(folder: Path) -> list[Path]:
    """Those that exist and hold nothing but what is ours; a folder as in `--folder .` does not."""
    whole = folder.resolve().name == _DEFAULT_FOLDER
    own = [folder] if whole else [folder / "dagster", folder / "emulator"]
    return [part for part in own if part.exists()]
