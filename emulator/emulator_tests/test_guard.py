"""What a browser sends for a page of another origin is refused; what is stored is not a page."""

from __future__ import annotations

import hmac
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest
from google.auth import jwt
from google.auth.crypt import RSASigner
from google.cloud import storage
from google.oauth2 import service_account

from vertex_emulator.environment import write_environment_file
from vertex_emulator.testing import RunningEmulator, faults, start_emulator

READ = "/storage/v1/b/emulated-bucket"
STORE = "/upload/storage/v1/b/emulated-bucket/o?uploadType=media&name="
PIPELINES = "/v1/projects/p/locations/us-central1/pipelineJobs"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PAGE = b"<script>alert(document.domain)</script>"


def ask(
    running: RunningEmulator,
    verb: str,
    path: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and body of a request with just these headers besides `Content-Length`."""
    address = urlsplit(running.url)
    connection = http.client.HTTPConnection(address.netloc, timeout=30)
    named = list(headers)
    connection.putrequest(verb, path, skip_host=True, skip_accept_encoding=True)
    if not any(name == "Host" for name, _ in named):
        connection.putheader("Host", address.netloc)
    for name, value in named:
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


def bearer(token: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {token}")]


@pytest.mark.parametrize("path", [READ, "/token", "/emulator/stats", PIPELINES, "/nothing"])
@pytest.mark.parametrize(
    "headers",
    [
        [("Origin", "https://evil.example")],
        [("Origin", "null")],
        [("Origin", "http://localhost:1")],
        [("Origin", "https://{host}")],
        [("Origin", "http://{host}"), ("Origin", "http://evil.example")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Sec-Fetch-Site", "")],
        [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")],
        [("Host", "rebound.example")],
        [("Host", "{host}"), ("Host", "{host}")],
        [("Host", "{host}@rebound.example")],
        [("Host", "127.0.0.1:80:80")],
        [("Host", "127.0.0.1]:80")],
        [("Host", "127.0.0.1:eighty")],
        [("Host", "[127.0.0.1]")],
        [("Host", "localhost.")],
        [("Host", "")],
    ],
)
def test_requests_that_another_origin_caused_are_refused(
    emulator: RunningEmulator, path: str, headers: list[tuple[str, str]]
) -> None:
    host = urlsplit(emulator.url).netloc
    sent = [(name, value.format(host=host)) for name, value in headers]
    token = bearer(emulator.variables["VERTEX_EMULATOR_TOKEN"])
    for verb in ("GET", "POST", "OPTIONS"):
        status, _, body = ask(emulator, verb, path, [*sent, *token])
        assert status == 403, (verb, body)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Origin", "http://{host}"), ("Sec-Fetch-Site", "same-origin")],
        [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")],
        [("Host", "LOCALHOST:8765"), ("Origin", "http://localhost:8765")],
        [("Host", "[::1]")],
    ],
)
def test_clients_and_the_own_origin_are_answered(
    emulator: RunningEmulator, headers: list[tuple[str, str]]
) -> None:
    host = urlsplit(emulator.url).netloc
    sent = [(name, value.format(host=host)) for name, value in headers]
    assert ask(emulator, "GET", READ, sent)[0] == 200


def test_a_form_of_another_origin_stores_nothing(emulator: RunningEmulator) -> None:
    form = (
        b'--x\r\nContent-Type: application/json\r\n\r\n{"name": "form.html"}\r\n'
        b"--x\r\nContent-Type: text/html\r\n\r\n" + PAGE + b"\r\n--x--\r\n"
    )
    path = "/upload/storage/v1/b/emulated-bucket/o?uploadType=multipart"
    kind = ("Content-Type", "multipart/related; boundary=x")
    status, _, body = ask(emulator, "POST", path, [kind, ("Origin", "https://evil.example")], form)
    assert (status, "web page" in body.decode()) == (403, True)
    assert ask(emulator, "GET", f"{READ}/o/form.html")[0] == 404


@pytest.mark.parametrize(
    ("content_type", "disposition", "expected"),
    [
        ("text/html", None, "attachment"),
        ("image/svg+xml", "inline", "attachment"),
        ("text/plain", "inline; filename=x.html", "attachment; filename=x.html"),
        ("application/pdf", "attachment; filename=x.pdf", "attachment; filename=x.pdf"),
        ("application/octet-stream", None, None),
    ],
)
def test_what_is_stored_is_saved_and_not_shown(
    emulator: RunningEmulator, content_type: str, disposition: str | None, expected: str | None
) -> None:
    bucket = storage.Client().bucket("emulated-bucket")
    blob = bucket.blob("guard/page")
    blob.content_disposition = disposition
    blob.upload_from_string(PAGE, content_type=content_type)
    name = quote(blob.name, safe="")
    for path in (
        f"/download{READ}/o/{name}?alt=media",
        f"{READ}/o/{name}?alt=media",
        f"/emulated-bucket/{blob.name}",
    ):
        status, headers, body = ask(emulator, "GET", path)
        assert (status, body) == (200, PAGE)
        assert headers["Content-Type"].startswith(content_type)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "sandbox"
        assert headers["Content-Disposition"] == expected
    assert blob.download_as_bytes() == PAGE


def test_a_signed_url_cannot_ask_for_a_page(emulator: RunningEmulator) -> None:
    blob = storage.Client().bucket("emulated-bucket").blob("guard/text")
    blob.upload_from_string(PAGE, content_type="application/octet-stream")
    account = service_account.Credentials.from_service_account_file(
        emulator.variables["GOOGLE_APPLICATION_CREDENTIALS"]
    )
    url = blob.generate_signed_url(
        300,
        version="v4",
        credentials=account,
        api_access_endpoint=emulator.url,
        response_type="text/html",
        response_disposition="inline",
    )
    with urllib.request.urlopen(url) as response:
        assert response.headers["Content-Type"] == "text/html"
        assert response.headers["Content-Disposition"] == "attachment"
        assert response.headers["Content-Security-Policy"] == "sandbox"


def test_errors_are_no_pages_either(emulator: RunningEmulator) -> None:
    status, headers, _ = ask(emulator, "GET", "/emulated-bucket/<script>")
    assert status == 404
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox"


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/emulator/ready"),
        ("GET", "/emulator/stats"),
        ("DELETE", "/emulator/stats"),
        ("GET", "/emulator/log"),
        ("GET", "/emulator/faults"),
        ("PUT", "/emulator/faults"),
        ("GET", "/emulator/nothing"),
        ("POST", PIPELINES),
        ("POST", PIPELINES.replace("v1", "v1beta1")),
    ],
)
def test_what_runs_code_or_changes_the_emulator_needs_the_token(
    emulator: RunningEmulator, verb: str, path: str
) -> None:
    for sent in (
        [],
        bearer("a-token"),
        bearer(""),
        bearer("a.b.c"),
        bearer("é"),
        [("Authorization", "Basic eDp5")],
    ):
        status, _, body = ask(emulator, verb, path, sent, b"{}")
        assert status == 401, body
        assert "VERTEX_EMULATOR_TOKEN" in json.loads(body)["error"]["message"]
    right = bearer(emulator.variables["VERTEX_EMULATOR_TOKEN"])
    assert ask(emulator, verb, path, right, b"{}")[0] not in (401, 403)


def assertion(
    emulator: RunningEmulator, *, key: str | None = None, now: float = 0, audience: str = ""
) -> str:
    account = json.loads(Path(emulator.variables["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    signer = RSASigner.from_string(key or account["private_key"], "emulated")
    now = int(now or time.time())
    payload = {"iss": account["client_email"], "aud": audience or account["token_uri"], "iat": now}
    return jwt.encode(signer, {**payload, "exp": now + 3600}).decode()


def other_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def token_for(emulator: RunningEmulator, **form: str) -> str:
    request = urllib.request.Request(f"{emulator.url}/token", urlencode(form).encode())
    with urllib.request.urlopen(request) as response:
        return json.load(response)["access_token"]


def test_only_the_key_of_the_credentials_gets_the_token(emulator: RunningEmulator) -> None:
    token = token_for(emulator, grant_type=GRANT, assertion=assertion(emulator))
    assert token == emulator.variables["VERTEX_EMULATOR_TOKEN"]
    for form in (
        {},
        {"grant_type": GRANT},
        {"grant_type": "refresh_token", "assertion": assertion(emulator)},
        {"grant_type": GRANT, "assertion": assertion(emulator, key=other_key())},
        {"grant_type": GRANT, "assertion": assertion(emulator)[:-8] + "AAAAAAAA"},
        {"grant_type": GRANT, "assertion": "e30.e30."},
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            token_for(emulator, **form)
        assert refused.value.code == 400


def test_a_jwt_that_the_key_signed_is_as_good_as_the_token(emulator: RunningEmulator) -> None:
    # Google's generated clients send one in place of a token.
    api = "https://aiplatform.googleapis.com/"
    # The clocks of programs under test may stand still.
    for now in (0, 1_000_000_000):
        sent = bearer(assertion(emulator, audience=api, now=now))
        assert ask(emulator, "GET", "/emulator/stats", sent)[0] == 200
    with pytest.raises(urllib.error.HTTPError):
        token_for(emulator, grant_type=GRANT, assertion=assertion(emulator, audience=api))


def test_an_assertion_for_the_token_is_no_token(emulator: RunningEmulator) -> None:
    """A program that takes the port of a stopped emulator gets them from clients."""
    assert ask(emulator, "GET", "/emulator/stats", bearer(assertion(emulator)))[0] == 401


def test_the_emulator_proves_that_it_holds_the_token(emulator: RunningEmulator) -> None:
    port, token = urlsplit(emulator.url).port, emulator.variables["VERTEX_EMULATOR_TOKEN"]
    status, _, body = ask(emulator, "GET", "/emulator/proof?challenge=abc")
    expected = hmac.new(token.encode(), f"{port} abc".encode(), "sha256").hexdigest()
    assert (status, json.loads(body)) == (200, {"proof": expected})
    foreign = [("Origin", "https://evil.example")]
    assert ask(emulator, "GET", "/emulator/proof?challenge=abc", foreign)[0] == 403


def test_the_token_is_in_no_log(tmp_path: Path) -> None:
    running = start_emulator(tmp_path / "state")
    running.stop()
    log = (tmp_path / "state.log").read_text()
    assert "export GOOGLE_CLOUD_PROJECT" in log
    assert running.variables["VERTEX_EMULATOR_TOKEN"] not in log


def test_a_file_of_others_never_gets_the_variables(tmp_path: Path) -> None:
    """In a folder that others may write to, one of them may have made a file beforehand."""
    for name in ("emulator.env", "emulator.env.tmp"):
        (tmp_path / name).touch(mode=0o666)
    with (tmp_path / "emulator.env.tmp").open() as waiting:
        write_environment_file(tmp_path / "emulator.env", {"VERTEX_EMULATOR_TOKEN": "secret"})
        assert waiting.read() == ""
    assert (tmp_path / "emulator.env").read_text() == "VERTEX_EMULATOR_TOKEN='secret'\n"
    assert (tmp_path / "emulator.env").stat().st_mode & 0o077 == 0


def test_the_token_outlives_a_restart_and_not_a_reset(tmp_path: Path) -> None:
    tokens = []
    for options in ([], [], ["--reset"]):
        running = start_emulator(tmp_path / "state", *options)
        tokens.append(running.variables["VERTEX_EMULATOR_TOKEN"])
        assert running.stats()["errors"] == []
        running.stop()
    assert tokens[0] == tokens[1] != tokens[2]


def test_a_hostile_pattern_stops_nobody(emulator: RunningEmulator) -> None:
    # A backtracking engine needs 2**5000 steps for this one.
    path = f"{READ}/o/{'a' * 5000}!"
    with faults(emulator, {"kind": "drop", "path": "(a+)+$"}):
        assert ask(emulator, "GET", path)[0] == 404
        assert ask(emulator, "GET", READ)[0] == 200
    with (
        pytest.raises(urllib.error.HTTPError) as refused,
        faults(emulator, {"kind": "drop", "path": r"(a)\1"}),
    ):
        pass
    assert refused.value.code == 400
    assert "RE2" in json.load(refused.value)["error"]["message"]


def test_files_with_secrets_are_for_their_owner_alone(emulator: RunningEmulator) -> None:
    for name in ("credentials.json", "environment"):
        assert (emulator.state / name).stat().st_mode & 0o077 == 0
