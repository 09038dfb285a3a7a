"""Signed URLs and plain addresses: https://docs.cloud.google.com/storage/docs/access-control"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import pytest
import requests
from google.cloud import storage
from google.oauth2 import service_account

from vertex_emulator.testing import RunningEmulator

MINUTES = datetime.timedelta(minutes=5)


@pytest.fixture
def sign(emulator: RunningEmulator, bucket: storage.Bucket) -> Callable[..., str]:
    """Signs an address of an object with the emulator's own service account."""
    credentials = service_account.Credentials.from_service_account_file(
        emulator.variables["GOOGLE_APPLICATION_CREDENTIALS"]
    )

    def make(name: Any, **options: Any) -> Any:
        return bucket.blob(name).generate_signed_url(
            version="v4",
            api_access_endpoint=emulator.url,
            credentials=credentials,
            **{"expiration": MINUTES, **options},
        )

    return make


def test_download(bucket: storage.Bucket, http: requests.Session, sign: Callable[..., str]) -> None:
    # https://docs.cloud.google.com/storage/docs/samples/storage-generate-signed-url-v4
    bucket.blob("folder/a file.txt").upload_from_string("text", content_type="text/plain")
    response = http.get(sign("folder/a file.txt", method="GET"))
    assert response.status_code == 200
    assert response.text == "text"
    assert response.headers["Content-Type"] == "text/plain"


def test_upload(bucket: storage.Bucket, http: requests.Session, sign: Callable[..., str]) -> None:
    # https://docs.cloud.google.com/storage/docs/samples/storage-generate-upload-signed-url-v4
    headers = {"Content-Type": "application/octet-stream"}
    url = sign("up", method="PUT", content_type="application/octet-stream")
    assert http.put(url, data=b"bytes", headers=headers).status_code == 200
    assert bucket.blob("up").download_as_bytes() == b"bytes"


def test_signed_headers_have_to_come(http: requests.Session, sign: Callable[..., str]) -> None:
    url = sign("up", method="PUT", content_type="text/csv", headers={"x-goog-meta-a": "b"})
    assert http.put(url, data=b"x", headers={"Content-Type": "text/csv"}).status_code == 403
    wrong = {"Content-Type": "text/plain", "x-goog-meta-a": "b"}
    assert http.put(url, data=b"x", headers=wrong).status_code == 403
    right = {"Content-Type": "text/csv", "x-goog-meta-a": "b"}
    assert http.put(url, data=b"x", headers=right).status_code == 200


def test_another_method_or_object_or_byte(
    bucket: storage.Bucket, http: requests.Session, sign: Callable[..., str]
) -> None:
    bucket.blob("a").upload_from_string("a")
    bucket.blob("b").upload_from_string("b")
    url = sign("a", method="GET")
    assert http.put(url, data=b"x").status_code == 403
    assert http.get(url.replace("/a?", "/b?")).status_code == 403
    assert http.get(url.replace("X-Goog-Expires=300", "X-Goog-Expires=301")).status_code == 403
    response = http.get(url[:-1] + ("0" if url[-1] != "0" else "1"))
    assert response.status_code == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in response.text


def test_expired(bucket: storage.Bucket, http: requests.Session, sign: Callable[..., str]) -> None:
    bucket.blob("a").upload_from_string("a")
    url = sign("a", expiration=datetime.timedelta(seconds=1))
    found = re.search(r"X-Goog-Date=(\w+)", url)
    assert found is not None
    date = found[1]
    old = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)).strftime(
        "%Y%m%dT%H%M%SZ"
    )
    response = http.get(url.replace(date, old))
    assert response.status_code == 400
    assert "<Code>ExpiredToken</Code>" in response.text


def test_query_parameters_are_signed_too(
    bucket: storage.Bucket, http: requests.Session, sign: Callable[..., str]
) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string("a", content_type="text/plain")
    url = sign(
        "a",
        generation=blob.generation,
        response_type="text/x-other",
        response_disposition="attachment; filename=x.txt",
    )
    response = http.get(url)
    assert response.headers["Content-Disposition"] == "attachment; filename=x.txt"
    assert http.get(url.replace("x.txt", "y.txt")).status_code == 403


def test_resumable_upload(
    bucket: storage.Bucket, http: requests.Session, sign: Callable[..., str]
) -> None:
    # https://docs.cloud.google.com/storage/docs/access-control/signed-urls#signing-resumable
    url = sign("large", method="RESUMABLE")
    started = http.post(url, headers={"x-goog-resumable": "start"})
    assert started.status_code == 201
    assert http.put(started.headers["Location"], data=b"bytes").status_code == 200
    assert bucket.blob("large").download_as_bytes() == b"bytes"


def test_delete_and_head(
    bucket: storage.Bucket, http: requests.Session, sign: Callable[..., str]
) -> None:
    blob = bucket.blob("a")
    blob.metadata = {"color": "blue"}
    blob.upload_from_string("12345")
    head = http.head(sign("a", method="HEAD"))
    assert head.headers["Content-Length"] == "5"
    assert head.headers["x-goog-meta-color"] == "blue"
    assert head.headers["ETag"] == '"827ccb0eea8a706c4c34a16891f84e7b"'  # the MD5 of "12345"
    assert http.delete(sign("a", method="DELETE")).status_code == 204
    assert http.get(sign("a")).status_code == 404


def test_unknown_signer(
    http: requests.Session, sign: Callable[..., str], emulator: RunningEmulator
) -> None:
    url = sign("a").replace("emulator%40", "somebody%40")
    response = http.get(url)
    assert response.status_code == 403
    assert "somebody" in response.text


@pytest.mark.parametrize(
    "query",
    [
        "GoogleAccessId=a&Expires=1&Signature=x",
        "X-Amz-Signature=x",
        "X-Goog-Algorithm=GOOG4-HMAC-SHA256&X-Goog-Credential=a&X-Goog-Date=b&X-Goog-Expires=1"
        "&X-Goog-SignedHeaders=host&X-Goog-Signature=x",
    ],
)
def test_other_signatures_are_refused_by_name(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator, query: str
) -> None:
    response = http.get(f"{emulator.url}/{bucket.name}/a?{query}")
    assert response.status_code == 501
    assert "does not serve signed URLs" in response.text


@pytest.mark.parametrize("missing", ["X-Goog-Date", "X-Goog-Credential", "X-Goog-Expires"])
def test_incomplete_signature(
    http: requests.Session, sign: Callable[..., str], missing: str
) -> None:
    url = re.sub(f"{missing}=[^&]*&", "", sign("a"))
    response = http.get(url)
    assert response.status_code == 400
    assert missing in response.text


def test_public_address(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator
) -> None:
    bucket.blob("a/b").upload_from_string("text")
    assert http.get(f"{emulator.url}/{bucket.name}/a/b").text == "text"
    assert http.get(f"{emulator.url}/{bucket.name}/a%2Fb").text == "text"
    response = http.get(f"{emulator.url}/{bucket.name}/missing")
    assert response.status_code == 404
    assert "<Code>NoSuchKey</Code>" in response.text


def test_conditions_of_the_xml_api(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator
) -> None:
    # https://docs.cloud.google.com/storage/docs/xml-api/reference-headers#xgoogifgenerationmatch
    url = f"{emulator.url}/{bucket.name}/a"
    once = {"x-goog-if-generation-match": "0"}
    assert http.put(url, data=b"1", headers=once).status_code == 200
    response = http.put(url, data=b"2", headers=once)
    assert response.status_code == 412
    assert "<Code>PreconditionFailed</Code>" in response.text
    assert http.get(url).content == b"1"


def test_other_xml_methods_are_refused_by_name(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator
) -> None:
    url = f"{emulator.url}/{bucket.name}/a"
    assert http.post(f"{url}?uploads").status_code == 501
    assert http.put(url, headers={"x-goog-copy-source": "x/y"}).status_code == 501
    assert http.put(url, headers={"x-goog-acl": "public-read"}).status_code == 501
    assert http.get(f"{url}?acl").status_code == 501
    assert http.post(url, data=b"form").status_code == 501
    assert http.patch(url).status_code == 405


def test_unknown_paths_are_left_alone(http: requests.Session, emulator: RunningEmulator) -> None:
    response = http.get(f"{emulator.url}/no-such-bucket-here/object")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == 404
