from __future__ import annotations

import base64
import json
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genaiops_dagster.data import sensitive
from genaiops_dagster.data.sensitive import HINT, find_sensitive, redact, redacted

# Numbers and keys that their issuers publish as samples. Keys are put together here, so that
# scanners of source code do not take this file for a leak.
SAMPLES = {
    "e-mail address": ["jane.doe@mail.gov.uk", "x+y@a-b.io"],
    "IBAN": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
    "card number": [
        "4111 1111 1111 1111",
        "5555555555554444",
        "3782-822463-10005",
        "30569309025904",
    ],
    "US social security number": ["078-05-1120"],
    "phone number": ["+44 20 7946 0018", "+1 650-253-0000", "(650) 253-0000", "650.253.0000"],
    "private key": ["-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"],
    "Google API key": ["AI" + "za" + "Sy" + "B" * 33],
    "Google OAuth secret": ["GOC" + "SPX-" + "a1" * 14],
    "Google access token": ["ya" + "29.a0" + "Ab" * 20],
    "AWS Access Key": ["AK" + "IA" + "IOSFODNN7EXAMPLE", 'aws_key="' + "wJalrXUtnF" * 4 + '"'],
    "Azure Storage Account access key": ["Account" + "Key=" + "a" * 88],
    "Basic Auth Credentials": ["https://joe:s3cret" + "@mail.gov.uk/x"],
    "GitHub Token": ["gh" + "p_" + "a" * 36],
    "GitLab Token": ["gl" + "pat-" + "a" * 20],
    "JSON Web Token": [
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
        "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0."
        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
    ],
    "Mailchimp Access Key": ["a1" * 16 + "-us19"],
    "NPM tokens": ["//registry." + "npmjs.org/:_auth" + "Token=npm_" + "a" * 30],
    "OpenAI Token": ["sk-" + "a" * 20 + "T3Blbk" + "FJ" + "a" * 20],
    "PyPI Token": ["pypi-" + "AgEIcHlwaS5vcmc" + "a" * 70],
    "SendGrid API Key": ["S" + "G." + "a" * 22 + "." + "b" * 43],
    "Slack Token": ["xo" + "xb-34532454-" + "e039d02840a0b9379c"],
    "Square OAuth Secret": ["sq0" + "csp-" + "a" * 43],
    "Stripe Access Key": ["sk_" + "live_" + "a" * 24],
    "Telegram Bot Token": ["110201543:" + "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw-"[:35]],
    "Twilio API Key": ["S" + "K" + "a1" * 16],
}
MAIL = "[E-MAIL ADDRESS]"
CASES = [(kind, sample) for kind, samples in SAMPLES.items() for sample in samples]


@pytest.mark.parametrize(("kind", "sample"), CASES, ids=[kind for kind, _ in CASES])
def test_known_kinds_are_found_hinted_and_redacted(kind: str, sample: str) -> None:
    text = f"Please note: {sample}\nThank you."
    found = find_sensitive(text)

    assert [match.kind for match in found] == [kind]
    assert redact(text, found).startswith("Please note: ")
    assert sample not in redact(text, found)
    assert redact(text, found).endswith("Thank you.")
    assert find_sensitive(redact(text, found)) == []
    with duckdb.connect() as connection:
        query = "SELECT regexp_matches($t, $h)"
        (hinted,) = connection.execute(query, {"t": text, "h": HINT}).fetchone()
    assert hinted


@pytest.mark.parametrize(
    "text",
    [
        "Order 4111 1111 1111 1112 has a wrong checksum.",
        "DE89 3704 0044 0532 0130 01 fails modulo 97.",
        "Write to someone@example.com or root@localhost.",
        "@decorator.method and a @ b",
        "Call +1 000-000-0000 or 123-456-7890.",
        "2026-11-03 12:30:45, 192.168.100.200, 3.14159265358979",
        "0000 0000 0000 0000 and 1234567890123456",
        "commit 4f2a9c8e7d6b5a4f3e2d1c0b9a8f7e6d5c4b3a29",
        "http://host/path?user=a@b is a link",
        "the AWS key concepts",
    ],
)
def test_other_texts_are_left_alone(text: str) -> None:
    assert find_sensitive(text) == []


def test_several_finds_are_redacted_where_they_stand() -> None:
    text = "a@mail.gov.uk then 4111111111111111, again a@mail.gov.uk."
    assert redact(text, find_sensitive(text)) == (
        "[E-MAIL ADDRESS] then [CARD NUMBER], again [E-MAIL ADDRESS]."
    )


def test_a_secret_goes_before_personal_data_that_it_is_part_of() -> None:
    text = "write to ann.gh" + "p_" + "a" * 36 + "@mail.gov.uk or ann@corp.io"
    kinds = [match.kind for match in find_sensitive(text)]
    assert kinds == ["GitHub Token", "e-mail address"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": ["ann@corp.io", {"b": "to ann@corp.io"}]}, {"a": [MAIL, {"b": f"to {MAIL}"}]}),
        ({"n": 7, "yes": True, "none": None}, {"n": 7, "yes": True, "none": None}),
    ],
)
def test_every_text_of_a_value_is_redacted(value: Any, expected: Any) -> None:
    assert redacted(value) == expected


def test_a_text_with_many_findings_is_searched_once_for_each() -> None:
    text = "ann@corp.io and " * 5000
    found = find_sensitive(text)
    assert len(found) == 5000
    assert all(text[one.start : one.end] == "ann@corp.io" for one in found)


@pytest.mark.parametrize("before", [0, 1000, 4095, 4096, 8191, 8192, 20000])
def test_a_secret_is_found_wherever_a_long_line_is_cut(before: int) -> None:
    header, payload = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "HS256"}, {"sub": "a" * 2900})
    )
    text = f"{'x' * before} {header}.{payload}.{'c' * 43} end"
    [found] = find_sensitive(text)
    assert found.kind == "JSON Web Token"
    assert text[found.start : found.end].startswith(f"{header}.{payload}")


@given(st.text(alphabet="ab\n", max_size=9000))
def test_pieces_of_a_text_are_short_and_leave_nothing_out(text: str) -> None:
    covered = 0
    for start, part in sensitive._windows(text):
        assert len(part) <= sensitive._WINDOW
        assert text[start : start + len(part)] == part
        assert start <= covered
        covered = max(covered, start + len(part))
    assert covered == len(text)
