"""Whatever a request holds, it is answered; never with a 500, a traceback or a stray file."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from google.cloud import storage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vertex_emulator.testing import RunningEmulator

SETTINGS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

OBJECT = "/storage/v1/b/fuzz-bucket/o/fuzzed"

text = st.text(max_size=20)
raw_text = text.map(lambda value: quote(value.encode("utf-8", "surrogatepass"), safe=""))
names = st.sampled_from(["fuzzed", "a", "b%2Fc", "..", "%00", "%ff", "*", "", "o", "x" * 1100])
segment = st.one_of(names, raw_text)
bucket_name = st.one_of(st.just("fuzz-bucket"), st.just("fuzz-bucket"), segment)
tails = st.sampled_from(
    [
        *("", "/compose", "/acl", "/iam", "/iam/testPermissions", "/restore"),
        *("/rewriteTo/b/fuzz-bucket/o/copied", "/copyTo/b/fuzz-bucket/o/copied"),
        *("/copyTo/b//o/", "/moveTo/o/moved", "/moveTo/o/", "/rewriteTo/b/x"),
    ]
)
roots = st.sampled_from(
    ["/storage/v1", "/upload/storage/v1", "/download/storage/v1", "/batch/storage/v1", ""]
)


@st.composite
def paths(draw: Any) -> Any:
    root = draw(roots)
    if not root:
        return f"/{draw(bucket_name)}/{draw(segment)}"
    shape = draw(st.integers(0, 5))
    bucket, name = draw(bucket_name), draw(segment)
    return (
        root
        + [
            "/b",
            f"/b/{bucket}",
            f"/b/{bucket}/o",
            f"/b/{bucket}/o/{name}{draw(tails)}",
            f"/b/{bucket}/{name}",
            f"/{name}/{bucket}",
        ][shape]
    )


parameters = st.sampled_from(
    [
        *("alt", "uploadType", "upload_id", "name", "generation", "ifGenerationMatch", "fields"),
        *("ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch", "prefix"),
        *("delimiter", "startOffset", "endOffset", "matchGlob", "maxResults", "pageToken"),
        *("versions", "includeTrailingDelimiter", "project", "rewriteToken", "sourceGeneration"),
        *("maxBytesRewrittenPerCall", "contentEncoding", "predefinedAcl", "permissions"),
        *("softDeleted", "projection", "X-Goog-Signature", "X-Goog-Algorithm", "X-Goog-Date"),
        *("X-Goog-Credential", "X-Goog-Expires", "X-Goog-SignedHeaders", "uploads", "acl"),
    ]
)
values = st.one_of(
    st.sampled_from(
        ["", "media", "multipart", "resumable", "json", "0", "1", "-1", "9" * 18, "true"]
    ),
    st.sampled_from(
        ["9" * 40, "1e5", "/", "**", "[a-", "{a,", "a(b", "W10=", "e30=", "null", "fuzzed"]
    ),
    raw_text,
)
queries = st.lists(st.tuples(parameters, values), max_size=5).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(
    str.strip
)
headers = st.dictionaries(
    st.sampled_from(
        [
            *("Content-Range", "Range", "If-Match", "If-None-Match", "X-Goog-Hash", "Content-MD5"),
            *("X-Upload-Content-Length", "X-Upload-Content-Type", "x-goog-if-generation-match"),
            *("x-goog-meta-a", "x-goog-resumable", "Accept-Encoding", "x-goog-custom-time"),
        ]
    ),
    st.one_of(
        header_values,
        st.sampled_from(
            ["bytes 0-1/2", "bytes */*", "bytes=0-1", "bytes=-5", "*", "start", "gzip"]
        ),
    ),
    max_size=4,
)
content_types = st.sampled_from(
    [
        *("application/json", "text/plain", "multipart/related; boundary=x", "multipart/mixed"),
        *('multipart/mixed; boundary="x"', "multipart/related; boundary=", ""),
    ]
)
fields = st.sampled_from(
    [
        *("name", "contentType", "metadata", "storageClass", "customTime", "temporaryHold", "acl"),
        *("labels", "versioning", "enabled", "iamConfiguration", "location", "softDeletePolicy"),
        *("uniformBucketLevelAccess", "publicAccessPrevention", "lifecycle", "rule", "rpo"),
        *("sourceObjects", "destination", "objectPreconditions", "ifGenerationMatch", "generation"),
        *("deleteSourceObjects", "retentionDurationSeconds", "crc32c", "md5Hash", "size", "etag"),
    ]
)
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), text, st.just("fuzzed")),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(fields, below, max_size=4),
    max_leaves=12,
)
part = st.one_of(
    documents.map(lambda value: json.dumps(value)),
    st.sampled_from(
        [
            "GET /storage/v1/b/fuzz-bucket HTTP/1.1\r\n\r\n",
            "PATCH /storage/v1/b/fuzz-bucket/o/fuzzed HTTP/1.1\r\n\r\n{}",
            "DELETE http://x/storage/v1/b HTTP/1.1\r\n\r\n",
            "POST",
        ]
    ),
    text,
)
bodies = st.one_of(
    st.binary(max_size=50),
    st.dictionaries(fields, documents, max_size=5).map(lambda value: json.dumps(value).encode()),
    st.lists(part, max_size=3).map(
        lambda parts: (
            "".join(f"--x\r\nContent-ID: 1\r\n\r\n{p}\r\n" for p in parts).encode(
                "utf-8", "surrogatepass"
            )
            + b"--x--"
        )
    ),
)


@pytest.fixture
def log(emulator: RunningEmulator) -> Callable[[], str]:
    """What the emulator has printed since the test began."""
    path = emulator.state.parent / f"{emulator.state.name}.log"
    before = path.stat().st_size
    return lambda: path.read_bytes()[before:].decode()


@pytest.fixture
def fuzz_bucket(client: storage.Client) -> storage.Bucket:
    bucket = client.bucket("fuzz-bucket")
    if not bucket.exists():
        bucket.create()
    bucket.blob("fuzzed").upload_from_string("text")
    return bucket


METHODS = [
    ("GET", "/storage/v1/b"),
    ("POST", "/storage/v1/b"),
    *((method, "/storage/v1/b/fuzz-bucket") for method in ("GET", "PATCH", "PUT")),
    *((method, f"{OBJECT}") for method in ("GET", "PATCH", "PUT", "DELETE")),
    ("GET", "/storage/v1/b/fuzz-bucket/o"),
    ("GET", "/storage/v1/b/fuzz-bucket/iam/testPermissions"),
    ("POST", f"{OBJECT}/compose"),
    ("POST", f"{OBJECT}/rewriteTo/b/fuzz-bucket/o/other"),
    ("POST", f"{OBJECT}/copyTo/b/fuzz-bucket/o/other"),
    ("POST", f"{OBJECT}/moveTo/o/other"),
    ("GET", f"/download{OBJECT}"),
    *((method, "/upload/storage/v1/b/fuzz-bucket/o") for method in ("POST", "POST", "PUT")),
    ("POST", "/batch/storage/v1"),
    *((method, "/fuzz-bucket/fuzzed") for method in ("GET", "HEAD", "PUT", "POST", "DELETE")),
]


def send(
    session: Any,
    emulator: Any,
    method: Any,
    path: Any,
    query: Any,
    extra: Any,
    content_type: Any,
    body: Any,
) -> Any:
    """One request, as it is: without the corrections that the library makes to addresses."""
    request = requests.Request(method, emulator.url, data=body, headers=dict(extra)).prepare()
    request.url = f"{emulator.url}{path}?{query}"
    request.headers["Content-Type"] = content_type
    response = session.send(request, timeout=20)
    assert response.status_code < 500 or response.status_code == 501, response.text
    if response.status_code >= 400 and method != "HEAD" and response.status_code != 499:
        assert response.content, "an error says what was wrong"
    return response


def test_any_address_is_answered(
    emulator: RunningEmulator, fuzz_bucket: storage.Bucket, log: Callable[[], str]
) -> None:
    session = requests.Session()

    @settings(SETTINGS, max_examples=150)
    @given(
        method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
        path=paths(),
        query=queries,
        extra=headers,
        content_type=content_types,
        body=bodies,
    )
    def attack(
        method: Any, path: Any, query: Any, extra: Any, content_type: Any, body: Any
    ) -> None:
        send(session, emulator, method, path, query, extra, content_type, body)

    attack()
    assert "Traceback" not in log()


def test_every_method_withstands_any_arguments(
    emulator: RunningEmulator, fuzz_bucket: storage.Bucket, log: Callable[[], str]
) -> None:
    session = requests.Session()
    upload = "/upload/storage/v1/b/fuzz-bucket/o"

    @settings(SETTINGS, max_examples=250)
    @given(
        call=st.sampled_from(METHODS),
        query=queries,
        extra=headers,
        content_type=content_types,
        body=bodies,
    )
    def attack(call: Any, query: Any, extra: Any, content_type: Any, body: Any) -> None:
        send(session, emulator, "POST", upload, "uploadType=media&name=fuzzed", {}, "x/y", b"text")
        send(session, emulator, *call, query, extra, content_type, body)  # type: ignore[call-arg]

    attack()
    assert "Traceback" not in log()


def test_resumable_sessions_withstand_any_chunk(
    emulator: RunningEmulator,
    fuzz_bucket: storage.Bucket,
    log: Callable[[], str],
    client: storage.Client,
) -> None:
    session = requests.Session()
    ranges = st.sampled_from(
        [
            *("bytes 0-9/*", "bytes 0-9/10", "bytes 5-9/10", "bytes */*", "bytes */10", ""),
            *("bytes 0-262143/*", "bytes 262144-262153/262154", "bytes */262144", "bytes 9-5/1"),
        ]
    )
    sizes = st.sampled_from([0, 5, 10, 11, 262144])

    @SETTINGS
    @given(
        st.lists(st.tuples(ranges, sizes, st.sampled_from(["PUT", "POST", "DELETE"])), max_size=5)
    )
    def attack(steps: Any) -> None:
        location = fuzz_bucket.blob("session").create_resumable_upload_session()
        parts = urlsplit(location)
        for content_range, size, method in steps:
            extra = {"Content-Range": content_range} if content_range else {}
            body = b"x" * size
            send(session, emulator, method, parts.path, parts.query, extra, "x/y", body)

    attack()
    assert "Traceback" not in log()


def test_bytes_that_are_hardly_http(
    emulator: RunningEmulator, fuzz_bucket: storage.Bucket, log: Callable[[], str]
) -> None:
    address = urlsplit(emulator.url)
    target = st.sampled_from(
        [
            b"/storage/v1/b",
            b"/storage/v1/b/fuzz-bucket/o/%ff",
            b"//",
            b"/",
            b"*",
            b"/\xff\xfe",
            b"/%",
        ]
    )

    @SETTINGS
    @given(
        method=st.sampled_from([b"GET", b"PUT", b"POST"]),
        target=target,
        rest=st.binary(max_size=99),
    )
    def attack(method: Any, target: Any, rest: Any) -> None:
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            connection.sendall(
                method + b" " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(rest) + rest
            )
            answer = connection.recv(4096)
        assert not answer.startswith(b"HTTP/1.1 500"), answer

    attack()
    assert emulator.ask("GET", "ready")["status"] == "ready"
    assert "Traceback" not in log()


@SETTINGS
@given(name=st.text(min_size=1, max_size=60), data=st.binary(max_size=100))
def test_any_name_and_any_bytes_come_back(
    fuzz_bucket: storage.Bucket, emulator: RunningEmulator, name: Any, data: Any
) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    allowed = name not in {".", ".."} and not {"\r", "\n"}.intersection(name)
    url = f"{emulator.url}/upload/storage/v1/b/fuzz-bucket/o?uploadType=media"
    response = requests.post(url, params={"name": name}, data=data, timeout=20)
    assert response.status_code == (200 if allowed else 400)
    if allowed:
        url = f"{emulator.url}/storage/v1/b/fuzz-bucket/o/{quote(name, safe='')}?alt=media"
        request = requests.Request("GET", url).prepare()
        request.url = url  # the library would resolve dots
        assert requests.Session().send(request, timeout=20).content == data


def test_nothing_lies_outside_the_stores(
    emulator: RunningEmulator, fuzz_bucket: storage.Bucket
) -> None:
    for name in ("../../../escaped", "..%2F..%2Fescaped", "/tmp/escaped", "a/../../escaped"):
        fuzz_bucket.blob(name).upload_from_string("x")
    outside = emulator.state.parent
    assert not list(outside.rglob("*escaped*"))
    folder = emulator.state / "storage"
    assert {path.name for path in folder.iterdir()} <= {
        *("contents", "metadata.sqlite", "metadata.sqlite-wal", "metadata.sqlite-shm")
    }
