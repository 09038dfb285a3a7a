"""The table of places in docs/architecture.md: paths exist, and symbols are in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

_GLOSSARY = (ROOT / "docs" / "reference" / "glossary.md").read_text()
WORDS = re.findall(r"^\| (.+?) \| .+ \| `([^`]+)` \|$", _GLOSSARY, re.MULTILINE)
_TABLE = (ROOT / "docs" / "architecture.md").read_text().partition("## Where is ...?")[2]
ROWS = re.findall(r"^\| (.+?) \| `([^`]+)` \| (.*?) ?\|$", _TABLE, re.MULTILINE)


@pytest.mark.parametrize(("question", "place", "guess"), ROWS, ids=[row[0] for row in ROWS])
def test_it_is_there(question: str, place: str, guess: str) -> None:
    assert _missing(place) == ""
    for path in re.findall(r"`((?:genaiops_dagster|emulator)/[^`]+)`", guess):
        assert (ROOT / path).exists(), path
        assert path != place.partition(": ")[0], "then it was not wrong"


def test_there_are_thirty_questions_at_least() -> None:
    assert len(ROWS) >= 30
    assert len({question for question, _, _ in ROWS}) == len(ROWS)
    assert len(ROWS) == _TABLE.partition("\n## ")[0].count("\n| ") - 1, "a row is not understood"


@pytest.mark.parametrize(("word", "place"), WORDS, ids=[word for word, _ in WORDS])
def test_the_code_has_the_words_of_the_glossary(word: str, place: str) -> None:
    assert _missing(place) == ""


def test_there_are_thirty_words_each_once() -> None:
    assert len(WORDS) >= 30
    assert len({word for word, _ in WORDS}) == len(WORDS) == _GLOSSARY.count("\n| ") - 1


def test_what_is_not_there_is_noticed() -> None:
    assert _missing("genaiops_dagster/promotion/rules.py: _latency") == ""
    assert "no file" in _missing("genaiops_dagster/promotion/rule.py: _latency")
    assert "no _speed" in _missing("genaiops_dagster/promotion/rules.py: _speed")
    assert "no held" in _missing("genaiops_dagster/promotion/rules.py: held")  # only imported


def _missing(place: str) -> str:
    """What of `path` or `path: symbol` is not there; empty if all is."""
    path, _, symbol = place.partition(": ")
    file = ROOT / path
    if not file.is_file():
        return f"no file {path}"
    if symbol and not _stands_in(symbol, file):
        return f"no {symbol} in {path}"
    return ""


def _stands_in(symbol: str, file: Path) -> bool:
    """Whether a Python file defines the name, or has it as a key; other files have to hold it."""
    name = re.escape(symbol)
    pattern = rf"\b{name}\b"
    if file.suffix == ".py":
        pattern = rf"^\s*(?:async )?(?:def|class) {name}\b|^{name}\b.* = |[\"']{name}[\"'][:,]"
    return re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE) is not None
