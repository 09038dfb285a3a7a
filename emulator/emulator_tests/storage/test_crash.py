"""`kill -9` while many write: what was acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from vertex_emulator.testing import RunningEmulator, start_emulator

pytestmark = pytest.mark.slow

KILLS = 20
WRITERS = 4
BUCKET = "emulated-bucket"
CHUNK = 256 * 1024


def make_content(number: int, size: int) -> bytes:
    """Bytes that show whether they are whole: their own digest comes first."""
    body = f"{number}\n".encode() + os.urandom(min(size, 1024)) * (size // 1024 + 1)
    return hashlib.sha256(body).hexdigest().encode() + body


def number_of(content: bytes) -> int:
    digest, body = content[:64], content[64:]
    assert hashlib.sha256(body).hexdigest().encode() == digest, "a half-written object is visible"
    return int(body.split(b"\n", 1)[0])


@dataclass
class Writer:
    """Writes, copies and deletes its own objects, and remembers the answers."""

    index: int
    random: random.Random
    number: int = 0
    # By name: number of the last acknowledged content (None: deleted), and what was tried since.
    acknowledged: dict[str, int | None] = field(default_factory=dict)
    tried: dict[str, set[int | None]] = field(default_factory=dict)

    def run(self, url: str) -> None:
        session = requests.Session()
        try:
            while True:
                self.step(session, url)
        except requests.RequestException:
            return  # the emulator was killed

    def step(self, session: requests.Session, url: str) -> None:
        name = f"w{self.index}-{self.random.randrange(6)}"
        action = self.random.choice(["simple", "simple", "resumable", "copy", "delete"])
        if action == "delete":
            self.attempt(
                name, None, lambda: session.delete(f"{url}/storage/v1/b/{BUCKET}/o/{name}")
            )
            return
        source = self.random.choice(sorted(self.acknowledged) or [name])
        if action == "copy" and self.acknowledged.get(source) is not None and source != name:
            path = f"{url}/storage/v1/b/{BUCKET}/o/{source}/rewriteTo/b/{BUCKET}/o/{name}"
            self.attempt(name, self.acknowledged[source], lambda: session.post(path))
            return
        self.number += 1
        content = make_content(self.number, self.random.choice([0, 3_000, 400_000, 1_500_000]))
        if action == "resumable":
            self.attempt(name, self.number, lambda: self.upload(session, url, name, content))
        else:
            path = f"{url}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}"
            self.attempt(name, self.number, lambda: session.post(path, data=content))

    def upload(self, session: Any, url: Any, name: Any, content: Any) -> requests.Response:
        path = f"{url}/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name={name}"
        location = session.post(path).headers["Location"]
        for start in range(0, len(content), CHUNK):
            chunk = content[start : start + CHUNK]
            headers = {"Content-Range": f"bytes {start}-{start + len(chunk) - 1}/{len(content)}"}
            response = session.put(location, data=chunk, headers=headers)
        return response

    def attempt(self, name: str, number: int | None, call: Callable[[], requests.Response]) -> None:
        self.tried.setdefault(name, set()).add(number)
        response = call()
        assert response.status_code in {200, 204, 404}, response.text
        self.acknowledged[name] = number
        self.tried[name] = set()

    def verify(self, session: requests.Session, url: str) -> None:
        """After a restart: each object is what was acknowledged, or what was tried after that."""
        for name in sorted({*self.acknowledged, *self.tried}):
            response = session.get(f"{url}/storage/v1/b/{BUCKET}/o/{name}?alt=media")
            found = number_of(response.content) if response.status_code == 200 else None
            possible = {self.acknowledged.get(name), *self.tried.get(name, ())}
            assert found in possible, f"{name} is {found}, acknowledged was {possible}"
            self.acknowledged[name] = found
            self.tried[name] = set()


def verify_store(running: RunningEmulator) -> None:
    """Metadata and bytes agree, and no file is left over."""
    listed = requests.get(f"{running.url}/storage/v1/b/{BUCKET}/o").json().get("items", [])
    for item in listed:
        response = requests.get(item["mediaLink"])
        assert len(response.content) == int(item["size"])
        assert response.headers["x-goog-hash"] == f"crc32c={item['crc32c']},md5={item['md5Hash']}"
        number_of(response.content)


def test_kills_at_random_moments(tmp_path: Path) -> None:
    moments = random.Random(11)
    writers = [Writer(index, random.Random(index)) for index in range(WRITERS)]
    for _ in range(KILLS):
        running = start_emulator(tmp_path / "state")
        for writer in writers:
            writer.verify(requests.Session(), running.url)
        verify_store(running)
        with ThreadPoolExecutor(WRITERS) as pool:
            runs = [pool.submit(writer.run, running.url) for writer in writers]
            time.sleep(moments.uniform(0.02, 0.8))
            running.kill()
            for run in runs:
                run.result()

    running = start_emulator(tmp_path / "state")
    for writer in writers:
        writer.verify(requests.Session(), running.url)
    verify_store(running)
    assert sum(writer.number for writer in writers) > 5 * KILLS
    contents = [p for p in (running.state / "storage/contents").rglob("*") if p.is_file()]
    versions = requests.get(f"{running.url}/storage/v1/b/{BUCKET}/o?versions=true").json()["items"]
    running.stop()
    unfinished = len(contents) - len(versions)
    assert 0 <= unfinished <= KILLS * WRITERS, "files that nothing needs were left"


def test_resumable_upload_goes_on_after_a_kill(tmp_path: Path) -> None:
    content = make_content(1, 3 * CHUNK)
    running = start_emulator(tmp_path / "state")
    path = f"{running.url}/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=a"
    location = urlsplit(requests.post(path).headers["Location"])
    address = f"{location.path}?{location.query}"
    headers = {"Content-Range": f"bytes 0-{2 * CHUNK - 1}/{len(content)}"}
    response = requests.put(f"{running.url}{address}", data=content[: 2 * CHUNK], headers=headers)
    assert response.status_code == 308
    running.kill()

    running = start_emulator(tmp_path / "state")
    url = f"{running.url}{address}"
    response = requests.put(url, headers={"Content-Range": "bytes */*"})
    assert response.headers["Range"] == f"bytes=0-{2 * CHUNK - 1}"
    headers = {"Content-Range": f"bytes {2 * CHUNK}-{len(content) - 1}/{len(content)}"}
    response = requests.put(url, data=content[2 * CHUNK :], headers=headers)
    assert response.status_code == 200
    running.kill()

    running = start_emulator(tmp_path / "state")
    response = requests.put(f"{running.url}{address}", headers={"Content-Range": "bytes */*"})
    assert response.status_code == 200
    found = requests.get(f"{running.url}/storage/v1/b/{BUCKET}/o/a?alt=media")
    assert found.content == content
    running.stop()
