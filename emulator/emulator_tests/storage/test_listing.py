"""Listing: https://docs.cloud.google.com/storage/docs/json_api/v1/objects/list"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from vertex_emulator.testing import RunningEmulator


@pytest.fixture
def fill(bucket: storage.Bucket) -> Callable[..., storage.Bucket]:
    """Writes an empty object under each name; returns the bucket."""

    def write(*names: Any) -> Any:
        for name in names:
            bucket.blob(name).upload_from_string(b"")
        return bucket

    return write


def listed(bucket: Any, **options: Any) -> Any:
    """Names and prefixes."""
    iterator = bucket.list_blobs(**options)
    names = [blob.name for blob in iterator]
    return names, sorted(iterator.prefixes)


def test_example_of_the_reference(fill: Callable[..., storage.Bucket]) -> None:
    # The page's own example, with the objects "a/b", "a/c", "d", "e", "e/f" and "e/g/h".
    bucket = fill("a/b", "a/c", "d", "e", "e/f", "e/g/h")
    assert listed(bucket, delimiter="/") == (["d", "e"], ["a/", "e/"])
    assert listed(bucket, delimiter="/", prefix="e/") == (["e/f"], ["e/g/"])


def test_example_of_the_prefix_sample(fill: Callable[..., storage.Bucket]) -> None:
    # https://docs.cloud.google.com/storage/docs/samples/storage-list-files-with-prefix
    bucket = fill("a/1.txt", "a/b/2.txt")
    assert listed(bucket, prefix="a/") == (["a/1.txt", "a/b/2.txt"], [])
    assert listed(bucket, prefix="a/", delimiter="/") == (["a/1.txt"], ["a/b/"])
    assert listed(bucket, prefix="a") == (["a/1.txt", "a/b/2.txt"], [])
    assert listed(bucket, prefix="a", delimiter="/") == ([], ["a/"])


def test_names_are_ordered_by_their_bytes(fill: Callable[..., storage.Bucket]) -> None:
    names = ["B", "a", "a b", "a!", "a/", "ab", "é", "日", "\uffee", "🦆"]
    assert listed(fill(*names))[0] == sorted(names, key=str.encode)


def test_offsets(fill: Callable[..., storage.Bucket]) -> None:
    # "names between startOffset (inclusive) and endOffset (exclusive)"
    bucket = fill("a", "b", "c", "d")
    assert listed(bucket, start_offset="b", end_offset="d")[0] == ["b", "c"]
    assert listed(bucket, start_offset="bb")[0] == ["c", "d"]
    assert listed(bucket, end_offset="a")[0] == []


def test_offsets_with_prefix_and_delimiter(fill: Callable[..., storage.Bucket]) -> None:
    bucket = fill("x/1", "x/2/a", "x/3/a", "y")
    assert listed(bucket, prefix="x/", delimiter="/", start_offset="x/2") == ([], ["x/2/", "x/3/"])
    assert listed(bucket, prefix="x/", delimiter="/", end_offset="x/3") == (["x/1"], ["x/2/"])


def test_trailing_delimiter(fill: Callable[..., storage.Bucket]) -> None:
    # "objects that end in exactly one instance of delimiter have their metadata included in items
    # in addition to ... prefixes"
    bucket = fill("a/", "a/1", "b/2", "c")
    assert listed(bucket, delimiter="/") == (["c"], ["a/", "b/"])
    found = listed(bucket, delimiter="/", include_trailing_delimiter=True)
    assert found == (["a/", "c"], ["a/", "b/"])


def test_delimiter_of_many_characters(fill: Callable[..., storage.Bucket]) -> None:
    bucket = fill("2026-11-01", "2026-11-02", "2026-12-01", "2026")
    assert listed(bucket, delimiter="-", prefix="2026-") == ([], ["2026-11-", "2026-12-"])
    assert listed(bucket, delimiter="11-") == (["2026", "2026-12-01"], ["2026-11-"])


def test_pages(fill: Callable[..., storage.Bucket]) -> None:
    names = [f"{index:02d}" for index in range(7)]
    bucket = fill(*names)
    pages = [[blob.name for blob in page] for page in bucket.list_blobs(page_size=3).pages]
    assert pages == [names[:3], names[3:6], names[6:]]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_prefixes_count_as_entries_of_a_page(
    fill: Callable[..., storage.Bucket], size: int
) -> None:
    # "Maximum combined number of entries in items[] and prefixes[] to return in a single page"
    bucket = fill("a/1", "a/2", "b", "c/1", "c/2", "d", "e/1")
    iterator = bucket.list_blobs(delimiter="/", page_size=size)
    names, prefixes = [], []
    for page in iterator.pages:
        found = [blob.name for blob in page]
        assert len(found) + len(page.prefixes) <= size
        names += found
        prefixes += page.prefixes
    assert names == ["b", "d"]
    assert prefixes == ["a/", "c/", "e/"]


def test_max_results(fill: Callable[..., storage.Bucket]) -> None:
    bucket = fill("a", "b", "c")
    assert listed(bucket, max_results=2)[0] == ["a", "b"]


def test_objects_written_between_pages(fill: Callable[..., storage.Bucket]) -> None:
    bucket = fill("a", "b", "c", "d")
    pages = bucket.list_blobs(page_size=2).pages
    first = [blob.name for blob in next(pages)]
    fill("a2", "c2")
    bucket.blob("d").delete()
    assert first + [blob.name for page in pages for blob in page] == ["a", "b", "c", "c2"]


@pytest.mark.parametrize(
    ("glob", "expected"),
    # https://docs.cloud.google.com/storage/docs/json_api/v1/objects/list, "matchGlob"
    [
        ("*", ["a.txt", "b.csv", "foo"]),
        ("**", ["a.txt", "b.csv", "d/a.txt", "d/e/a.txt", "foo"]),
        ("*.txt", ["a.txt"]),
        ("**.txt", ["a.txt", "d/a.txt", "d/e/a.txt"]),
        ("d/*", ["d/a.txt"]),
        ("d/**", ["d/a.txt", "d/e/a.txt"]),
        ("**/a.txt", ["d/a.txt", "d/e/a.txt"]),
        ("?.txt", ["a.txt"]),
        ("[a-b].*", ["a.txt", "b.csv"]),
        ("[!a].*", ["b.csv"]),
        ("*.{csv,txt}", ["a.txt", "b.csv"]),
        ("{foo,d/*}", ["d/a.txt", "foo"]),
        ("f??", ["foo"]),
        ("nothing", []),
        (r"a\.txt", ["a.txt"]),
        (r"\*", []),
    ],
)
def test_globs(fill: Callable[..., storage.Bucket], glob: str, expected: Any) -> None:
    bucket = fill("a.txt", "b.csv", "d/a.txt", "d/e/a.txt", "foo")
    assert listed(bucket, match_glob=glob)[0] == expected


@pytest.mark.parametrize("glob", ["[a", "{a", "a{b", "[b-a]"])
def test_malformed_globs(bucket: storage.Bucket, glob: str) -> None:
    with pytest.raises(exceptions.BadRequest, match="matchGlob"):
        list(bucket.list_blobs(match_glob=glob))


def test_partial_response(bucket: storage.Bucket, fill: Callable[..., storage.Bucket]) -> None:
    # https://docs.cloud.google.com/storage/docs/json_api#partial-response
    fill("a")
    blob = next(iter(bucket.list_blobs(fields="items(name),nextPageToken")))
    assert set(blob._properties) == {"name"}


@pytest.mark.parametrize(
    "query",
    [
        "maxResults=0",
        "maxResults=x",
        "pageToken=?",
        "pageToken=WzFd",
        "versions=maybe",
        "fields=((",
    ],
)
def test_malformed_parameters(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator, query: str
) -> None:
    response = http.get(f"{emulator.url}/storage/v1/b/{bucket.name}/o?{query}")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == 400


def test_empty_bucket(
    bucket: storage.Bucket, http: requests.Session, emulator: RunningEmulator
) -> None:
    assert listed(bucket) == ([], [])
    resource = http.get(f"{emulator.url}/storage/v1/b/{bucket.name}/o").json()
    assert resource == {"kind": "storage#objects"}
