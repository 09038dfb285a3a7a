"""The state of an emulator is for the account that it runs as, whatever the umask is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from google.cloud import storage

from vertex_emulator.private_files import keep_private, make_private_folder
from vertex_emulator.testing import RunningEmulator


def open_to_others(folder: Path) -> dict[str, str]:
    """Mode of whatever group or others may do something with, the folder itself included."""
    paths = [folder, *(path for path in folder.rglob("*") if not path.is_symlink())]
    modes = {str(path): stat.S_IMODE(path.stat().st_mode) for path in paths}
    return {path: oct(mode) for path, mode in modes.items() if mode & 0o077}


def test_a_server_keeps_its_state_private_and_closes_what_it_finds(
    tmp_path: Path, emulator: RunningEmulator
) -> None:
    state = tmp_path / "state"
    (state / "storage").mkdir(parents=True)
    (state / "storage" / "old").touch()
    state.chmod(0o755)
    server = (
        "import sys; from pathlib import Path\n"
        "from vertex_emulator.config import EmulatorConfig\n"
        "from vertex_emulator.server import serve\n"
        "config = EmulatorConfig(Path(sys.argv[1]), seed_public_data=False)\n"
        "serve(config, on_ready=lambda url, _: print(url, flush=True), stop_when_input_ends=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", server, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        umask=0o022,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        client = storage.Client(client_options={"api_endpoint": url})
        client.bucket("emulated-bucket").blob("secret").upload_from_string("x" * 100_000)
        assert (state / "credentials.json").exists()
        assert open_to_others(state) == {}
    finally:
        process.communicate(timeout=30)


def test_what_is_not_the_emulators_stays_as_it_is(tmp_path: Path) -> None:
    """`--state .` in a project: its own files are nobody else's business."""
    theirs = tmp_path / "src" / "a.py"
    theirs.parent.mkdir()
    for path, mode in ((tmp_path, 0o755), (theirs.parent, 0o755)):
        path.chmod(mode)
    theirs.touch()
    theirs.chmod(0o644)
    (tmp_path / "storage").mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        keep_private(tmp_path, {"storage", "lock"})
    finally:
        os.umask(before)
    modes = {str(path): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {
        str(theirs.parent): 0o755,
        str(theirs): 0o644,
        str(tmp_path / "storage"): 0o700,
    }
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_link_in_a_folder_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.touch()
    theirs.chmod(0o644)
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "link").symlink_to(theirs)
    (folder / "program").touch()
    (folder / "program").chmod(0o755)

    make_private_folder(folder)

    assert stat.S_IMODE(theirs.stat().st_mode) == 0o644
    assert stat.S_IMODE((folder / "program").stat().st_mode) == 0o700
    assert open_to_others(folder) == {}


def test_a_folder_that_vanishes_meanwhile_is_no_error(tmp_path: Path) -> None:
    """Databases come and go next to their journals while another process writes to the folder."""
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o755)
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            (folder / "journal").touch()
            (folder / "journal").unlink()

    with ThreadPoolExecutor(1) as other:
        written = other.submit(come_and_go)
        try:
            for _ in range(1000):
                folder.chmod(0o755)
                make_private_folder(folder)
        finally:
            stop.set()
        written.result()
