"""The processes that run the tasks of pipelines (`pipeline_task.py`), at most two at once."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from vertex_emulator.config import EmulatorConfig
from vertex_emulator.environment import CREDENTIALS_FILE, client_variables

_AT_ONCE = 2
_LOG_LINES = 12
_COLOUR = re.compile(r"\x1b\[\d+m")
_RUNNERS_OWN = re.compile(r"- (INFO|ERROR) - Task |^-+$")


class TaskProcesses:
    """Starts the processes of tasks and ends them.

    Attributes:
        slots: Held by a task from before its process starts until it has ended.
    """

    def __init__(self, config: EmulatorConfig) -> None:
        self._config = config
        self.slots = threading.Semaphore(_AT_ONCE)
        self._running: dict[str, set[subprocess.Popen[bytes]]] = {}

    def folder(self, job: str) -> Path:
        """Where the files of the tasks of the job called `job` are."""
        return self._config.state / "vertex" / "pipelines" / ".".join(job.split("/")[1::2])

    def run(self, job: str, folder: Path, check: Callable[[], None]) -> tuple[int, str]:
        """Run the task that `folder` describes; its exit status, and the end of what it printed.

        Args:
            job: Name of the job, by which `stop` finds the process.
            folder: The folder of the task.
            check: Called once `stop` would find the process; raises when the job is to end.
        """
        url = f"http://{self._config.host}:{self._config.port}"
        variables = client_variables(self._config, url, self._config.state / CREDENTIALS_FILE)
        running = self._running.setdefault(job, set())
        log = folder / "log.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "vertex_emulator.vertex.pipeline_task", folder],
                stdin=subprocess.PIPE,  # its end tells the task that the emulator is gone
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, **variables, "PYTHONPATH": os.pathsep.join(_import_path())},
                start_new_session=True,
            )
            running.add(process)
            try:
                check()
                status = process.wait()
            except BaseException:
                _kill(process)
                process.wait()
                raise
            finally:
                running.discard(process)
                if process.stdin:
                    process.stdin.close()
        return status, _last_words(log.read_text(errors="replace"))

    def stop(self, job: str) -> None:
        """End the processes of the job called `job`."""
        for process in list(self._running.get(job, ())):
            _kill(process)

    def stop_all(self) -> None:
        """End the processes of all jobs."""
        for job in list(self._running):
            self.stop(job)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _last_words(printed: str) -> str:
    """The end of what a task printed, without what KFP's runner says after it."""
    lines = _COLOUR.sub("", printed).splitlines()
    told = [line for line in lines if line.strip() and not _RUNNERS_OWN.search(line)]
    return "\n".join(told[-_LOG_LINES:])


def _import_path() -> list[str]:
    """The module search path of this process, for tasks, which run in other folders."""
    return [str(Path(entry or ".").resolve()) for entry in sys.path]
