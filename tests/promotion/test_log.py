"""Entries of the decision log, as an earlier release wrote them: as they were, or changed since."""

from __future__ import annotations

import pytest

from genaiops_dagster.promotion.log import BrokenLogError, parse_log

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
