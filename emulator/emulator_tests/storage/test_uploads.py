"""Uploads: https://docs.cloud.google.com/storage/docs/uploads-downloads"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from vertex_emulator.testing import RunningEmulator

MIB = 1024 * 1024


def test_upload_from_string_and_read_back(bucket: storage.Bucket) -> None:
    blob = bucket.blob("folder/a file.txt")
    blob.upload_from_string("hello", content_type="text/plain")
    assert bucket.blob("folder/a file.txt").download_as_text() == "hello"
    found = bucket.get_blob("folder/a file.txt")
    assert found.content_type == "text/plain"
    assert found.size == 5
    assert found.metageneration == 1
    assert found.storage_class == "STANDARD"
    assert found.id == f"{bucket.name}/folder/a file.txt/{found.generation}"


def test_checksums_are_the_published_ones(bucket: storage.Bucket) -> None:
    # CRC-32C (Castagnoli) of "123456789" is 0xe3069283 (RFC 3720, B.4); MD5 from RFC 1321, A.5:
    # 57edf4a22be3c955ac49da2e2107b67a is of "1234567890" repeated eight times.
    blob = bucket.blob("crc")
    blob.upload_from_string("123456789")
    assert blob.crc32c == "4waSgw=="
    blob = bucket.blob("md5")
    blob.upload_from_string("1234567890" * 8)
    assert blob.md5_hash == "V+30oivjyVWsSdouIQe2eg=="


def test_empty_object(bucket: storage.Bucket) -> None:
    blob = bucket.blob("empty")
    blob.upload_from_string(b"")
    assert bucket.get_blob("empty").size == 0
    assert bucket.blob("empty").download_as_bytes() == b""
    assert blob.crc32c == "AAAAAA=="


def test_upload_from_filename_guesses_the_type(bucket: storage.Bucket, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text("{}")
    bucket.blob("rows.json").upload_from_filename(str(path))
    assert bucket.get_blob("rows.json").content_type == "application/json"


def test_metadata_goes_with_the_upload(bucket: storage.Bucket) -> None:
    blob = bucket.blob("described")
    blob.metadata = {"owner": "tests", "é": "ü"}
    blob.cache_control = "no-cache"
    blob.content_disposition = "inline"
    blob.content_language = "fr"
    blob.upload_from_string("x")
    found = bucket.get_blob("described")
    assert found.metadata == {"owner": "tests", "é": "ü"}
    assert found.cache_control == "no-cache"
    assert found.content_disposition == "inline"
    assert found.content_language == "fr"


def test_simple_upload(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator
) -> None:
    # https://docs.cloud.google.com/storage/docs/uploading-objects#rest-upload-objects
    response = http.post(
        f"{emulator.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=a%2Fb",
        data=b"\x00\x01",
        headers={"Content-Type": "image/png"},
    )
    assert response.status_code == 200
    resource = response.json()
    assert resource["kind"] == "storage#object"
    assert (resource["name"], resource["size"]) == ("a/b", "2")
    assert resource["contentType"] == "image/png"


def test_body_of_unknown_length(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator
) -> None:
    response = http.post(
        f"{emulator.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=chunked",
        data=iter([b"abc", b"def"]),
    )
    assert response.status_code == 200
    assert bucket.blob("chunked").download_as_bytes() == b"abcdef"


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
@pytest.mark.parametrize("data", [b"", b"x\r", b"\r\n", b"--limit", b"\n--limi", b"\x00" * 70000])
def test_multipart_upload_keeps_every_byte(
    bucket: storage.Bucket,
    http: requests.Session,
    emulator: RunningEmulator,
    newline: str,
    data: Any,
) -> None:
    # https://docs.cloud.google.com/storage/docs/uploading-objects#rest-upload-objects
    head = newline.join(
        [
            "--limits",
            "Content-Type: application/json; charset=UTF-8",
            "",
            json.dumps({"name": "parts", "metadata": {"a": "b"}}),
            "--limits",
            "Content-Type: text/csv",
            "",
            "",
        ]
    )
    response = http.post(
        f"{emulator.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart",
        data=head.encode() + data + f"{newline}--limits--".encode(),
        headers={"Content-Type": "multipart/related; boundary=limits"},
    )
    assert response.status_code == 200, response.text
    assert response.json()["contentType"] == "text/csv"
    assert response.json()["metadata"] == {"a": "b"}
    assert bucket.blob("parts").download_as_bytes() == data


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary",
        b"--limits\r\n\r\n{}\r\n--limits--",
        b'--limits\r\n\r\n{"name": "x"}\r\n--limits\r\n\r\ndata',
        b'--limits\r\n\r\n{"name": "x"}\r\n--limits\r\n\r\na\r\n--limits\r\n\r\nb\r\n--limits--',
        b'--limits\r\n\r\n{"name"}\r\n--limits\r\n\r\na\r\n--limits--',
    ],
)
def test_malformed_multipart_leaves_nothing(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator, body: bytes
) -> None:
    response = http.post(
        f"{emulator.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart",
        data=body,
        headers={"Content-Type": "multipart/related; boundary=limits"},
    )
    assert response.status_code == 400
    assert not list(bucket.list_blobs())


@pytest.mark.parametrize("checksum", ["md5", "crc32c", None])
def test_client_side_checksums(bucket: storage.Bucket, checksum: str | None) -> None:
    bucket.blob("checked").upload_from_file(io.BytesIO(b"data"), checksum=checksum)
    assert bucket.blob("checked").download_as_bytes(checksum=checksum) == b"data"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Goog-Hash": "crc32c=AAAAAA=="},
        {"X-Goog-Hash": "md5=XUFAKrxLKna5cZ2REBfFkA=="},
        {"Content-MD5": "XUFAKrxLKna5cZ2REBfFkA=="},
    ],
)
def test_wrong_checksum_is_refused(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator, headers: Any
) -> None:
    # https://docs.cloud.google.com/storage/docs/data-validation
    response = http.post(
        f"{emulator.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=wrong",
        data=b"hello",
        headers=headers,
    )
    assert response.status_code == 400
    assert "doesn't match" in response.json()["error"]["message"]
    assert bucket.get_blob("wrong") is None


def test_large_objects_survive_both_ways(bucket: storage.Bucket, tmp_path: Path) -> None:
    data = os.urandom(1024) * 9 * 1024  # above the 8 MiB at which the client turns to resumable
    path = tmp_path / "large"
    path.write_bytes(data)
    bucket.blob("large").upload_from_filename(str(path))
    target = tmp_path / "back"
    bucket.blob("large").download_to_filename(str(target))
    assert target.read_bytes() == data


def test_writing_to_a_file_object(bucket: storage.Bucket) -> None:
    # https://docs.cloud.google.com/storage/docs/samples/storage-fileio-write-read
    with bucket.blob("story").open("w") as file:
        file.write("Hello world")
    with bucket.blob("story").open("r") as file:
        assert file.read() == "Hello world"
    with bucket.blob("story").open("rb") as file:
        file.seek(6)
        assert file.read() == b"world"


def test_concurrent_uploads_of_files(bucket: storage.Bucket, tmp_path: Path) -> None:
    from google.cloud.storage import transfer_manager

    names = [f"{index}.txt" for index in range(8)]
    for name in names:
        (tmp_path / name).write_text(name)
    results = transfer_manager.upload_many_from_filenames(
        bucket, names, source_directory=str(tmp_path), worker_type="thread", max_workers=4
    )
    assert results == [None] * 8
    blobs = [bucket.blob(name) for name in names]
    pairs = [(blob, str(tmp_path / f"back-{blob.name}")) for blob in blobs]
    transfer_manager.download_many(pairs, worker_type="thread", max_workers=4)
    assert [(tmp_path / f"back-{name}").read_text() for name in names] == names


def test_upload_into_a_missing_bucket(client: storage.Client) -> None:
    with pytest.raises(exceptions.NotFound):
        client.bucket("test-no-such-bucket").blob("a").upload_from_string("a")


@pytest.mark.parametrize(
    "name",
    # https://docs.cloud.google.com/storage/docs/objects#naming
    [".", "..", "a\nb", "a\rb", ".well-known/acme-challenge/x", "x" * 1025],
)
def test_bad_object_names(bucket: storage.Bucket, name: str) -> None:
    with pytest.raises(exceptions.BadRequest):
        bucket.blob(name).upload_from_string("x")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../../etc/passwd",
            "/absolute",
            "a//b",
            "a/../b",
            "a/./b",
            "%2e%2e%2f",
            "a%00b",
            "a\x00b",
        ),
        *("tab\t", " lead", "trail ", "café", "日本語", "🦆", "a?b#c&d=e", "a+b", '"quoted"', "\\"),
        *("x" * 1024, "é" * 512, "con", "gs://x", "#", "[*]", "\ufffd", "\x7f", "o/compose"),
    ],
)
def test_hostile_names_are_only_names(
    bucket: storage.Bucket, emulator: RunningEmulator, name: Any
) -> None:
    blob = bucket.blob(name)
    blob.upload_from_string(name.encode())
    assert bucket.blob(name).download_as_bytes() == name.encode()
    assert [b.name for b in bucket.list_blobs()] == [name]
    assert bucket.get_blob(name).generation == blob.generation
    blob.delete()
    stored = {path.name for path in emulator.state.rglob("*")}
    assert not any(part in stored for part in ("passwd", "absolute", "etc"))
