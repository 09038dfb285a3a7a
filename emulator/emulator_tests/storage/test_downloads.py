"""Downloads: https://docs.cloud.google.com/storage/docs/json_api/v1/objects/get"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from vertex_emulator.testing import RunningEmulator

DIGITS = b"0123456789"


@pytest.fixture
def digits(bucket: storage.Bucket) -> storage.Blob:
    blob = bucket.blob("digits")
    blob.upload_from_string(DIGITS)
    return blob


@pytest.fixture
def media(digits: storage.Blob, emulator: RunningEmulator) -> str:
    """Address of the ten digits."""
    return f"{emulator.url}/storage/v1/b/{digits.bucket.name}/o/digits?alt=media"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 3, b"0123"), (4, 5, b"45"), (7, None, b"789"), (None, 0, b"0"), (-3, None, b"789")],
)
def test_ranges_of_the_client(
    digits: storage.Blob, start: int | None, end: int | None, expected: bytes
) -> None:
    # https://docs.cloud.google.com/storage/docs/samples/storage-download-byte-range
    assert digits.download_as_bytes(start=start, end=end, checksum=None) == expected


@pytest.mark.parametrize(
    ("header", "content_range", "expected"),
    # https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2
    [
        ("bytes=0-0", "bytes 0-0/10", b"0"),
        ("bytes=5-", "bytes 5-9/10", b"56789"),
        ("bytes=-4", "bytes 6-9/10", b"6789"),
        ("bytes=-99", "bytes 0-9/10", DIGITS),
        ("bytes=8-99", "bytes 8-9/10", b"89"),
    ],
)
def test_range_headers(
    http: requests.Session, media: str, header: str, content_range: str, expected: Any
) -> None:
    response = http.get(media, headers={"Range": header})
    assert response.status_code == 206
    assert response.headers["Content-Range"] == content_range
    assert response.headers["Content-Length"] == str(len(expected))
    assert response.content == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_ranges_that_do_not_exist(http: requests.Session, media: str, header: str) -> None:
    response = http.get(media, headers={"Range": header})
    assert response.status_code == 416
    assert response.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize(
    "header", ["bytes=0-1,4-5", "lines=0-1", "bytes=x-y", "bytes=5-2", "bytes=-"]
)
def test_ranges_that_are_ignored(http: requests.Session, media: str, header: str) -> None:
    response = http.get(media, headers={"Range": header})
    assert (response.status_code, response.content) == (200, DIGITS)


def test_range_of_an_empty_object(bucket: storage.Bucket) -> None:
    blob = bucket.blob("empty")
    blob.upload_from_string(b"")
    with bucket.blob("empty").open("rb") as file:
        assert file.read() == b""


def test_range_past_the_end(digits: storage.Blob) -> None:
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        digits.download_as_bytes(start=10)


def test_ranges_of_a_large_object(bucket: storage.Bucket) -> None:
    data = os.urandom(5 * 1024 * 1024 + 3)
    bucket.blob("large").upload_from_string(data)
    found = bucket.blob("large").download_as_bytes(start=1_000_001, end=4_000_000, checksum=None)
    assert found == data[1_000_001:4_000_001]


def test_chunked_download(bucket: storage.Bucket, tmp_path: Path) -> None:
    from google.cloud.storage import transfer_manager

    data = os.urandom(3 * 1024 * 1024)
    bucket.blob("large").upload_from_string(data)
    target = tmp_path / "large"
    transfer_manager.download_chunks_concurrently(
        bucket.blob("large"), str(target), chunk_size=1024 * 1024, worker_type="thread"
    )
    assert target.read_bytes() == data


def test_headers_describe_the_object(
    http: requests.Session, media: str, digits: storage.Blob
) -> None:
    # https://docs.cloud.google.com/storage/docs/xml-api/reference-headers
    headers = http.get(media).headers
    assert headers["x-goog-generation"] == str(digits.generation)
    assert headers["x-goog-metageneration"] == "1"
    assert headers["x-goog-stored-content-length"] == "10"
    assert headers["x-goog-stored-content-encoding"] == "identity"
    assert headers["x-goog-storage-class"] == "STANDARD"
    assert headers["x-goog-hash"] == f"crc32c={digits.crc32c},md5={digits.md5_hash}"
    assert headers["ETag"] == digits.etag


def test_media_link_works(http: requests.Session, digits: storage.Blob) -> None:
    assert http.get(digits.media_link).content == DIGITS


def test_missing_object(bucket: storage.Bucket) -> None:
    with pytest.raises(exceptions.NotFound, match="No such object"):
        bucket.blob("missing").download_as_bytes()
    assert not bucket.blob("missing").exists()
    assert bucket.get_blob("missing") is None


def test_etag_conditions(bucket: storage.Bucket, digits: storage.Blob) -> None:
    # https://docs.cloud.google.com/storage/docs/request-preconditions (ETags)
    assert digits.download_as_bytes(if_etag_match=digits.etag) == DIGITS
    with pytest.raises(exceptions.NotModified):
        digits.download_as_bytes(if_etag_not_match=digits.etag)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("digits").reload(if_etag_match="CAEQAQ==")
    digits.reload(if_etag_match=digits.etag)


class TestTranscoding:
    """https://docs.cloud.google.com/storage/docs/transcoding"""

    TEXT = b"the same words again and again, " * 100_000

    @pytest.fixture
    def packed(self, bucket: storage.Bucket) -> Any:
        blob = bucket.blob("packed.txt")
        blob.content_encoding = "gzip"
        blob.upload_from_string(gzip.compress(self.TEXT), content_type="text/plain")
        return blob

    @pytest.fixture
    def url(self, packed: Any, emulator: RunningEmulator) -> Any:
        return f"{emulator.url}/download/storage/v1/b/{packed.bucket.name}/o/packed.txt?alt=media"

    def test_unpacked_for_who_does_not_accept_gzip(self, http: requests.Session, url: Any) -> None:
        response = http.get(url, headers={"Accept-Encoding": "identity"})
        assert response.content == self.TEXT
        assert "Content-Encoding" not in response.headers
        assert "Content-Length" not in response.headers
        assert response.headers["x-goog-stored-content-encoding"] == "gzip"

    def test_as_stored_for_who_accepts_gzip(
        self, http: requests.Session, url: Any, packed: Any
    ) -> None:
        response = http.get(url, headers={"Accept-Encoding": "gzip"}, stream=True)
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Content-Length"] == str(packed.size)
        assert gzip.decompress(response.raw.read(decode_content=False)) == self.TEXT

    def test_as_stored_when_transformation_is_forbidden(
        self, http: requests.Session, url: Any, packed: Any
    ) -> None:
        packed.cache_control = "no-transform"
        packed.patch()
        response = http.get(url, headers={"Accept-Encoding": "identity"}, stream=True)
        assert response.headers["Content-Encoding"] == "gzip"

    def test_range_is_ignored_when_unpacked(self, http: requests.Session, url: Any) -> None:
        headers = {"Accept-Encoding": "identity", "Range": "bytes=0-9"}
        response = http.get(url, headers=headers)
        assert (response.status_code, response.content) == (200, self.TEXT)

    def test_the_client_unpacks_or_not(self, bucket: storage.Bucket, packed: Any) -> None:
        assert bucket.blob("packed.txt").download_as_bytes() == self.TEXT
        raw = bucket.blob("packed.txt").download_as_bytes(raw_download=True)
        assert gzip.decompress(raw) == self.TEXT

    @pytest.mark.parametrize("data", [b"not gzip at all", gzip.compress(b"x" * 99, mtime=0)[:-5]])
    def test_what_only_claims_to_be_gzip(
        self, bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator, data: Any
    ) -> None:
        response = http.post(
            f"{emulator.url}/upload/storage/v1/b/{bucket.name}/o"
            "?uploadType=media&name=claimed&contentEncoding=gzip",
            data=data,
        )
        assert response.json()["contentEncoding"] == "gzip"
        response = http.get(
            f"{emulator.url}/storage/v1/b/{bucket.name}/o/claimed?alt=media",
            headers={"Accept-Encoding": "identity"},
            stream=True,
        )
        assert response.raw.read(decode_content=False) == data


def test_reading_goes_on_while_the_object_is_overwritten(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator
) -> None:
    data = os.urandom(20 * 1024 * 1024)
    bucket.blob("moving").upload_from_string(data)
    url = f"{emulator.url}/storage/v1/b/{bucket.name}/o/moving?alt=media"
    with http.get(url, stream=True) as response:
        pieces = response.iter_content(64 * 1024)
        first = next(pieces)
        bucket.blob("moving").upload_from_string(b"new")
        assert first + b"".join(pieces) == data
    assert bucket.blob("moving").download_as_bytes() == b"new"
