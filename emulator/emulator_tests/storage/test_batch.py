"""Batches: https://docs.cloud.google.com/storage/docs/batch"""

from __future__ import annotations

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from vertex_emulator.testing import RunningEmulator


@pytest.fixture
def names(bucket: storage.Bucket) -> list[str]:
    names = [f"name {index}/é" for index in range(12)]
    for name in names:
        bucket.blob(name).upload_from_string("x")
    return names


def test_deleting_many(client: storage.Client, bucket: storage.Bucket, names: list[str]) -> None:
    with client.batch():
        for name in names[:10]:
            bucket.blob(name).delete()
    assert [blob.name for blob in bucket.list_blobs()] == sorted(names[10:])


def test_changing_many(client: storage.Client, bucket: storage.Bucket, names: list[str]) -> None:
    # https://docs.cloud.google.com/storage/docs/samples/storage-batch-request
    blobs = list(bucket.list_blobs())
    with client.batch():
        for blob in blobs:
            blob.metadata = {"your-metadata-key": "your-metadata-value"}
            blob.patch()
    found = [blob.metadata for blob in bucket.list_blobs()]
    assert found == [{"your-metadata-key": "your-metadata-value"}] * len(names)


def test_one_failure_does_not_stop_the_others(
    client: storage.Client, bucket: storage.Bucket, names: list[str]
) -> None:
    batch = client.batch(raise_exception=False)
    with batch:
        bucket.blob(names[0]).delete()
        bucket.blob("missing").delete()
        bucket.blob(names[1]).delete()
    assert [response.status_code for response in batch._responses] == [204, 404, 204]
    with pytest.raises(exceptions.NotFound), client.batch():
        bucket.blob("missing").delete()


def test_raw_batch_of_the_reference(
    http: requests.Session, emulator: RunningEmulator, bucket: storage.Bucket, names: list[str]
) -> None:
    # The shape of the page's example: Content-ID in, "response-" + Content-ID out.
    path = f"/storage/v1/b/{bucket.name}/o"
    body = (
        "--===============7330845974216740156==\r\n"
        "Content-Type: application/http\r\n"
        "Content-Transfer-Encoding: binary\r\n"
        "Content-ID: <b29c5de2-0db4-490b-b421-6a51b598bd22+1>\r\n\r\n"
        f"PATCH {path}/name%200%2F%C3%A9?fields=metadata HTTP/1.1\r\n"
        "Content-Type: application/json\r\n"
        "accept: application/json\r\n"
        "content-length: 31\r\n\r\n"
        '{"metadata": {"type": "tabby"}}\r\n'
        "--===============7330845974216740156==\r\n"
        "Content-Type: application/http\r\n"
        "Content-ID: <b29c5de2-0db4-490b-b421-6a51b598bd22+2>\r\n\r\n"
        f"GET {path}/missing HTTP/1.1\r\n\r\n"
        "--===============7330845974216740156==--\r\n"
    )
    response = http.post(
        f"{emulator.url}/batch/storage/v1",
        data=body.encode(),
        headers={
            "Content-Type": 'multipart/mixed; boundary="===============7330845974216740156=="'
        },
    )
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("multipart/mixed; boundary=batch_")
    first, second = response.text.split("--batch_")[1:3]
    assert "Content-ID: <response-b29c5de2-0db4-490b-b421-6a51b598bd22+1>" in first
    assert "HTTP/1.1 200 OK" in first
    assert '{"metadata":{"type":"tabby"}}' in first
    assert "HTTP/1.1 404 Not Found" in second


@pytest.mark.parametrize(
    "call",
    [
        "GET {path}/a?alt=media HTTP/1.1",
        "POST /upload{path}?uploadType=media&name=x HTTP/1.1",
        "GET /bigquery/v2/projects HTTP/1.1",
        "FETCH {path} HTTP/1.1",
    ],
)
def test_what_a_batch_cannot_hold(
    http: requests.Session, emulator: RunningEmulator, bucket: storage.Bucket, call: str
) -> None:
    # "you cannot upload or download in a batch"
    line = call.format(path=f"/storage/v1/b/{bucket.name}/o")
    body = f"--x\r\nContent-Type: application/http\r\n\r\n{line}\r\n\r\n--x--"
    response = http.post(
        f"{emulator.url}/batch/storage/v1",
        data=body,
        headers={"Content-Type": "multipart/mixed; boundary=x"},
    )
    assert response.status_code == 200
    assert any(f"HTTP/1.1 {code}" in response.text for code in (404, 405, 501))


@pytest.mark.parametrize("body", ["", "--x--", "--x\r\n\r\nnonsense\r\n--x--", "--y\r\n\r\n--y--"])
def test_malformed_batches(http: requests.Session, emulator: RunningEmulator, body: str) -> None:
    response = http.post(
        f"{emulator.url}/batch/storage/v1",
        data=body,
        headers={"Content-Type": "multipart/mixed; boundary=x"},
    )
    assert response.status_code == 400


def test_more_calls_than_a_batch_holds(http: requests.Session, emulator: RunningEmulator) -> None:
    part = "--x\r\n\r\nGET /storage/v1/b/none HTTP/1.1\r\n\r\n\r\n"
    response = http.post(
        f"{emulator.url}/batch/storage/v1",
        data=part * 1001 + "--x--",
        headers={"Content-Type": "multipart/mixed; boundary=x"},
    )
    assert response.status_code == 400
    assert "1000" in response.json()["error"]["message"]
