"""Entries of the decision log as other releases wrote them: as they were, or changed since."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genaiops_dagster.promotion.log import parse_log
from genaiops_dagster.records.chain import BrokenLogError, LogHead
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.record import NewerRecordError

# As the release before entries had an `account` wrote them.
APPROVAL = """{
  "number": 1,
  "kind": "approval",
  "at": "2026-11-30T22:43:32+00:00",
  "by": "ann",
  "reason": "looked at the rows",
  "decision": null,
  "approves": "00000000",
  "champion": null,
  "rollout": null,
  "completes": null,
  "completes_entry": null,
  "previous": "",
  "digest": "4de1bcfa5c121c838ce8fa644f54c437653ece2d478caafb7bbe7c03410ff38b"
}"""
COMPLETION = """{
  "number": 2,
  "kind": "completion",
  "at": "2026-11-30T22:43:32+00:00",
  "by": "",
  "reason": "",
  "decision": null,
  "approves": null,
  "champion": null,
  "rollout": null,
  "completes": 1,
  "completes_entry": null,
  "previous": "4de1bcfa5c121c838ce8fa644f54c437653ece2d478caafb7bbe7c03410ff38b",
  "digest": "b56bc9fcff80759edf7108c26c953fddcb929477df0b2fa65f16d2db1596b826"
}"""


def test_they_are_verified_as_they_were_written() -> None:
    entries = parse_log([("gs://1", APPROVAL.encode()), ("gs://2", COMPLETION.encode())])
    assert [(entry.kind, entry.by, entry.account) for entry in entries] == [
        ("approval", "ann", ""),
        ("completion", "", ""),
    ]


@pytest.mark.parametrize("account", ["", "operating system: ann@laptop"])
def test_an_account_that_was_added_afterwards_is_noticed(account: str) -> None:
    forged = APPROVAL.replace('"reason"', f'"account": "{account}", "reason"')
    with pytest.raises(BrokenLogError, match=r"gs://1.*changed after it was written"):
        parse_log([("gs://1", forged.encode())])


@pytest.mark.parametrize(
    ("old", "new"),
    [('"by": "ann"', '"by": "eve"'), ('"approves": "00000000"', '"approves": "00000001"')],
)
def test_a_change_is_noticed(old: str, new: str) -> None:
    assert old in APPROVAL
    with pytest.raises(BrokenLogError, match=r"gs://1.*changed after it was written"):
        parse_log([("gs://1", APPROVAL.replace(old, new).encode())])


def test_a_removed_entry_is_noticed() -> None:
    with pytest.raises(BrokenLogError, match=r"gs://1.*an entry before it was changed or replaced"):
        parse_log([("gs://1", COMPLETION.encode())])


def rewritten(entry: str, **changes: Any) -> bytes:
    """An entry as somebody would forge it, with a digest that fits."""
    content = {**json.loads(entry), **changes}
    del content["digest"]
    return json.dumps({**content, "digest": fingerprint(content)}).encode()


@pytest.mark.parametrize("changes", [{"number": 1}, {"number": 3}, {"previous": ""}])
def test_a_forged_entry_with_a_digest_that_fits_is_noticed(changes: dict[str, Any]) -> None:
    stored = [("gs://1", APPROVAL.encode()), ("gs://2", rewritten(COMPLETION, **changes))]
    with pytest.raises(BrokenLogError, match=r"gs://2.*an entry before it was changed or replaced"):
        parse_log(stored)


@pytest.mark.parametrize(("number", "digest"), [(3, "gone"), (2, "another"), (1, "another")])
def test_an_entry_that_was_noted_and_is_gone_or_another_is_noticed(
    number: int, digest: str
) -> None:
    stored = [("gs://1", APPROVAL.encode()), ("gs://2", COMPLETION.encode())]
    head = LogHead(number=number, digest=digest)
    with pytest.raises(
        BrokenLogError, match=f"entry {number} was written, and is gone or replaced"
    ):
        parse_log(stored, head)


def written_later(version: str, **changes: Any) -> bytes:
    """The approval as a later release would write it."""
    return rewritten(APPROVAL, schema_version=version, **changes)


def test_what_a_later_minor_version_added_is_ignored_and_covered_by_the_digest() -> None:
    content = written_later("1.3", room="cellar")
    [entry] = parse_log([("gs://1", content)])
    assert (entry.by, entry.digest) == ("ann", json.loads(content)["digest"])
    for old, new in ((b"cellar", b"attic"), (b"1.3", b"1.2")):
        with pytest.raises(BrokenLogError, match="changed after it was written"):
            parse_log([("gs://1", content.replace(old, new))])


def test_an_entry_that_must_not_be_misread_is_refused_by_name() -> None:
    with pytest.raises(NewerRecordError, match=r"gs://1 was .* as LogEntry 2\.0; upgrade"):
        parse_log([("gs://1", written_later("2.0"))])
    with pytest.raises(NewerRecordError, match=r"gs://1 was .* as LogEntry 1\.1; upgrade .*\nkind"):
        parse_log([("gs://1", written_later("1.1", kind="retirement"))])
