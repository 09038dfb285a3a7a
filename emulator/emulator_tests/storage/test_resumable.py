"""Resumable uploads: https://docs.cloud.google.com/storage/docs/performing-resumable-uploads"""

from __future__ import annotations

import http.client
import io
import json
import os
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import google.auth.transport.requests
import pytest
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage._media.requests import ResumableUpload

from vertex_emulator.testing import RunningEmulator

QUANTUM = 256 * 1024


@pytest.fixture
def start(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator
) -> Callable[..., str]:
    """Starts a session; returns its address."""

    def begin(name: str = "object", headers: Any = None, query: str = "", **metadata: Any) -> Any:
        response = http.post(
            f"{emulator.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable{query}",
            json={"name": name, **metadata},
            headers=headers,
        )
        assert response.status_code == 200, response.text
        return response.headers["Location"]

    return begin


def put(http: Any, location: Any, content_range: Any, data: bytes = b"", **headers: Any) -> Any:
    return http.put(location, data=data, headers={"Content-Range": content_range, **headers})


def test_chunks_of_an_unknown_total(
    start: Callable[..., str], http: requests.Session, bucket: storage.Bucket
) -> None:
    data = os.urandom(QUANTUM + 5)
    location = start(metadata={"a": "b"}, contentType="text/x-test")
    response = put(http, location, f"bytes 0-{QUANTUM - 1}/*", data[:QUANTUM])
    assert response.status_code == 308
    assert response.headers["Range"] == f"bytes=0-{QUANTUM - 1}"
    response = put(http, location, f"bytes {QUANTUM}-{QUANTUM + 4}/{QUANTUM + 5}", data[QUANTUM:])
    assert response.status_code == 200
    assert response.json()["contentType"] == "text/x-test"
    blob = bucket.get_blob("object")
    assert blob.metadata == {"a": "b"}
    assert blob.download_as_bytes() == data


def test_status_query(start: Callable[..., str], http: requests.Session) -> None:
    location = start()
    response = put(http, location, "bytes */*")
    assert response.status_code == 308
    assert "Range" not in response.headers
    put(http, location, f"bytes 0-{QUANTUM - 1}/{3 * QUANTUM}", b"x" * QUANTUM)
    response = put(http, location, f"bytes */{3 * QUANTUM}")
    assert response.status_code == 308
    assert response.headers["Range"] == f"bytes=0-{QUANTUM - 1}"


def test_only_whole_quanta_of_a_middle_chunk_are_kept(
    start: Callable[..., str], http: requests.Session
) -> None:
    # "the chunk size must be a multiple of 256 KiB"
    location = start()
    size = QUANTUM + 100
    response = put(http, location, f"bytes 0-{size - 1}/*", b"x" * size)
    assert response.headers["Range"] == f"bytes=0-{QUANTUM - 1}"


def test_bytes_sent_again_are_ignored(
    start: Callable[..., str], http: requests.Session, bucket: storage.Bucket
) -> None:
    # https://docs.cloud.google.com/storage/docs/resumable-uploads#resent-data
    data = os.urandom(2 * QUANTUM)
    location = start()
    put(http, location, f"bytes 0-{QUANTUM - 1}/*", data[:QUANTUM])
    response = put(
        http, location, f"bytes 0-{2 * QUANTUM - 1}/{2 * QUANTUM}", b"?" * QUANTUM + data[QUANTUM:]
    )
    assert response.status_code == 200
    assert bucket.blob("object").download_as_bytes() == data


def test_finished_without_more_bytes(
    start: Callable[..., str], http: requests.Session, bucket: storage.Bucket
) -> None:
    location = start()
    put(http, location, f"bytes 0-{QUANTUM - 1}/*", b"y" * QUANTUM)
    response = put(http, location, f"bytes */{QUANTUM}")
    assert response.status_code == 200
    assert response.json()["size"] == str(QUANTUM)
    assert bucket.get_blob("object").size == QUANTUM


def test_lost_answer_is_given_again(start: Callable[..., str], http: requests.Session) -> None:
    location = start()
    first = put(http, location, "bytes 0-2/3", b"abc")
    again = put(http, location, "bytes */3")
    assert again.status_code == 200
    assert again.json() == first.json()
    assert put(http, location, "bytes 0-2/3", b"abc").json() == first.json()


def test_whole_object_in_one_request(
    start: Callable[..., str], http: requests.Session, bucket: storage.Bucket
) -> None:
    response = http.put(start(), data=b"all of it")
    assert response.status_code == 200
    assert bucket.blob("object").download_as_bytes() == b"all of it"


def test_empty_object(
    start: Callable[..., str], http: requests.Session, bucket: storage.Bucket
) -> None:
    assert put(http, start(), "bytes */0").status_code == 200
    assert bucket.get_blob("object").size == 0


def test_cancelled(
    start: Callable[..., str], http: requests.Session, bucket: storage.Bucket
) -> None:
    # https://docs.cloud.google.com/storage/docs/performing-resumable-uploads#cancel-upload
    location = start()
    put(http, location, f"bytes 0-{QUANTUM - 1}/*", b"x" * QUANTUM)
    assert http.delete(location).status_code == 499
    assert 400 <= put(http, location, "bytes */*").status_code < 500
    assert bucket.get_blob("object") is None


@pytest.mark.parametrize(
    ("content_range", "data"),
    [
        ("bytes 10-19/20", b"x" * 10),
        ("bytes 0-9/5", b"x" * 10),
        ("bytes 0-9/20", b"x" * 5),
        ("bytes 0-4/20", b"x" * 10),
        ("bytes 9-0/20", b"x" * 10),
        ("bites 0-9/20", b"x" * 10),
        ("bytes -1-9/20", b"x" * 10),
    ],
)
def test_wrong_ranges(
    start: Callable[..., str], http: requests.Session, content_range: str, data: Any
) -> None:
    assert put(http, start(), content_range, data).status_code == 400


def test_announced_length_is_held_to(start: Callable[..., str], http: requests.Session) -> None:
    location = start(headers={"X-Upload-Content-Length": "10"})
    assert put(http, location, "bytes 0-4/5", b"x" * 5).status_code == 400
    assert put(http, location, "bytes 0-9/10", b"x" * 10).status_code == 200


def test_announced_type(start: Callable[..., str], http: requests.Session) -> None:
    location = start(headers={"X-Upload-Content-Type": "image/png"})
    assert put(http, location, "bytes 0-0/1", b"x").json()["contentType"] == "image/png"


def test_wrong_checksum_at_the_end(
    start: Callable[..., str], http: requests.Session, bucket: storage.Bucket
) -> None:
    location = start()
    response = put(http, location, "bytes 0-4/5", b"hello", **{"X-Goog-Hash": "crc32c=AAAAAA=="})
    assert response.status_code == 400
    assert bucket.get_blob("object") is None


def test_wrong_checksum_announced_at_the_start(
    start: Callable[..., str], http: requests.Session, bucket: storage.Bucket
) -> None:
    location = start(crc32c="AAAAAA==")
    assert put(http, location, "bytes 0-4/5", b"hello").status_code == 400
    assert bucket.get_blob("object") is None


def test_preconditions_hold_at_the_end(
    start: Callable[..., str], http: requests.Session, bucket: storage.Bucket
) -> None:
    location = start(query="&ifGenerationMatch=0")
    bucket.blob("object").upload_from_string("first")
    assert put(http, location, "bytes 0-2/3", b"abc").status_code == 412
    assert bucket.blob("object").download_as_bytes() == b"first"


def test_preconditions_hold_at_the_start(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator
) -> None:
    bucket.blob("object").upload_from_string("first")
    response = http.post(
        f"{emulator.url}/upload/storage/v1/b/{bucket.name}/o"
        "?uploadType=resumable&name=object&ifGenerationMatch=0"
    )
    assert response.status_code == 412


def test_broken_connection_is_resumed_where_it_broke(
    start: Callable[..., str], http: requests.Session, bucket: storage.Bucket
) -> None:
    data = os.urandom(8 * QUANTUM)
    location = start()
    parts = urlsplit(location)
    connection = http_client(parts)
    connection.putrequest("PUT", f"{parts.path}?{parts.query}")
    connection.putheader("Content-Length", str(len(data)))
    connection.putheader("Content-Range", f"bytes 0-{len(data) - 1}/{len(data)}")
    connection.endheaders()
    connection.send(data[: 5 * QUANTUM])
    connection.close()

    response = put(http, location, "bytes */*")
    assert response.status_code == 308
    start_at = (
        int(response.headers["Range"].split("-")[1]) + 1 if "Range" in response.headers else 0
    )
    assert start_at <= 5 * QUANTUM
    rest = f"bytes {start_at}-{len(data) - 1}/{len(data)}"
    assert put(http, location, rest, data[start_at:]).status_code == 200
    assert bucket.blob("object").download_as_bytes() == data


def http_client(parts: Any) -> Any:
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)


def test_googles_upload_recovers(bucket: storage.Bucket, emulator: RunningEmulator) -> None:
    # https://docs.cloud.google.com/storage/docs/resumable-uploads, with the library's own object
    data = os.urandom(3 * QUANTUM + 7)
    session = google.auth.transport.requests.AuthorizedSession(AnonymousCredentials())
    url = f"{emulator.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable"
    upload = ResumableUpload(url, QUANTUM)
    upload.initiate(session, io.BytesIO(data), {"name": "recovered"}, "text/plain")
    upload.transmit_next_chunk(session)
    upload._make_invalid()
    upload.recover(session)
    assert upload.bytes_uploaded == QUANTUM
    while not upload.finished:
        upload.transmit_next_chunk(session)
    assert bucket.blob("recovered").download_as_bytes() == data


def test_session_made_for_somebody_else(bucket: storage.Bucket, http: requests.Session) -> None:
    # https://docs.cloud.google.com/storage/docs/resumable-uploads#session-uris
    location = bucket.blob("handed-over").create_resumable_upload_session(content_type="text/csv")
    assert http.put(location, data=b"a,b").status_code == 200
    assert bucket.get_blob("handed-over").content_type == "text/csv"


def test_chunked_upload_of_the_client(bucket: storage.Bucket) -> None:
    data = os.urandom(QUANTUM * 3 + 1)
    blob = bucket.blob("chunked", chunk_size=QUANTUM)
    blob.upload_from_file(io.BytesIO(data))
    assert bucket.blob("chunked").download_as_bytes() == data
    with bucket.blob("stream").open("wb", chunk_size=QUANTUM) as file:
        file.write(data)
    assert bucket.get_blob("stream").size == len(data)


def test_upload_type_is_checked(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator
) -> None:
    url = f"{emulator.url}/upload/storage/v1/b/{bucket.name}/o"
    assert http.post(f"{url}?uploadType=carrier-pigeon&name=a").status_code == 400
    assert http.post(f"{url}?name=a").status_code == 400
    assert http.put(f"{url}?upload_id=unknown", data=b"x").status_code == 404


def test_one_session_used_by_many_at_once(
    start: Callable[..., str], http: requests.Session, bucket: storage.Bucket
) -> None:
    data = os.urandom(2 * QUANTUM)
    location = start()
    statuses = []

    def send() -> None:
        response = put(http, location, f"bytes 0-{len(data) - 1}/{len(data)}", data)
        statuses.append((response.status_code, json.loads(response.text)["generation"]))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(statuses)) == 1
    assert statuses[0][0] == 200
    assert bucket.blob("object").download_as_bytes() == data


def test_no_bucket_any_more(
    client: storage.Client,
    http: requests.Session,
    new_bucket: Callable[..., storage.Bucket],
    emulator: RunningEmulator,
) -> None:
    bucket = new_bucket()
    location = bucket.blob("late").create_resumable_upload_session()
    bucket.delete()
    assert http.put(location, data=b"x").status_code == 404
    with pytest.raises(exceptions.NotFound):
        client.get_bucket(bucket.name)
