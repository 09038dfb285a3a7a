"""How fast the storage emulator takes small objects, lists them, and whether it slows down.

    python benchmarks/emulator_storage.py [--uploads 10000] [--objects 100000] [--peer COMMAND]

A new emulator process is asked by Google's own client: small uploads from two processes at once and
from one, and a full list; then the same with many objects in the bucket (written over plain HTTP,
to save time); then one large object in and out. Memory is that of the emulator process (resident
set). The peer, `gcp-storage-emulator` from PyPI, needs an environment of its own; it is asked
for a tenth of the uploads, because it slows down as objects grow.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from emulator_process import cpu_seconds, megabytes, start, timed

SMALL = b"x" * 200
LARGE_BYTES = 512 * 1024 * 1024
WRITERS = 4
CLIENTS = 2
SAMPLE = 500
UPLOADER = """
import sys
from google.cloud import storage
bucket = storage.Client().bucket(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    bucket.blob(f"{sys.argv[2]}/{number:07d}").upload_from_string(b"x" * 200)
"""


def upload_from_processes(bucket: str, prefix: str, count: int) -> float:
    """Seconds that `count` uploads take from a few processes that Google's client runs in."""
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", UPLOADER),
                *(bucket, f"{prefix}{index}", str(count // CLIENTS)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for index in range(CLIENTS)
    ]
    for process in processes:
        assert process.stdout
        process.stdout.readline()

    def run() -> None:
        for process in processes:
            assert process.stdin
            process.stdin.write(b"go\n")
            process.stdin.flush()
        for process in processes:
            process.wait()

    return timed(run)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def compare(command: str, folder: Path, uploads: int, own: float) -> None:
    """The same uploads against the peer, with its data in memory, which is its fastest."""
    port = free_port()
    process = subprocess.Popen(
        [command, "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory", "--quiet"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    before = os.environ["STORAGE_EMULATOR_HOST"]
    os.environ["STORAGE_EMULATOR_HOST"] = f"http://127.0.0.1:{port}"
    try:
        from google.cloud import storage

        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        bucket = storage.Client().create_bucket("benchmark")
        seconds = timed(
            lambda: [
                bucket.blob(f"small/{number:07d}").upload_from_string(SMALL)
                for number in range(uploads)
            ]
        )
    finally:
        os.environ["STORAGE_EMULATOR_HOST"] = before
        process.terminate()
        process.wait()
    each = seconds / uploads * 1000
    print(f"peer: {uploads:,} uploads              {seconds:8.2f} s   {each:.2f} ms an upload")
    print(f"  ratio to this emulator            {each / own:8.2f}")


def fill(url: str, bucket: str, first: int, count: int) -> None:
    """Write small objects over a few plain connections."""

    def write(offset: int) -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        for number in range(first + offset, first + count, WRITERS):
            path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name=fill/{number:07d}"
            connection.request("POST", path, SMALL, {"Content-Type": "text/plain"})
            connection.getresponse().read()

    threads = [threading.Thread(target=write, args=(offset,)) for offset in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--peer", default=shutil.which("gcp-storage-emulator"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, variables = start(Path(folder))
        os.environ.update(variables)
        try:
            own = measure(process, variables, options.uploads, options.objects, Path(folder))
            if options.peer:
                compare(options.peer, Path(folder), options.uploads // 10, own)
            else:
                print(
                    "no peer: `pip install gcp-storage-emulator` elsewhere, and name it by --peer"
                )
        finally:
            process.terminate()
            process.wait()


def measure(
    process: subprocess.Popen[bytes],
    variables: dict[str, str],
    uploads: int,
    objects: int,
    folder: Path,
) -> float:
    """All figures of one emulator; milliseconds of one upload from one process."""
    from google.cloud import storage

    client = storage.Client()
    bucket = client.create_bucket("benchmark")

    def upload(prefix: str, count: int) -> None:
        for number in range(count):
            bucket.blob(f"{prefix}/{number:07d}").upload_from_string(SMALL)

    def list_all(expected: int) -> None:
        found = sum(1 for _ in client.list_blobs(bucket))
        assert found == expected, found

    upload("warm", SAMPLE)
    memory = megabytes(process)
    used = cpu_seconds(process)
    seconds = upload_from_processes(bucket.name, "small", uploads)
    used = cpu_seconds(process) - used
    listing = timed(lambda: list_all(uploads + SAMPLE))
    print(f"{uploads:,} uploads from {CLIENTS} processes      {seconds:8.2f} s")
    print(f"  of it in the emulator             {used / uploads * 1000:8.2f} ms an upload")
    print(f"list of {uploads + SAMPLE:,} objects            {listing:8.2f} s")
    print(f"uploads and list together           {seconds + listing:8.2f} s   (target: under 20 s)")
    alone = timed(lambda: upload("alone", uploads // 10)) / uploads * 10_000
    print(f"one upload from one process         {alone:8.2f} ms")

    empty = timed(lambda: upload("before", SAMPLE)) / SAMPLE
    present = uploads + uploads // 10 + 2 * SAMPLE
    fill(variables["STORAGE_EMULATOR_HOST"], bucket.name, present, max(objects - present, 0))
    full = timed(lambda: upload("after", SAMPLE)) / SAMPLE
    print(f"one upload at {present:,} objects          {empty * 1000:8.2f} ms")
    print(f"one upload at {max(objects, present):,} objects         {full * 1000:8.2f} ms")
    page = timed(lambda: next(client.list_blobs(bucket, prefix="fill/", page_size=1000).pages))
    folders = timed(lambda: list(client.list_blobs(bucket, delimiter="/")))
    print(f"one page of 1,000                   {page * 1000:8.2f} ms")
    print(f"folders of the whole bucket         {folders * 1000:8.2f} ms")
    print(f"memory at first and now             {memory:8.0f} MB {megabytes(process):8.0f} MB")

    source = folder / "large"
    with source.open("wb") as file:
        for _ in range(LARGE_BYTES // 2**20):
            file.write(os.urandom(2**20))
    blob = bucket.blob("large")
    up = timed(lambda: blob.upload_from_filename(str(source)))
    down = timed(lambda: blob.download_to_filename(str(folder / "back")))
    with source.open("rb") as one, (folder / "back").open("rb") as other:
        same = (
            hashlib.file_digest(one, "md5").digest() == hashlib.file_digest(other, "md5").digest()
        )
    assert same
    print(f"{LARGE_BYTES // 2**20} MiB in and out                 {up:8.2f} s  {down:8.2f} s")
    print(f"memory after it                     {megabytes(process):8.0f} MB")
    return alone


if __name__ == "__main__":
    main()
