"""The command `vertex-emulator`."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from pathlib import Path

from vertex_emulator import __version__
from vertex_emulator.config import EmulatorConfig

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM, and print the variables that point Google's clients here.

    Args:
        arguments: Words of the command line; those of this process unless given.

    Raises:
        SystemExit: with 2 when an option is wrong, with 1 when the state folder is in use.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    # Imported late, so that help and version come at once.
    from vertex_emulator.access import TOKEN_VARIABLE
    from vertex_emulator.environment import write_environment_file
    from vertex_emulator.fault_kinds import FaultPlanError
    from vertex_emulator.iam import IamFileError
    from vertex_emulator.server import StateInUseError, serve

    env_file: Path | None = given.env_file
    if env_file is not None:
        # A process that waits for this file must not find one from an earlier start.
        env_file.parent.mkdir(parents=True, exist_ok=True)
        env_file.unlink(missing_ok=True)
    config = EmulatorConfig(
        state=given.state.resolve(),
        port=given.port,
        tuning_seconds=given.tuning_seconds,
        faults=given.faults,
        iam=given.iam,
    )

    def announce(url: str, variables: dict[str, str]) -> None:
        if env_file is not None:
            write_environment_file(env_file, variables)
        lines = "".join(f"export {name}='{value}'\n" for name, value in variables.items())
        if sys.stdout.isatty():
            print(_visible(lines), end="", flush=True)
        else:  # perhaps a log, which others may read
            shown = lines.replace(variables[TOKEN_VARIABLE], f"'see {given.state}/environment'")
            print(shown, end="", flush=True)
        print(f"# ready on {url}", file=sys.stderr, flush=True)

    try:
        serve(
            config,
            on_ready=announce,
            stop_when_input_ends=given.stop_with_input,
            stop_when_free=given.stop_when_free,
            reset=given.reset,
        )
    except FaultPlanError as error:
        parser.error(_visible(f"argument --faults: {given.faults}: {error}"))
    except IamFileError as error:
        parser.error(_visible(f"argument --iam: {given.iam}: {error}"))
    except StateInUseError as error:
        parser.exit(1, _visible(f"{parser.prog}: {error}\n"))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        parser.error(
            f"argument --port: {given.port} is taken by another process; 0 takes a free one"
        )
    except KeyboardInterrupt:
        parser.exit(_INTERRUPTED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "vertex-emulator",
        description="Serve Google's APIs on loopback, and print the variables that point clients "
        "here.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    add = parser.add_argument
    add(
        "--port",
        type=int,
        default=8765,
        help="TCP port, %(default)s unless given; 0 takes a free one.",
    )
    add(
        "--state",
        type=Path,
        default=Path(".genaiops/emulator"),
        metavar="FOLDER",
        help="Folder that holds its state, %(default)s unless given.",
    )
    add(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="Write the client variables here when ready.",
    )
    add("--reset", action="store_true", help="Clear the state first.")
    add(
        "--tuning-seconds",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="Least duration of a tuning job, %(default)s unless given.",
    )
    add(
        "--faults",
        type=_existing_file,
        metavar="FILE",
        help="File of faults in force from the start, YAML or JSON.",
    )
    add(
        "--iam",
        type=_existing_file,
        metavar="FILE",
        help="File of who may do what, YAML or JSON; everything is allowed unless given.",
    )
    add("--stop-with-input", action="store_true", help="Stop when standard input closes.")
    add(
        "--stop-when-free",
        type=Path,
        metavar="FILE",
        help="Stop when no process holds a lock on this file any more.",
    )
    return parser


def _existing_file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(_visible(f"there is no file {text}"))
    return path


def _visible(text: str) -> str:
    """`text` with the characters that would control a terminal spelled out."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)
